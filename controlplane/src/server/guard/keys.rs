//! The keys of the publish API, as their hashes: what is kept in memory opens nothing.

use ringway_shared::config::ApiKey;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Who may use the publish API.
#[derive(Default)]
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    #[must_use]
    pub fn new(keys: &[ApiKey]) -> Keys {
        let hash = |key: &ApiKey| match key {
            ApiKey::Plain(key) => Sha256::digest(key.as_bytes()).into(),
            ApiKey::Sha256(hash) => *hash,
        };
        Keys(keys.iter().map(hash).collect())
    }

    /// Whether anybody is asked for one.
    #[must_use]
    pub fn are_wanted(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether the one with this digest is among them. How long it takes tells nothing but the number of keys.
    #[must_use]
    pub fn hold(&self, digest: &[u8; 32]) -> bool {
        self.0.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(digest)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_keys_and_hashes_of_keys_open() {
        // SHA-256 of "abc" (FIPS 180-2, B.1).
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let mut hash = [0; 32];
        for (index, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&abc[2 * index..2 * index + 2], 16).unwrap();
        }
        let keys = Keys::new(&[ApiKey::Plain("first-key".into()), ApiKey::Sha256(hash)]);
        let holds = |keys: &Keys, shown: &[u8]| keys.hold(&Sha256::digest(shown).into());
        assert!(keys.are_wanted() && holds(&keys, b"first-key") && holds(&keys, b"abc"));
        for wrong in [&b""[..], b"first-ke", b"first-key ", b"FIRST-KEY", abc.as_bytes(), &hash] {
            assert!(!holds(&keys, wrong), "{wrong:?}");
        }
        assert!(!Keys::default().are_wanted() && !holds(&Keys::default(), b""));
    }
}
