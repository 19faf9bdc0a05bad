//! What the keys say of the control port, and the files they name: until both are one [`Control`].

use super::{AllowedHost, ApiKey, ClientCertificates, Control, ControlToken, Scope, UnixSocket, tokens};
use crate::config::api_keys;
use crate::config::form::Form;
use crate::config::load::Sources;
use crate::config::place::{Source, Span};
use crate::config::read::{self, Read, quote, wrong};
use crate::config::tls::{Authorities, PEM_BYTES_MAX, WrittenCertificate};
use crate::config::yaml::{Node, Wrong};
use crate::origin;
use std::path::PathBuf;

/// As the keys have it, where that is not yet what [`Control`] holds.
pub struct WrittenControl {
    pub api_keys: Vec<ApiKey>,
    pub api_keys_file: Option<PathBuf>,
    pub tokens: Vec<ControlToken>,
    pub tokens_file: Option<PathBuf>,
    pub unix: Option<PathBuf>,
    pub unix_mode: u32,
    pub unix_scope: Option<Scope>,
    pub certificates: Vec<WrittenCertificate>,
    pub client_ca_file: Option<PathBuf>,
    pub client_auth: ClientAuth,
    pub client_scope: Scope,
    authorities: Authorities,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    Optional,
    Required,
}

impl WrittenControl {
    pub fn blank() -> WrittenControl {
        WrittenControl {
            api_keys: Vec::new(),
            api_keys_file: None,
            tokens: Vec::new(),
            tokens_file: None,
            unix: None,
            unix_mode: 0,
            unix_scope: None,
            certificates: Vec::new(),
            client_ca_file: None,
            client_auth: ClientAuth::None,
            client_scope: Scope::Read,
            authorities: Authorities::default(),
        }
    }

    /// The paths that start at the configuration file's folder, if they are relative.
    pub fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let WrittenControl { api_keys_file, tokens_file, unix, client_ca_file, .. } = self;
        [api_keys_file, tokens_file, unix, client_ca_file].into_iter().flatten()
    }

    /// Whether anybody is asked for a token.
    pub fn has_tokens(&self) -> bool {
        !self.tokens.is_empty() || self.tokens_file.is_some()
    }

    /// Fills in what follows from the keys and their files.
    pub fn finish(self, control: &mut Control) {
        control.api_keys = self.api_keys.into();
        control.tokens = self.tokens.into();
        let (mode, others) = (self.unix_mode, self.unix_scope);
        control.unix = self.unix.map(|path| UnixSocket { path, mode, others });
        control.tls.clients = (self.client_auth != ClientAuth::None).then(|| ClientCertificates {
            required: self.client_auth == ClientAuth::Required,
            authorities: self.authorities,
            scope: self.client_scope,
        });
    }
}

/// Reads the files that the keys name.
pub fn read_files(form: &mut Form, sources: &Sources<'_>) {
    read_api_keys(form, sources);
    read_tokens(form, sources);
    read_authorities(form, sources);
}

/// Adds the keys of the publish API that stand in a file of their own.
fn read_api_keys(form: &mut Form, sources: &Sources<'_>) {
    let Some(path) = form.draft.control.api_keys_file.clone() else { return };
    let read =
        (sources.read_file)(&path).map_err(|error| format!("cannot be read: {error}: write one key a line"));
    match read.and_then(|text| api_keys::file(&text)) {
        Ok(keys) => form.draft.control.api_keys.extend(keys),
        Err(why) => {
            let message = format!("{} {why}", quote(&path.to_string_lossy()));
            form.fault_at_key("control.api_keys_file", Wrong::at(Span::default(), message));
        }
    }
}

fn read_tokens(form: &mut Form, sources: &Sources<'_>) {
    let Some(path) = form.draft.control.tokens_file.clone() else { return };
    match (sources.read_file)(&path) {
        Ok(text) => {
            let source = Source::UsersFile(path.to_string_lossy().as_ref().into());
            let read = tokens::file(&text, &source, &form.draft.control.tokens, &mut form.faults);
            form.draft.control.tokens.extend(read.into_iter().flatten());
        }
        Err(error) => {
            let path = quote(&path.to_string_lossy());
            let message =
                format!("cannot read the tokens file {path}: {error}; write one, {}", tokens::EXAMPLE);
            form.fault_at_key("control.tokens_file", Wrong::at(Span::default(), message));
        }
    }
}

/// Whom client certificates must be signed by. The file is looked into whether it is used or not: it is checked today
/// what is switched on tomorrow.
fn read_authorities(form: &mut Form, sources: &Sources<'_>) {
    let Some(path) = form.draft.control.client_ca_file.clone() else { return };
    let read = match (sources.read_file)(&path) {
        Ok(text) if text.len() > PEM_BYTES_MAX => Err(format!("is larger than {PEM_BYTES_MAX} bytes")),
        Ok(text) => Authorities::read(&text),
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    match read {
        Ok(authorities) => form.draft.control.authorities = authorities,
        Err(why) => {
            let message = format!("{} {why}", quote(&path.to_string_lossy()));
            form.fault_at_key("control.tls.client_ca_file", Wrong::at(Span::default(), message));
        }
    }
}

/// An entry of `control.allowed_hosts`.
pub fn allowed_host(node: &Node) -> Read<AllowedHost> {
    let text = read::text(node)?;
    if text == "*" {
        return Ok(AllowedHost::Any);
    }
    let (below, name) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
    match origin::authority(name) {
        Some((name, None)) if !name.starts_with(['[', '.']) => {
            let name = name.trim_end_matches('.').into();
            Ok(if below { AllowedHost::Below(name) } else { AllowedHost::Exactly(name) })
        }
        _ => wrong(
            node.span,
            format!(
                "{} is no name: write ops.example, *.example.org, or [\"*\"] alone to switch the check off; addresses and localhost need no entry, a port is not compared",
                quote(text)
            ),
        ),
    }
}

/// As it would be written.
pub fn show_host(host: &AllowedHost) -> String {
    match host {
        AllowedHost::Any => "*".to_owned(),
        AllowedHost::Exactly(name) => name.to_string(),
        AllowedHost::Below(name) => format!("*.{name}"),
    }
}

/// Permissions of a file, as chmod(1) takes them.
pub fn mode(node: &Node) -> Read<u32> {
    let text = read::scalar(node, "permissions such as \"0600\"")?;
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => wrong(
            node.span,
            format!("{} are no permissions: write them in octal, such as \"0600\" or \"0660\"", quote(text)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Node {
        Node::plain(Span::default(), text)
    }

    #[test]
    fn hosts_read_back_as_they_are_shown_and_fit_what_they_say() {
        for (text, shown, fits, fits_not) in [
            ("*", "*", &["x", ""][..], &[][..]),
            (
                "Ops.Example",
                "ops.example",
                &["ops.example"],
                &["x.ops.example", "xops.example", "ops.example.x", ""],
            ),
            ("ringway", "ringway", &["ringway"], &["ringway.evil.example"]),
            (
                "*.example.org",
                "*.example.org",
                &["a.example.org", "a.b.example.org"],
                &["example.org", "xexample.org", ".example.org"],
            ),
        ] {
            let host = allowed_host(&plain(text)).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(show_host(&host), shown);
            assert!(fits.iter().all(|name| host.fits(name)), "{text}");
            assert!(!fits_not.iter().any(|name| host.fits(name)), "{text}");
        }
        for text in
            ["http://ops.example", "ops.example:9003", "ops.example/", "[::1]", "*.", "a b", "*.*", "*."]
        {
            assert!(allowed_host(&plain(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn modes_are_octal() {
        for (text, wanted) in [("0600", 0o600), ("600", 0o600), ("0o660", 0o660), ("777", 0o777)] {
            assert!(mode(&plain(text)).is_ok_and(|mode| mode == wanted), "{text}");
        }
        for text in ["", "8", "0800", "1777", "4755", "u=rw", "00600", "-600", "0x1ff"] {
            assert!(mode(&plain(text)).is_err(), "{text}");
        }
    }
}
