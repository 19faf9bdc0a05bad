//! Loading a configuration on a host of known shape, for tests.

#![allow(clippy::unwrap_used, dead_code)] // each test file uses its part of this

use ringway_shared::config::{self, Config, Faults, HostFacts, Loaded, SourceFile, Sources};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Loads a file's text with overrides on a host of four CPUs and without a users file.
pub fn load(text: Option<&str>, env: &[(&str, &str)], sets: &[&str]) -> Result<Loaded, Faults> {
    load_with(text, env, sets, &|_| Err(io::Error::from(ErrorKind::NotFound)))
}

pub fn load_with(
    text: Option<&str>,
    env: &[(&str, &str)],
    sets: &[&str],
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Loaded, Faults> {
    config::load(&Sources {
        file: text.map(|text| SourceFile { name: "etc/ringway.yaml".to_owned(), text: text.to_owned() }),
        env: env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        sets: sets.iter().map(|set| set.to_string()).collect(),
        overrides: Vec::new(),
        held: Vec::new(),
        host: HostFacts { cpus_allowed: vec![0, 1, 2, 3] },
        read_file,
    })
}

pub fn debug(config: &Config) -> String {
    format!("{config:#?}\n")
}
