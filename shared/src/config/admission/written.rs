//! What the keys say of admission, and the files they name: until both are one [`Admission`].

use super::{
    Admission, Algorithm, Algorithms, AllowedOrigin, ConnectionRate, GatewayAuth, Jwt, KeyFile, OneSession,
    RampUp, Secret, tokens,
};
use crate::config::form::Form;
use crate::config::load::Sources;
use crate::config::place::{Source, Span};
use crate::config::read::{self, Read, quote, wrong};
use crate::config::yaml::{Data, Node, Wrong};
use crate::origin::Origin;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// RFC 7518 section 3.2: a key as long as the hash at least.
const SECRET_BYTES_MIN: usize = 32;

/// As the keys have it.
pub struct WrittenAdmission {
    pub auth: AuthWord,
    pub tokens_file: PathBuf,
    pub jwt: WrittenJwt,
    pub allowed_origins: Vec<AllowedOrigin>,
    pub connections_per_user: Option<u32>,
    pub one_session: OneSession,
    pub connections_per_second: Option<u32>,
    /// `None`: as many as come in a second.
    pub connection_burst: Option<u32>,
    pub ramp_up_over: Duration,
    pub ramp_up_from: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AuthWord {
    None,
    Token,
    Jwt,
}

#[derive(Default)]
pub struct WrittenJwt {
    pub secret_file: Option<PathBuf>,
    /// The name of an environment variable.
    pub secret_env: Option<String>,
    pub public_key_files: Vec<PathBuf>,
    pub jwks_file: Option<PathBuf>,
    pub jwks_url: Option<String>,
    pub jwks_refresh: Duration,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub leeway: Duration,
    pub algorithms: Algorithms,
}

impl WrittenAdmission {
    pub fn blank() -> WrittenAdmission {
        WrittenAdmission {
            auth: AuthWord::None,
            tokens_file: PathBuf::new(),
            jwt: WrittenJwt::default(),
            allowed_origins: Vec::new(),
            connections_per_user: None,
            one_session: OneSession::Off,
            connections_per_second: None,
            connection_burst: None,
            ramp_up_over: Duration::ZERO,
            ramp_up_from: 0,
        }
    }

    pub fn believe(&mut self, algorithm: Algorithm) {
        self.jwt.algorithms = self.jwt.algorithms.with(algorithm);
    }

    /// The paths that start at the configuration file's folder, if they are relative.
    pub fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let WrittenJwt { secret_file, public_key_files, jwks_file, .. } = &mut self.jwt;
        let optional = secret_file.iter_mut().chain(jwks_file.iter_mut());
        std::iter::once(&mut self.tokens_file).chain(optional).chain(public_key_files.iter_mut())
    }

    /// The admission that the keys tell of, given what their files hold.
    pub fn finish(self, auth: GatewayAuth) -> Admission {
        let ramp_up = RampUp { over: self.ramp_up_over, from: self.ramp_up_from };
        let rate = |per_second| ConnectionRate {
            per_second,
            burst: self.connection_burst.unwrap_or(per_second),
            ramp_up: (!ramp_up.over.is_zero()).then_some(ramp_up),
        };
        Admission {
            auth,
            connection_rate: self.connections_per_second.map(rate),
            allowed_origins: self.allowed_origins,
            connections_per_user: self.connections_per_user,
            one_session: self.one_session,
        }
    }
}

/// Reads the files that `websocket.auth` needs; `None` if anything is wrong with them.
pub fn read_files(form: &mut Form, sources: &Sources<'_>) -> Option<GatewayAuth> {
    if form.faults.touch("websocket.auth") {
        return None;
    }
    match form.draft.admission.auth {
        AuthWord::None => Some(GatewayAuth::None),
        AuthWord::Token => read_tokens(form, sources),
        AuthWord::Jwt => read_keys(form, sources),
    }
}

fn read_tokens(form: &mut Form, sources: &Sources<'_>) -> Option<GatewayAuth> {
    if form.faults.touch("websocket.tokens_file") {
        return None;
    }
    let path = form.draft.admission.tokens_file.clone();
    match (sources.read_file)(&path) {
        Ok(text) => {
            let source = Source::UsersFile(path.to_string_lossy().as_ref().into());
            tokens::parse(&text, &source, &mut form.faults)
                .map(|tokens| GatewayAuth::Tokens(Arc::new(tokens)))
        }
        Err(error) => {
            let path = quote(&path.to_string_lossy());
            let message =
                format!("cannot read the tokens file {path}: {error}; write one, {}", tokens::EXAMPLE);
            form.fault_at_key("websocket.tokens_file", Wrong::at(Span::default(), message));
            None
        }
    }
}

fn read_keys(form: &mut Form, sources: &Sources<'_>) -> Option<GatewayAuth> {
    let before = form.faults.len();
    let written = std::mem::take(&mut form.draft.admission.jwt);
    let mut fault = |key, message| form.fault_at_key(key, Wrong::at(Span::default(), message));
    let mut text_of = |key, path: PathBuf| match read_text(sources, &path) {
        Ok(text) => Some(KeyFile { path, text: text.into() }),
        Err(message) => {
            fault(key, message);
            None
        }
    };
    let paths = written.public_key_files.into_iter();
    let public_keys = paths.filter_map(|path| text_of("websocket.jwt.public_key_files", path)).collect();
    let jwks_file = written.jwks_file.and_then(|path| text_of("websocket.jwt.jwks_file", path));
    let secret = match (&written.secret_file, &written.secret_env) {
        (Some(path), _) => Some(("websocket.jwt.secret_file", read_text(sources, path))),
        (None, Some(name)) => Some(("websocket.jwt.secret_env", variable(sources, name))),
        (None, None) => None,
    };
    let secret = secret.and_then(|(key, held)| match held.and_then(|held| secret_of(&held)) {
        Ok(secret) => Some(secret),
        Err(message) => {
            fault(key, message);
            None
        }
    });
    (form.faults.len() == before).then(|| {
        GatewayAuth::Jwt(Arc::new(Jwt {
            secret,
            public_keys,
            jwks_file,
            jwks_url: written.jwks_url.map(String::into_boxed_str),
            jwks_refresh: written.jwks_refresh,
            issuer: written.issuer.map(String::into_boxed_str),
            audience: written.audience.map(String::into_boxed_str),
            leeway: written.leeway,
            algorithms: written.algorithms,
        }))
    })
}

fn read_text(sources: &Sources<'_>, path: &Path) -> Result<String, String> {
    (sources.read_file)(path)
        .map_err(|error| format!("cannot read {}: {error}", quote(&path.to_string_lossy())))
}

fn variable(sources: &Sources<'_>, name: &str) -> Result<String, String> {
    let held = sources.env.iter().find_map(|(candidate, value)| (candidate == name).then(|| value.clone()));
    held.ok_or_else(|| format!("{} is not in the environment: set it", quote(name)))
}

/// The one line of it. The error is a remedy, and never holds the secret.
fn secret_of(held: &str) -> Result<Secret, String> {
    let line = held.strip_suffix('\n').unwrap_or(held);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains(['\n', '\r']) {
        return Err("holds more than one line: write the secret alone".to_owned());
    }
    if line.len() < SECRET_BYTES_MIN {
        return Err(format!(
            "holds {} bytes: HS256 needs {SECRET_BYTES_MIN} at least (RFC 7518 section 3.2); make one with `openssl rand -hex 32`",
            line.len()
        ));
    }
    Ok(Secret(line.as_bytes().into()))
}

/// An entry of `websocket.allowed_origins`.
pub fn allowed_origin(node: &Node) -> Read<AllowedOrigin> {
    // Without its quotes it is YAML's null, and can mean nothing else here.
    if matches!(&node.data, Data::Scalar { text, .. } if text == "null") {
        return Ok(AllowedOrigin::Null);
    }
    let text = read::text(node)?;
    if text == "*" {
        return Ok(AllowedOrigin::Any);
    }
    let subdomains = text.split_once("://*.").map(|(scheme, rest)| format!("{scheme}://{rest}"));
    let origin = Origin::parse(subdomains.as_deref().unwrap_or(text));
    match (origin, subdomains) {
        (Some(origin), None) => Ok(AllowedOrigin::Exactly(origin)),
        // An address has no subdomains.
        (Some(origin), Some(_)) if !origin.host.starts_with('[') && !origin.host.starts_with('.') => {
            Ok(AllowedOrigin::Subdomains(origin))
        }
        _ => wrong(node.span, format!("{} is no origin: {}", quote(text), remedy(text))),
    }
}

fn remedy(text: &str) -> &'static str {
    if !text.is_ascii() {
        return "write the name as DNS has it (xn--…)";
    }
    if text.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) {
        return "write it without a path, as https://app.example";
    }
    "write https://app.example, https://*.example.com, \"null\", or [\"*\"] alone to switch the check off"
}

/// As it would be written.
pub fn show_origin(origin: &AllowedOrigin) -> String {
    let (start, origin) = match origin {
        AllowedOrigin::Any => return "*".to_owned(),
        AllowedOrigin::Null => return "null".to_owned(),
        AllowedOrigin::Exactly(origin) => ("", origin),
        AllowedOrigin::Subdomains(origin) => ("*.", origin),
    };
    let Origin { scheme, host, port } = origin;
    let port = port.filter(|port| crate::origin::default_port(scheme) != Some(*port));
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    format!("{scheme}://{start}{host}{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AllowedOrigin, String> {
        allowed_origin(&Node::plain(Span::default(), text)).map_err(|wrongs| wrongs[0].message.clone())
    }

    #[test]
    fn origins_read_back_as_they_are_shown() {
        for (text, shown) in [
            ("*", "*"),
            ("null", "null"),
            ("https://App.example:443", "https://app.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://*.example.com", "https://*.example.com"),
            ("http://*.example.com:8080", "http://*.example.com:8080"),
            ("http://[0::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            let origin = read(text).unwrap();
            assert_eq!(show_origin(&origin), shown);
            assert_eq!(read(shown), Ok(origin), "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_says_how_to_write_one() {
        for (text, told) in [
            ("app.example", "write https://app.example, "),
            ("https://app.example/", "without a path"),
            ("https://bücher.example", "xn--"),
            ("https://*", "write https://app.example, "),
            ("https://*.", "write https://app.example, "),
            ("https://*.*.example", "write https://app.example, "),
            ("https://a.*.example", "write https://app.example, "),
            ("https://*example.com", "write https://app.example, "),
            ("https://*.[::1]", "write https://app.example, "),
            ("https://user@app.example", "write https://app.example, "),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.contains(told), "{text}: {fault}");
        }
    }
}
