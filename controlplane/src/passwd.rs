//! `ringway passwd`: a password's hash, for the users file.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use std::io::{self, BufRead, Write};

/// RFC 1929 gives a password one byte for its length.
const PASSWORD_BYTES_MAX: usize = 255;
/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The hash of what comes by standard input. At a terminal the password is asked for and not shown.
pub fn from_stdin() -> Result<String, String> {
    let stdin = io::stdin();
    if !isatty(&stdin) {
        return hash_of_input(stdin.lock());
    }
    let fault = |error| format!("cannot hide what is typed: {error}");
    let shown = tcgetattr(&stdin).map_err(fault)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    // The prompt goes where the hash does not; a terminal that shows neither still takes the password.
    let _ = write!(io::stderr(), "Password: ");
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).map_err(fault)?;
    let hash = hash_of_input(stdin.lock());
    tcsetattr(&stdin, OptionalActions::Flush, &shown).map_err(fault)?;
    let _ = writeln!(io::stderr());
    hash
}

/// Reads one line, without its newline, and gives the argon2id PHC string of it.
pub fn hash_of_input(input: impl BufRead) -> Result<String, String> {
    let mut password = Vec::new();
    input
        .take(PASSWORD_BYTES_MAX as u64 + 2)
        .read_until(b'\n', &mut password)
        .map_err(|error| format!("cannot read the password from standard input: {error}"))?;
    if password.last() == Some(&b'\n') {
        password.pop();
    }
    if password.is_empty() {
        return Err("no password came: printf %s 'secret' | ringway passwd".into());
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("SOCKS5 passwords have at most {PASSWORD_BYTES_MAX} bytes (RFC 1929)"));
    }
    hash(&password)
}

fn hash(password: &[u8]) -> Result<String, String> {
    let fault = |error: argon2::password_hash::Error| format!("cannot hash the password: {error}");
    let parameters = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| error.to_string())?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
    argon2.hash_password(password).map(|hash| hash.to_string()).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::{PasswordHash, PasswordVerifier};

    #[test]
    fn the_hash_is_one_that_verifies() {
        let hash = hash_of_input(&b"secret\n"[..]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let parsed = PasswordHash::new(&hash).unwrap();
        assert!(Argon2::default().verify_password(b"secret", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"other", &parsed).is_err());
    }

    #[test]
    fn an_empty_or_overlong_password_is_refused() {
        assert!(hash_of_input(&b"\n"[..]).is_err());
        assert!(hash_of_input(&vec![b'x'; 256][..]).is_err());
        assert!(hash_of_input(&vec![b'x'; 255][..]).is_ok());
    }
}
