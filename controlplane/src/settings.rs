//! From the command line, the environment and the files to a configuration.

use clap::Args;
use ringway_shared::config::{
    FILE_BYTES_MAX, HostFacts, Loaded, SourceFile, Sources, USERS_FILE_BYTES_MAX, load as load_sources,
};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

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

/// Loads the configuration whole. The error lists every fault, ready to print.
pub fn load(arguments: &SettingsArguments) -> Result<Loaded, String> {
    // Set but empty, as compose files do, is not set.
    let named = || std::env::var_os("CONFIG_FILE").filter(|name| !name.is_empty()).map(PathBuf::from);
    let path = arguments.config.clone().or_else(named);
    let file = path.map(|path| source_file(&path)).transpose()?;
    let sources = Sources {
        file,
        env: environment(),
        sets: arguments.sets.clone(),
        overrides: Vec::new(),
        held: Vec::new(),
        host: HostFacts { cpus_allowed: cpus_allowed() },
        read_file: &|path| read_bounded(path, USERS_FILE_BYTES_MAX),
    };
    load_sources(&sources).map_err(|faults| faults.to_string())
}

fn source_file(path: &Path) -> Result<SourceFile, String> {
    let name = path.display().to_string();
    let text = read_bounded(path, FILE_BYTES_MAX)
        .map_err(|error| format!("{name}: cannot be read: {error}; -c names the configuration file"))?;
    Ok(SourceFile { name, text })
}

/// Reads a file of at most `bytes_max`: a larger one is read one byte too far, and then refused by its size.
pub fn read_bounded(path: &Path, bytes_max: usize) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_string(&mut text)?;
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
