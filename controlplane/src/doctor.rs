//! `ringway doctor`: whether this host is as the configuration wants it, and what to change.
//!
//! `host` reads what there is, once; `checks` judge that and nothing else, so tests show them hosts that do not exist;
//! `finding` is what a check tells, `print` how it is shown. Must not be here: changing the host. That is tuning/apply.sh's.

mod checks;
mod finding;
mod host;
mod print;

pub use finding::{Finding, Level};
pub use host::memory_max_bytes;

use crate::cli::say;
use crate::exit::Exit;
use crate::settings::{self, SettingsArguments};
use checks::Case;
use clap::Args;
use host::Host;
use ringway_dataplane::Needs;
use ringway_shared::config::Config;
use serde_json::Value as Json;

/// Checks this host against the configuration: exit code 0 if nothing is amiss but for notes, 1 if something is.
///
/// Run it as the user and under the limits that ringway has: of another shell it tells the limits of that shell. It
/// changes nothing; tuning/apply.sh changes what it asks for.
#[derive(Args)]
pub struct Doctor {
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Prints what was found.
pub fn run(asked: &Doctor, settings: &SettingsArguments) -> Exit {
    let config = match settings::load(settings) {
        Ok(loaded) => loaded.config,
        Err(faults) => {
            say(&mut std::io::stderr().lock(), &faults);
            return Exit::BadConfiguration;
        }
    };
    let findings = examine(&config);
    let text = if asked.json { format!("{:#}", print::json(&findings)) } else { print::text(&findings) };
    say(&mut std::io::stdout().lock(), &text);
    if Level::worst(&findings) >= Level::Warning { Exit::Unwell } else { Exit::Done }
}

/// Reads the host and judges it. Takes some milliseconds of small files, and makes and drops rings and sockets.
#[must_use]
pub fn examine(config: &Config) -> Vec<Finding> {
    checks::all(&Case { host: &Host::read(config), config, needs: Needs::of(config) })
}

/// The same as JSON, to put among other things.
#[must_use]
pub fn report(config: &Config) -> Json {
    print::json(&examine(config))
}
