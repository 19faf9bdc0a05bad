//! From texts to a [`Config`]: defaults, file, environment, `--set`; then the checks between them.

use super::draft::{Auth, Draft};
use super::effective::Effective;
use super::fault::Faults;
use super::form::Form;
use super::place::{Source, Span};
use super::read::quote;
use super::yaml::{self, Wrong};
use super::{Config, Users, checks, overrides, users};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a configuration file.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Everything a configuration is made of. The caller has read it; nothing is read in here.
pub struct Sources<'a> {
    /// `None`: the built-in defaults.
    pub file: Option<SourceFile>,
    /// All of the environment; what does not concern ringway is left alone.
    pub env: Vec<(String, String)>,
    /// `KEY=VALUE`, in the order of the command line.
    pub sets: Vec<String>,
    pub host: HostFacts,
    /// Gives the users file's text. Called at most once, and only with `socks5.auth: password`.
    pub users: &'a dyn Fn(&Path) -> std::io::Result<String>,
}

/// A file's text and the path it was read from, as faults shall name it.
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
    let mut form = Form::with_defaults();
    if let Some(file) = &sources.file {
        fill_file(&mut form, file);
    }
    overrides::environment(&mut form, &sources.env);
    overrides::sets(&mut form, &sources.sets);
    checks::run(&mut form, &sources.host);
    let users = read_users(&mut form, sources);

    let Form { draft, settings, mut faults } = form;
    if faults.is_empty() {
        let config = draft.finish(sources.host.cpus_allowed.len(), users);
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
    let path = users_path(&form.draft, sources.file.as_ref());
    match (sources.users)(&path) {
        Ok(text) => {
            let source = Source::UsersFile(path.to_string_lossy().as_ref().into());
            users::parse(&text, &source, &mut form.faults).map(Arc::new)
        }
        Err(error) => {
            let path = quote(&path.to_string_lossy());
            let message =
                format!("cannot read the users file {path}: {error}; write one, {}", users::EXAMPLE);
            form.fault_at_key("socks5.users_file", message);
            None
        }
    }
}

/// Relative to the configuration file's folder.
fn users_path(draft: &Draft, file: Option<&SourceFile>) -> PathBuf {
    let folder = file.and_then(|file| Path::new(&file.name).parent()).unwrap_or(Path::new(""));
    folder.join(&draft.users_file)
}
