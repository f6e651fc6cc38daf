//! Finds the texts of ids in a log by their hashes. Scans of a log hold hashes only.

use arrow_array::{Array, StringArray};
use hashbrown::HashMap;
use std::cell::RefCell;

use crate::base::error::{Error, Result};
use crate::base::hash;
use crate::input::fast_scan::{FastPart, Mapping, STEP, STEP_WORDS, Unsupported};
use crate::input::table::Part;
use crate::input::traffic::TrafficReader;
use crate::input::turns::release;
use crate::input::users::DEFAULT_TENANT;

/// A column of ids, and the hash of a value under a seed.
type Kind = (&'static str, fn(&[u8], u64) -> u64);

/// The kinds of ids that are searched for.
const KINDS: [Kind; 3] = [
    ("user_id", hash::hash_user_id),
    ("tenant_id", |id, _| hash::hash_id(id)),
    ("release_id", |id, _| release::other(id) as u64),
];

/// The texts of wanted ids: a map from hash to text for users, tenants and releases. `None` for a
/// text that has not been found.
#[derive(Debug, Default)]
pub(crate) struct IdTexts {
    seed: u64,
    kinds: [RefCell<HashMap<u64, Option<String>>>; 3],
}

impl IdTexts {
    /// Creates a search without wanted ids. `seed` is the seed of the hashes of user ids.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            kinds: Default::default(),
        }
    }

    /// Adds a user to the search, by the hashes of tenant and id.
    pub(crate) fn want_user(&mut self, tenant: u64, user: u64) {
        self.kinds[0].get_mut().entry(user).or_default();
        // The default tenant has no name in the log.
        let name = (tenant == default_tenant()).then(|| DEFAULT_TENANT.to_owned());
        self.kinds[1].get_mut().insert(tenant, name);
    }

    /// Adds a release to the search, by its code.
    pub(crate) fn want_release(&mut self, code: i64) {
        self.kinds[2].get_mut().entry(code as u64).or_default();
    }

    /// The text of a user's id.
    pub(crate) fn user(&self, hash: u64) -> Option<String> {
        self.kinds[0].borrow().get(&hash).cloned().flatten()
    }

    /// The text of a tenant's name.
    pub(crate) fn tenant(&self, hash: u64) -> Option<String> {
        self.kinds[1].borrow().get(&hash).cloned().flatten()
    }

    /// The text of a release's id.
    pub(crate) fn release(&self, code: i64) -> Option<String> {
        self.kinds[2].borrow().get(&(code as u64)).cloned().flatten()
    }

    /// Whether all wanted texts have been found.
    pub(crate) fn is_complete(&self) -> bool {
        (0..KINDS.len()).all(|kind| self.has_all(kind))
    }

    fn has_all(&self, kind: usize) -> bool {
        self.kinds[kind].borrow().values().all(Option::is_some)
    }

    fn note(&self, kind: usize, text: &[u8]) {
        let hash = KINDS[kind].1(text, self.seed);
        if let Some(found @ None) = self.kinds[kind].borrow_mut().get_mut(&hash) {
            *found = Some(String::from_utf8_lossy(text).into_owned());
        }
    }
}

fn default_tenant() -> u64 {
    hash::hash_id(DEFAULT_TENANT.as_bytes())
}

impl TrafficReader {
    /// Searches one part of the log for the wanted texts. Stops when all have been found.
    ///
    /// # Errors
    /// The same as for [`Self::read`].
    pub(crate) fn find_ids(&self, part: Part, texts: &IdTexts) -> Result<()> {
        if texts.is_complete() || self.find_ids_fast(part, texts).is_ok() {
            return Ok(());
        }
        let read = self.read(part, &mut |batch| {
            let columns: [Option<&StringArray>; 3] = [
                Some(&batch.user_id),
                batch.tenant_id.as_ref(),
                Some(&batch.release_id),
            ];
            for (kind, column) in columns.into_iter().enumerate() {
                let column = column.filter(|_| !texts.has_all(kind));
                column
                    .into_iter()
                    .flat_map(|column| {
                        (0..column.len())
                            .filter(|row| column.is_valid(*row))
                            .map(|row| column.value(row))
                    })
                    .for_each(|text| texts.note(kind, text.as_bytes()));
            }
            if texts.is_complete() {
                // An error ends the reading.
                return Err(Error::usage("all texts have been found"));
            }
            Ok(())
        });
        if texts.is_complete() {
            Ok(())
        } else {
            read.map(drop)
        }
    }

    fn find_ids_fast(&self, part: Part, texts: &IdTexts) -> Result<(), Unsupported> {
        let fast_part = FastPart::open(self.table(), part)?;
        let (mut values, mut absent) = ([(); STEP], [0; STEP_WORDS]);
        for (kind, (name, _)) in KINDS.iter().enumerate() {
            let note = |text: &[u8]| texts.note(kind, text);
            let Some(mut column) = fast_part.column(name, (), Mapping::Id(&note))? else {
                continue;
            };
            let mut n_done = 0;
            while n_done < fast_part.n_rows && !texts.has_all(kind) {
                let n = (fast_part.n_rows - n_done).min(STEP);
                column.fill(&mut values[..n], &mut absent)?;
                n_done += n;
            }
        }
        Ok(())
    }
}
