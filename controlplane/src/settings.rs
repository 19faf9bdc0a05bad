//! From the command line, the environment and the files to a configuration, at the start and again at each reload.

use clap::Args;
use ringway_shared::config::{
    FILE_BYTES_MAX, Faults, HostFacts, Loaded, Override, Source, SourceFile, Sources, Span,
    USERS_FILE_BYTES_MAX, Value, load as load_sources,
};
use rustix::fs::OFlags;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the configuration comes from. Later ones win: file, RINGWAY_… environment, --set.
#[derive(Args)]
pub struct SettingsArguments {
    /// The configuration file (also CONFIG_FILE in the environment); without one the built-in defaults run.
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Sets one key to a YAML value, e.g. --set 'socks5.allow_targets=[loopback]'. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub sets: Vec<String>,
}

impl SettingsArguments {
    /// The same as words of a command line.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let config = self.config.iter().flat_map(|path| ["--config".into(), path.clone().into_os_string()]);
        config.chain(self.sets.iter().flat_map(|set| ["--set".into(), set.into()])).collect()
    }
}

/// Where the configuration of this process comes from, for as long as it runs.
pub struct Settings {
    file: Option<PathBuf>,
    env: Vec<(String, String)>,
    sets: Vec<String>,
    /// As it was at the start: what follows from it must not change under running workers.
    host: HostFacts,
}

/// The texts that configurations are made of, as they were read once: whoever makes another one of them, with other
/// overrides or later, finds the same.
#[derive(Default)]
pub struct Texts {
    file: Option<SourceFile>,
    /// The files that keys name.
    named: RefCell<HashMap<PathBuf, Arc<str>>>,
    /// Pipes can be read once alone: fine at the start, a trap later.
    again: Cell<bool>,
}

/// Loads the configuration whole. The error lists every fault, ready to print.
pub fn load(arguments: &SettingsArguments) -> Result<Loaded, String> {
    let settings = Settings::of(arguments);
    let loaded = settings.read().and_then(|texts| settings.load(&texts, &[], &[]));
    loaded.map_err(|faults| faults.to_string())
}

impl Settings {
    #[must_use]
    pub fn of(arguments: &SettingsArguments) -> Settings {
        // Set but empty, as compose files do, is not set.
        let named = || std::env::var_os("CONFIG_FILE").filter(|name| !name.is_empty()).map(PathBuf::from);
        Settings {
            file: arguments.config.clone().or_else(named),
            env: environment(),
            sets: arguments.sets.clone(),
            host: HostFacts { cpus_allowed: cpus_allowed() },
        }
    }

    /// Reads the configuration file, at the start.
    pub fn read(&self) -> Result<Texts, Faults> {
        self.texts(false)
    }

    /// Reads it while running.
    pub fn read_again(&self) -> Result<Texts, Faults> {
        self.texts(true)
    }

    fn texts(&self, again: bool) -> Result<Texts, Faults> {
        let Some(path) = &self.file else {
            return Ok(Texts { again: again.into(), ..Texts::default() });
        };
        let name = path.display().to_string();
        let read = if again { read_regular } else { read_bounded };
        let text = read(path, FILE_BYTES_MAX).map_err(|error| {
            let message = format!("cannot be read: {error}; -c names the configuration file");
            Faults::one(Source::File(name.as_str().into()).at(Span::default()), "", message)
        })?;
        Ok(Texts { file: Some(SourceFile { name, text }), again: again.into(), ..Texts::default() })
    }

    /// Makes a configuration of texts, with keys that are set for a time, and with those that need a restart held.
    pub fn load(
        &self,
        texts: &Texts,
        overrides: &[Override],
        held: &[(&'static str, Value)],
    ) -> Result<Loaded, Faults> {
        load_sources(&Sources {
            file: texts.file.clone(),
            env: self.env.clone(),
            sets: self.sets.clone(),
            overrides: overrides.to_vec(),
            held: held.to_vec(),
            host: self.host.clone(),
            read_file: &|path| texts.named(path),
        })
    }
}

impl Texts {
    /// The start is over: what keys name from now on (of an override, say) must not keep the control plane waiting.
    pub fn settle(&self) {
        self.again.set(true);
    }

    /// A file that a key names, read when it is asked for first.
    fn named(&self, path: &Path) -> io::Result<String> {
        if let Some(text) = self.named.borrow().get(path) {
            return Ok(text.to_string());
        }
        let read = if self.again.get() { read_regular } else { read_bounded };
        let text = read(path, USERS_FILE_BYTES_MAX)?;
        self.named.borrow_mut().insert(path.to_owned(), text.as_str().into());
        Ok(text)
    }
}

/// Reads a file of at most `bytes_max`: a larger one is read one byte too far, and then refused by its size.
pub fn read_bounded(path: &Path, bytes_max: usize) -> io::Result<String> {
    read_to_end(File::open(path)?, bytes_max)
}

/// The same while running: what might keep the control plane waiting, or has been read before, is refused.
fn read_regular(path: &Path, bytes_max: usize) -> io::Result<String> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file, and cannot be read again"));
    }
    read_to_end(file, bytes_max)
}

fn read_to_end(file: File, bytes_max: usize) -> io::Result<String> {
    let mut text = String::new();
    file.take(bytes_max as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// The environment, as far as it is UTF-8: the keys ringway knows are.
fn environment() -> Vec<(String, String)> {
    let pairs = std::env::vars_os();
    pairs.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// The CPUs this process may use, as cgroups and taskset left them.
pub fn cpus_allowed() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}
