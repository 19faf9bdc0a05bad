//! From texts to a [`Config`]: defaults, file, environment, `--set`, what is set for a time; then the checks between them.

use super::admission::written;
use super::alerts::webhooks;
use super::contents::Contents;
use super::draft::Auth;
use super::effective::Effective;
use super::fault::Faults;
use super::form::Form;
use super::place::{Source, Span};
use super::proxies::{self, Keeper};
use super::read::quote;
use super::tls::{Certificate, WrittenCertificate};
use super::value::Value;
use super::yaml::{self, Wrong};
use super::{Config, Users, checks, control, overrides, users};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a configuration file.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Everything a configuration is made of. The caller has read it; nothing is read in here.
#[derive(Clone)]
pub struct Sources<'a> {
    /// `None`: the built-in defaults.
    pub file: Option<SourceFile>,
    /// All of the environment; what does not concern ringway is left alone.
    pub env: Vec<(String, String)>,
    /// `KEY=VALUE`, in the order of the command line.
    pub sets: Vec<String>,
    /// What is set for a time, over everything above.
    pub overrides: Vec<Override>,
    /// Keys that are read at the start alone, with the values they are in force with. They win over everything, and the
    /// checks between keys see them.
    pub held: Vec<(&'static str, Value)>,
    pub host: HostFacts,
    /// Gives the text of a file that the configuration names: the users file, at most once and only with
    /// `socks5.auth: password`; the files of API keys and of tokens, and the authorities of client certificates; files of upstream proxies' passwords; certificates and
    /// their keys; the files that `websocket.auth` and webhooks need.
    pub read_file: &'a dyn Fn(&Path) -> std::io::Result<String>,
}

/// A key that somebody has set for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub key: String,
    /// YAML, as in a `--set`.
    pub value: String,
    /// When it returns, for people.
    pub until: String,
}

/// A file's text and the path it was read from, as faults shall name it.
#[derive(Clone)]
pub struct SourceFile {
    pub name: String,
    pub text: String,
}

/// What the configuration must know of this host.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    /// The CPUs this process may use; empty: not known.
    pub cpus_allowed: Vec<usize>,
}

/// A valid configuration and where its values came from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub effective: Effective,
}

/// Makes a configuration, or tells everything that is wrong with it.
///
/// # Errors
/// All faults of all sources at once.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Faults> {
    let contents = Contents::default();
    let read_file = |path: &Path| contents.note(path, (sources.read_file)(path));
    let sources = &Sources { read_file: &read_file, ..sources.clone() };
    let mut form = Form::with_defaults();
    if let Some(file) = &sources.file {
        fill_file(&mut form, file);
    }
    overrides::environment(&mut form, &sources.env);
    overrides::sets(&mut form, &sources.sets);
    overrides::for_a_time(&mut form, &sources.overrides);
    overrides::held(&mut form, &sources.held);
    checks::run(&mut form, &sources.host);
    let folder = sources.file.as_ref().and_then(|file| Path::new(&file.name).parent());
    let folder = folder.unwrap_or(Path::new(""));
    form.draft.resolve_paths(folder);
    read_passwords(&mut form, sources);
    read_certificates(&mut form, sources);
    control::written::read_files(&mut form, sources);
    webhooks::read_files(&mut form, sources);
    let users = read_users(&mut form, sources);
    if let Some(users) = &users {
        checks::run_with_users(&mut form, users);
    }

    let gateway_auth = written::read_files(&mut form, sources);

    contents.mark(&mut form.settings, folder);
    let Form { draft, settings, mut faults } = form;
    if let (true, Some(gateway_auth)) = (faults.is_empty(), gateway_auth) {
        let config = draft.finish(sources.host.cpus_allowed.len(), users, gateway_auth);
        return Ok(Loaded { config, effective: Effective { settings } });
    }
    faults.arrange(sources.file.as_ref().map_or("", |file| &file.text));
    Err(faults)
}

fn fill_file(form: &mut Form, file: &SourceFile) {
    let source = Source::File(file.name.as_str().into());
    if file.text.len() > FILE_BYTES_MAX {
        let message = format!("is larger than {FILE_BYTES_MAX} bytes: this is no configuration file");
        return form.fault(&source, "", Wrong::at(Span::default(), message));
    }
    match yaml::parse(&file.text) {
        Ok(root) => form.fill(&source, &root),
        Err(wrong) => form.fault(&source, "", wrong),
    }
}

fn read_users(form: &mut Form, sources: &Sources<'_>) -> Option<Arc<Users>> {
    let unclear = ["socks5.auth", "socks5.users_file"].iter().any(|key| form.faults.touch(key));
    if unclear || form.draft.auth == Auth::None {
        return None;
    }
    let path = form.draft.users_file.clone();
    match (sources.read_file)(&path) {
        Ok(text) => {
            let source = Source::UsersFile(path.to_string_lossy().as_ref().into());
            // Which groups there are is not clear while a proxy is at fault.
            let groups = (!form.faults.touch("socks5.upstream.proxies")).then(|| form.draft.groups());
            users::parse(&text, &source, groups.as_deref(), &mut form.faults).map(Arc::new)
        }
        Err(error) => {
            let path = quote(&path.to_string_lossy());
            let message =
                format!("cannot read the users file {path}: {error}; write one, {}", users::EXAMPLE);
            form.fault_at_key("socks5.users_file", Wrong::at(Span::default(), message));
            None
        }
    }
}

/// Fetches the passwords of upstream proxies from where they are kept.
fn read_passwords(form: &mut Form, sources: &Sources<'_>) {
    let mut wrongs = Vec::new();
    for (index, written) in form.draft.proxies.iter_mut().enumerate() {
        let Some(secret) = &written.secret else { continue };
        let held = match &secret.keeper {
            Keeper::File(path) => (sources.read_file)(path)
                .map_err(|error| format!("cannot read {}: {error}", quote(&path.to_string_lossy()))),
            Keeper::Environment(name) => sources
                .env
                .iter()
                .find_map(|(candidate, value)| (**candidate == **name).then(|| value.clone()))
                .ok_or_else(|| format!("{} is not in the environment: set it", quote(name))),
        };
        match held.and_then(|held| proxies::login(secret, written.proxy.protocol, &held)) {
            Ok(login) => written.proxy.login = Some(login),
            Err(message) => {
                let path = format!("[{index}].{}", secret.keeper.field());
                wrongs.push(Wrong::at(secret.span, message).below(&path));
            }
        }
    }
    wrongs.into_iter().for_each(|wrong| form.fault_at_key("socks5.upstream.proxies", wrong));
}

/// Reads the certificates of all services. Those of a service that does not listen with TLS as well: it is checked
/// today what is switched on tomorrow.
fn read_certificates(form: &mut Form, sources: &Sources<'_>) {
    let socks5 = std::mem::take(&mut form.draft.socks5_certificates);
    form.draft.config.socks5.tls.certificates =
        read_each_certificate(form, "socks5.tls.certificates", &socks5, sources);
    let websocket = std::mem::take(&mut form.draft.websocket_certificates);
    form.draft.config.websocket.tls.certificates =
        read_each_certificate(form, "websocket.tls.certificates", &websocket, sources);
    let control = std::mem::take(&mut form.draft.control.certificates);
    form.draft.config.control.tls.tls.certificates =
        read_each_certificate(form, "control.tls.certificates", &control, sources);
}

fn read_each_certificate(
    form: &mut Form,
    key: &str,
    written: &[WrittenCertificate],
    sources: &Sources<'_>,
) -> Vec<Arc<Certificate>> {
    let mut certificates = Vec::new();
    for (index, written) in written.iter().enumerate() {
        match Certificate::read(written.files.clone(), sources.read_file) {
            Ok(certificate) => certificates.push(Arc::new(certificate)),
            Err(fault) => {
                let path = format!("[{index}].{}", fault.half.field());
                form.fault_at_key(key, Wrong::at(written.span(fault.half), fault.message).below(&path));
            }
        }
    }
    certificates
}
