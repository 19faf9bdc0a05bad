//! `ringway token`: a new token for the control port, and the line that makes it known.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, ValueEnum};
use ringway_shared::config::{Scope, control::tokens};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest, Sha256};

/// 256 bits: nobody finds it by trying.
const BYTES: usize = 32;
/// By it people, and programs that look for leaked secrets, know what it is.
const PREFIX: &str = "rw_";

#[derive(Args)]
pub struct NewToken {
    /// What the audit log shall call its holder.
    name: String,
    /// What it shall allow.
    #[arg(value_enum)]
    scope: ScopeWord,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScopeWord {
    /// Looking.
    Read,
    /// Acting upon connections and traffic as well: kill, drain, publish.
    Operate,
    /// Everything.
    Admin,
}

/// The token on the first line, what to do with its hash below it.
pub fn make(wanted: &NewToken) -> Result<String, String> {
    tokens::check_name(&wanted.name).map_err(|why| format!("{:?} {why}", wanted.name))?;
    let mut bytes = [0_u8; BYTES];
    // Blocks until the kernel has seeded itself; no longer request than 256 bytes comes back short.
    let filled = getrandom(&mut bytes[..], GetRandomFlags::empty());
    if filled != Ok(BYTES) {
        return Err("the kernel gives no random numbers: try again".to_owned());
    }
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let scope = match wanted.scope {
        ScopeWord::Read => Scope::Read,
        ScopeWord::Operate => Scope::Operate,
        ScopeWord::Admin => Scope::Admin,
    };
    let line = tokens::line(&wanted.name, scope, &Sha256::digest(token.as_bytes()).into());
    Ok(format!(
        "{token}\n\n# The line above is shown this once. The one below goes into control.tokens, or under `tokens:` into the file that control.tokens_file names:\n{line}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_new_and_its_line_holds_its_hash() {
        let wanted = NewToken { name: "alice".into(), scope: ScopeWord::Admin };
        let (one, other) = (make(&wanted).unwrap(), make(&wanted).unwrap());
        let (first, second) = (one.lines().next().unwrap(), other.lines().next().unwrap());
        assert!(first != second && first.starts_with("rw_") && first.len() == 3 + 43, "{first}");
        let digest: [u8; 32] = Sha256::digest(first.as_bytes()).into();
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("- {{name: alice, scope: admin, token: \"{{sha256}}{digits}\"}}");
        assert_eq!(one.lines().last(), Some(&*line));
        let wrong = NewToken { name: "a b".into(), scope: ScopeWord::Read };
        assert!(make(&wrong).unwrap_err().contains("letters"));
    }
}
