//! Texts as small numbers.

use hashbrown::HashMap;
use std::sync::Arc;

/// The same text once.
#[derive(Default)]
pub(crate) struct Interner(HashMap<Arc<str>, ()>);

impl Interner {
    pub(crate) fn get(&mut self, text: &str) -> Arc<str> {
        if let Some((known, ())) = self.0.get_key_value(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone(), ());
        new
    }
}
