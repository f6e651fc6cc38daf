//! Ids of users as keys of a fixed width. A short id is stored in its key. A long one is stored as a
//! text, and its key has the hash and the position of the text.

use twox_hash::XxHash3_64;

use crate::base::hash;

/// The largest number of bytes of an id that is stored in its key.
const INLINE: usize = 12;
/// The highest byte of the key of a long id. It is the length of a short one.
const LONG: u64 = 0xff << 56;
/// The bits of the second word that hold the tenant of a short id.
const TENANT_SHIFT: u32 = 32;
const TENANT_BITS: u32 = 24;
/// The bits of the second word that hold the position of a long id.
const POSITION: u64 = (1 << 56) - 1;

/// A user of a tenant. The keys of two short ids are equal if and only if tenant and id are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u64; 2]);

/// Long ids, each with the number of its tenant.
#[derive(Debug, Default)]
pub(super) struct Texts(Vec<u8>);

impl Texts {
    fn push(&mut self, tenant: u32, id: &[u8]) -> u64 {
        let position = self.0.len() as u64;
        self.0.extend_from_slice(&tenant.to_le_bytes());
        self.0.extend_from_slice(&(id.len() as u64).to_le_bytes());
        self.0.extend_from_slice(id);
        position
    }

    fn get(&self, position: u64) -> (u32, &[u8]) {
        let entry = &self.0[position as usize..];
        let (tenant, entry) = entry.split_at(4);
        let (length, entry) = entry.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        (number(tenant) as u32, &entry[..number(length) as usize])
    }

    /// Returns the number of bytes.
    pub(super) fn n_bytes(&self) -> usize {
        self.0.len()
    }

    /// Removes all texts after the first `n_bytes`.
    pub(super) fn truncate(&mut self, n_bytes: usize) {
        self.0.truncate(n_bytes);
    }
}

impl Key {
    /// The key of an empty id.
    pub(super) const EMPTY: Self = Self([0; 2]);

    /// Makes the key of an id of tenant 0. The text of a long id is added to `texts`. `seed` is that
    /// of all keys which are compared.
    #[inline]
    pub(super) fn new(id: &[u8], texts: &mut Texts, seed: u64) -> Self {
        if id.len() > INLINE {
            return Self([XxHash3_64::oneshot_with_seed(seed, id), texts.push(0, id) | LONG]);
        }
        let word = |bytes: &[u8]| {
            bytes
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        let (low, high) = match (id.first_chunk::<8>(), id.last_chunk::<8>()) {
            // The last eight bytes overlap the first ones by 16 - n bytes.
            (Some(first), Some(last)) if id.len() > 8 => (
                u64::from_le_bytes(*first),
                u64::from_le_bytes(*last) >> (8 * (16 - id.len())),
            ),
            (Some(first), _) => (u64::from_le_bytes(*first), 0),
            _ => match (id.first_chunk::<4>(), id.last_chunk::<4>()) {
                (Some(first), Some(last)) => (
                    u64::from(u32::from_le_bytes(*first))
                        | u64::from(u32::from_le_bytes(*last)) << (8 * (id.len() - 4)),
                    0,
                ),
                _ => (word(id), 0),
            },
        };
        Self([low, high | (id.len() as u64) << 56])
    }

    fn is_long(self) -> bool {
        self.0[1] & LONG == LONG
    }

    /// Whether all bytes of a short id are ASCII, and the text is therefore valid.
    #[inline]
    pub(super) fn is_short_ascii(self) -> bool {
        !self.is_long() && (self.0[0] | self.0[1] & 0xffff_ffff) & 0x8080_8080_8080_8080 == 0
    }

    /// Returns the key of the same id in a tenant. The text of a long id is copied from `from` to
    /// `to`.
    #[inline]
    pub(super) fn moved(self, tenant: u32, from: &Texts, to: &mut Texts, seed: u64) -> Self {
        if !self.is_long() && tenant >> TENANT_BITS == 0 {
            return self.in_tenant(tenant);
        }
        let mut short = [0; INLINE];
        let (_, id) = self.parts(from, &mut short);
        Self([self.hash_in(tenant, seed), to.push(tenant, id) | LONG])
    }

    fn in_tenant(self, tenant: u32) -> Self {
        Self([self.0[0], self.0[1] | u64::from(tenant) << TENANT_SHIFT])
    }

    /// Returns the hash of the same id in a tenant.
    #[inline]
    pub(super) fn hash_in(self, tenant: u32, seed: u64) -> u64 {
        if self.is_long() || tenant >> TENANT_BITS > 0 {
            return hash::join(
                self.0[0] ^ seed,
                u64::from(tenant) << 1 | u64::from(self.is_long()),
            );
        }
        hash::join(self.0[0] ^ seed, self.in_tenant(tenant).0[1])
    }

    /// Whether two keys have the same tenant and id. The texts of each key follow it.
    #[inline]
    pub(super) fn is_same(self, texts: &Texts, other: Self, of_other: &Texts) -> bool {
        if !self.is_long() {
            return self == other;
        }
        other.is_long()
            && self.0[0] == other.0[0]
            && texts.get(self.0[1] & POSITION) == of_other.get(other.0[1] & POSITION)
    }

    /// Copies the key of a new user from an event's texts to those of the users.
    pub(super) fn copied(self, from: &Texts, to: &mut Texts) -> Self {
        if !self.is_long() {
            return self;
        }
        let (tenant, id) = from.get(self.0[1] & POSITION);
        Self([self.0[0], to.push(tenant, id) | LONG])
    }

    /// Returns the tenant's number and the id. `short` is a buffer for a short id.
    pub(super) fn parts<'a>(self, texts: &'a Texts, short: &'a mut [u8; INLINE]) -> (u32, &'a [u8]) {
        if self.is_long() {
            return texts.get(self.0[1] & POSITION);
        }
        short[..8].copy_from_slice(&self.0[0].to_le_bytes());
        short[8..].copy_from_slice(&(self.0[1] as u32).to_le_bytes());
        let tenant = (self.0[1] >> TENANT_SHIFT) as u32 & ((1 << TENANT_BITS) - 1);
        (tenant, &short[..(self.0[1] >> 56) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_all_ids_and_tenants_apart() {
        let mut ids: Vec<Vec<u8>> = (0..=30)
            .map(|n| (0..n).map(|idx| b'a' + idx as u8).collect())
            .collect();
        ids.extend(["b", "a\0", "\0", "\0\0", "abcdefghijklm\0"].map(|id| id.as_bytes().to_vec()));
        let (mut from, mut to) = (Texts::default(), Texts::default());
        let mut keys = Vec::new();
        for (idx, id) in ids.iter().enumerate() {
            for tenant in [0, 1, (1 << TENANT_BITS) - 1, 1 << TENANT_BITS, u32::MAX] {
                let key = Key::new(id, &mut from, 7).moved(tenant, &from, &mut to, 7);
                let mut short = [0; INLINE];
                assert_eq!(key.parts(&to, &mut short), (tenant, id.as_slice()));
                keys.push((idx, tenant, key));
            }
        }
        let mut again = Texts::default();
        for (idx, tenant, key) in &keys {
            let copy = key.copied(&to, &mut again);
            for (other_idx, other_tenant, other) in &keys {
                let is_equal = (idx, tenant) == (other_idx, other_tenant);
                assert_eq!(copy.is_same(&again, *other, &to), is_equal);
            }
        }
        assert_eq!(Key::new(b"", &mut from, 7), Key::EMPTY);
    }
}
