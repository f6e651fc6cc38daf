//! Repeated texts: kept once, or numbered.

use hashbrown::HashMap;
use std::sync::Arc;

/// Keeps one copy of each text.
#[derive(Default)]
pub(crate) struct Interner(HashMap<Arc<str>, ()>);

impl Interner {
    /// Returns the one copy of a text.
    pub(crate) fn get(&mut self, text: &str) -> Arc<str> {
        if let Some((known, ())) = self.0.get_key_value(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone(), ());
        new
    }
}

/// Numbers names in the order of their first appearance, from 0.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    names: Vec<String>,
    index: HashMap<String, u32>,
    /// The last returned number. It saves a look-up because equal names are often adjacent.
    last: u32,
}

impl NameIndex {
    /// Returns the number of a name. A new name gets the next number.
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        if self.names.get(self.last as usize).is_none_or(|last| last != name) {
            self.last = *self.index.entry_ref(name).or_insert_with(|| {
                self.names.push(name.to_owned());
                self.names.len() as u32 - 1
            });
        }
        self.last
    }

    /// Returns all names. The number of a name is its index.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}
