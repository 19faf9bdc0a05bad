//! Who a client is: what to do with a name and a password.
//!
//! No password is hashed here: argon2 and bcrypt take tens of milliseconds and belong off the workers.
//! What can be decided at once is decided; for the rest [`Directory::check`] says which hash to verify.

use ringway_shared::account::Account;
use ringway_shared::config::{Password, User};
use std::collections::HashMap;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// What to do about a name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check<'a> {
    /// Right. The user's index.
    Accept(usize),
    /// Wrong.
    Refuse,
    /// Verify the password against `phc` (an argon2 PHC or a bcrypt string), then: right, and `user` is
    /// there, is that user; anything else is wrong.
    ///
    /// Without a user the work is for its duration only, and even a match means nothing.
    Hash { user: Option<usize>, phc: &'a str },
}

/// The users, ready to be looked up.
///
/// A wrong answer costs the same whether the name is known or not: where the file holds hashes, an unknown
/// name (and a wrong plain password) is made to wait for the costliest of them. Where a known name's hash is
/// cheaper than that, the delay of refusals (`socks5.logins.delay`, from question to answer) hides the rest.
pub struct Directory {
    accounts: Box<[Account]>,
    by_name: HashMap<Arc<str>, usize>,
    /// For each user the digest of a plain password; zeros for the hashed ones.
    digests: Box<[Digest]>,
    /// Whose hash costs the most to verify, if any is hashed.
    costliest: Option<usize>,
}

/// Digests are of one length, so comparing them tells nothing about a password's length.
type Digest = [u8; blake3::OUT_LEN];

impl Directory {
    #[must_use]
    pub fn new(accounts: Box<[Account]>) -> Self {
        let entries = || accounts.iter().map(|account| &account.user).enumerate();
        // Reversed: should a name stand twice, its first entry counts.
        let by_name = entries().rev().map(|(index, user)| (user.name.clone(), index)).collect();
        let digests = entries().map(|(_, user)| digest_of(&user.password)).collect();
        let costliest = entries().max_by_key(|(_, user)| cost(&user.password)).map(|(index, _)| index);
        let costliest = costliest.filter(|index| hash_of(&accounts[*index].user.password).is_some());
        Directory { by_name, digests, costliest, accounts }
    }

    /// What to do about this name and password, as the client sent them.
    #[must_use]
    pub fn check(&self, name: &[u8], password: &[u8]) -> Check<'_> {
        let user = std::str::from_utf8(name).ok().and_then(|name| self.by_name.get(name)).copied();
        // Digested and compared whoever it is, so that an unknown name takes as long as a known one.
        let expected = user.map_or(&[0; blake3::OUT_LEN], |index| &self.digests[index]);
        let equal = bool::from(blake3::hash(password).as_bytes().ct_eq(expected));
        match user.map(|index| (index, &self.accounts[index].user.password)) {
            Some((index, Password::Plain(_))) if equal => Check::Accept(index),
            Some((index, Password::Argon2(phc))) => Check::Hash { user: Some(index), phc },
            // bcrypt ends a password at its first NUL and repeats it from the start: "pw" and "pw\0pw" hash alike.
            Some((index, Password::Bcrypt(phc))) if !password.contains(&0) => {
                Check::Hash { user: Some(index), phc }
            }
            _ => self.refuse(),
        }
    }

    /// The account of the user at `index`, as [`Check`] counts them.
    #[must_use]
    pub fn account(&self, index: usize) -> &Account {
        &self.accounts[index]
    }

    /// All accounts, in the users file's order.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The user of this name, if there is one.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.by_name.get(name).map(|index| &*self.accounts[*index].user)
    }

    /// Whether there is a user of this name.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn refuse(&self) -> Check<'_> {
        match self.costliest.and_then(|index| hash_of(&self.accounts[index].user.password)) {
            Some(phc) => Check::Hash { user: None, phc },
            None => Check::Refuse,
        }
    }
}

fn digest_of(password: &Password) -> Digest {
    match password {
        Password::Plain(plain) => blake3::hash(plain).into(),
        Password::Argon2(_) | Password::Bcrypt(_) => [0; blake3::OUT_LEN],
    }
}

fn hash_of(password: &Password) -> Option<&str> {
    match password {
        Password::Plain(_) => None,
        Password::Argon2(phc) | Password::Bcrypt(phc) => Some(phc),
    }
}

/// Roughly how many microseconds verifying takes; only the order matters. A KiB of argon2's memory takes
/// about one per pass, a bcrypt round about sixty.
fn cost(password: &Password) -> u64 {
    match password {
        Password::Plain(_) => 0,
        Password::Argon2(phc) => {
            let parameter =
                |key| phc.split(['$', ',']).find_map(|part| part.strip_prefix(key)?.parse::<u64>().ok());
            let (memory_kib, passes) = (parameter("m=").unwrap_or(1), parameter("t=").unwrap_or(1));
            memory_kib.saturating_mul(passes).max(1)
        }
        Password::Bcrypt(text) => {
            let exponent = text.split('$').nth(2).and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
            60u64.saturating_mul(1u64.checked_shl(exponent).unwrap_or(u64::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::account::Usage;

    const ARGON2: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA";
    const ARGON2_CHEAP: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaA";
    const BCRYPT_10: &str = "$2b$10$abcdefghijklmnopqrstuv";
    const BCRYPT_04: &str = "$2b$04$abcdefghijklmnopqrstuv";

    fn plain(password: &str) -> Password {
        Password::Plain(password.as_bytes().into())
    }

    fn directory(entries: impl IntoIterator<Item = (&'static str, Password)>) -> Directory {
        let account = |(name, password): (&str, Password)| Account {
            user: Arc::new(User::unlimited(name.into(), password)),
            usage: Arc::new(Usage::for_workers(1)),
        };
        Directory::new(entries.into_iter().map(account).collect())
    }

    #[test]
    fn a_plain_password_is_decided_at_once() {
        let directory = directory([("alice", plain("one")), ("bob", plain("two"))]);
        assert_eq!(directory.check(b"alice", b"one"), Check::Accept(0));
        assert_eq!(directory.check(b"bob", b"two"), Check::Accept(1));
        assert_eq!(directory.check(b"bob", b"one"), Check::Refuse);
        assert_eq!(directory.check(b"carol", b"one"), Check::Refuse);
        assert_eq!(&*directory.account(1).user.name, "bob");
    }

    #[test]
    fn nothing_but_the_very_bytes_matches() {
        let directory = directory([("alice", plain("secret")), ("empty", plain(""))]);
        for password in [&b"secret\0"[..], b"secre", b"secrets", b"Secret", b"", b"\0"] {
            assert_eq!(directory.check(b"alice", password), Check::Refuse, "{password:?}");
        }
        for name in [&b"alice\0"[..], b"Alice", b"alic", b"", b"\0", b"\xff"] {
            assert_eq!(directory.check(name, b"secret"), Check::Refuse, "{name:?}");
        }
        assert_eq!(directory.check(b"empty", b""), Check::Accept(1));
    }

    #[test]
    fn names_and_passwords_of_255_bytes_work() {
        let (name, password) = ("n".repeat(255), "p".repeat(255));
        let user = Arc::new(User::unlimited(name.as_str().into(), plain(&password)));
        let directory = Directory::new([Account { user, usage: Arc::new(Usage::for_workers(1)) }].into());
        assert_eq!(directory.check(name.as_bytes(), password.as_bytes()), Check::Accept(0));
        assert_eq!(directory.check(name.as_bytes(), &password.as_bytes()[1..]), Check::Refuse);
    }

    #[test]
    fn a_hashed_password_is_left_to_the_verifier() {
        let directory = directory([
            ("alice", Password::Argon2(ARGON2.into())),
            ("bob", Password::Bcrypt(BCRYPT_10.into())),
        ]);
        assert_eq!(directory.check(b"alice", b"x"), Check::Hash { user: Some(0), phc: ARGON2 });
        assert_eq!(directory.check(b"bob", b"x"), Check::Hash { user: Some(1), phc: BCRYPT_10 });
    }

    #[test]
    fn every_refusal_beside_hashes_costs_as_much_as_the_costliest() {
        let directory = directory([
            ("alice", Password::Bcrypt(BCRYPT_04.into())),
            ("bob", Password::Argon2(ARGON2.into())),
            ("carol", plain("secret")),
            ("dave", Password::Argon2(ARGON2_CHEAP.into())),
        ]);
        let decoy = Check::Hash { user: None, phc: ARGON2 };
        assert_eq!(directory.check(b"nobody", b"x"), decoy);
        assert_eq!(directory.check(b"carol", b"wrong"), decoy);
        assert_eq!(directory.check(b"carol", b"secret"), Check::Accept(2));
    }

    #[test]
    fn a_nul_never_reaches_bcrypt() {
        let directory = directory([("alice", Password::Bcrypt(BCRYPT_10.into()))]);
        assert_eq!(directory.check(b"alice", b"pw\0pw"), Check::Hash { user: None, phc: BCRYPT_10 });
    }

    #[test]
    fn kinds_are_ordered_by_what_verifying_costs() {
        let in_order = [
            plain("x"),
            Password::Argon2(ARGON2_CHEAP.into()),
            Password::Bcrypt(BCRYPT_04.into()),
            Password::Argon2(ARGON2.into()),
            Password::Bcrypt(BCRYPT_10.into()),
        ];
        assert!(in_order.iter().map(cost).is_sorted());
    }

    #[test]
    fn of_two_entries_of_one_name_the_first_counts() {
        let directory = directory([("alice", plain("one")), ("alice", plain("two"))]);
        assert_eq!(directory.check(b"alice", b"one"), Check::Accept(0));
        assert_eq!(directory.check(b"alice", b"two"), Check::Refuse);
    }
}
