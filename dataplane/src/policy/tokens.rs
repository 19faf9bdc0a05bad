//! Whose token it is, where tokens are listed (`websocket.auth: token`).
//!
//! A token is looked up by its SHA-256 digest: how long that takes tells of the digest, never of a token that is near.

use ring::digest;
use ringway_shared::config::{self, TokenSecret};
use std::collections::HashMap;
use std::sync::Arc;

/// All tokens, ready to be looked up.
pub struct Tokens {
    users: HashMap<[u8; 32], Arc<str>>,
}

impl Tokens {
    #[must_use]
    pub fn new(tokens: &config::Tokens) -> Tokens {
        let digest = |secret: &TokenSecret| match secret {
            TokenSecret::Plain(token) => sha256(token),
            TokenSecret::Sha256(digest) => *digest,
        };
        let users = tokens.entries.iter().map(|token| (digest(&token.secret), token.user.clone())).collect();
        Tokens { users }
    }

    /// The user whose token it is.
    #[must_use]
    pub fn user(&self, token: &str) -> Option<Arc<str>> {
        self.users.get(&sha256(token)).cloned()
    }
}

fn sha256(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::config::Token;

    /// SHA-256 of "abc" (FIPS 180-4, first example).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn tokens() -> Tokens {
        let digest = std::array::from_fn(|at| u8::from_str_radix(&ABC[at * 2..at * 2 + 2], 16).unwrap());
        let entry = |user: &str, secret| Token { user: user.into(), secret };
        Tokens::new(&config::Tokens {
            entries: vec![
                entry("alice", TokenSecret::Plain("first".into())),
                entry("alice", TokenSecret::Plain("second".into())),
                entry("bob", TokenSecret::Sha256(digest)),
            ],
        })
    }

    #[test]
    fn a_token_is_its_users_however_it_is_kept() {
        let tokens = tokens();
        for (token, user) in [("first", "alice"), ("second", "alice"), ("abc", "bob")] {
            assert_eq!(tokens.user(token).as_deref(), Some(user), "{token}");
        }
    }

    #[test]
    fn nothing_but_the_very_token_is_known() {
        let tokens = tokens();
        for token in ["", "firs", "first ", "First", "first\0", ABC, "{sha256}abc", "alice"] {
            assert_eq!(tokens.user(token), None, "{token:?}");
        }
    }
}
