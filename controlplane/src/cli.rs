//! The command line: what was asked, and the questions that need no running process.

use crate::acl_test::{self, AclTest};
use crate::catalogue_docs::metrics_markdown;
use crate::ctl::{self, Ctl};
use crate::doctor::{self, Doctor};
use crate::exit::Exit;
use crate::manual::{self, Completions, Manual};
use crate::passwd;
use crate::port;
use crate::settings::{self, SettingsArguments};
use crate::token::{self, NewToken};
use clap::{Parser, Subcommand, ValueEnum};
use ringway_dataplane::policy::admission::{self, Admission};
use ringway_shared::config::print;
use std::io::Write;

/// A SOCKS5 proxy and WebSocket gateway on io_uring, one thread per core. Without a command it runs.
#[derive(Parser)]
#[command(name = "ringway", version)]
pub struct Arguments {
    #[command(flatten)]
    pub settings: SettingsArguments,
    #[command(subcommand)]
    pub task: Option<Task>,
}

#[derive(Subcommand)]
pub enum Task {
    /// Looks at the configuration and tells every fault in it.
    Check,
    Doctor(Doctor),
    /// Prints a configuration.
    Config {
        #[arg(value_enum)]
        what: Printed,
    },
    /// Asks the rules of a configuration.
    #[command(subcommand)]
    Acl(Rules),
    /// Runs ringway in a process of its own, keeps its listening sockets, and starts it anew whenever it crashes.
    Supervise,
    Ctl(Ctl),
    /// Prints every metric there is: docs/metrics.md.
    Metrics,
    /// Reads a password from standard input and prints its hash for the users file.
    Passwd,
    /// Makes a token for the control port: shows it once, with the line for control.tokens.
    Token(NewToken),
    Completions(Completions),
    Man(Manual),
}

#[derive(Subcommand)]
pub enum Rules {
    Test(AclTest),
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Printed {
    /// Every key with its default and its meaning, as a file to start from.
    Default,
    /// The JSON Schema of the file.
    Schema,
    /// What would run now, and where each value comes from.
    Effective,
}

/// Parses the command line. Ends the process with code 2 and a usage text where it is wrong.
#[must_use]
pub fn arguments() -> Arguments {
    Arguments::parse()
}

/// Answers what can be answered at once. `None`: nothing was asked, so run.
#[must_use]
pub fn answer(arguments: &Arguments) -> Option<Exit> {
    let answer = match arguments.task.as_ref()? {
        Task::Check => check(&arguments.settings),
        Task::Config { what: Printed::Default } => Ok(print::default_yaml()),
        Task::Config { what: Printed::Schema } => Ok(print::schema_json()),
        Task::Config { what: Printed::Effective } => {
            settings::load(&arguments.settings).map(|loaded| print::effective_yaml(&loaded.effective))
        }
        Task::Acl(Rules::Test(asked)) => return Some(acl_test::run(asked, &arguments.settings)),
        Task::Ctl(asked) => return Some(ctl::run(asked, &arguments.settings)),
        Task::Doctor(asked) => return Some(doctor::run(asked, &arguments.settings)),
        // It runs, which is not answered here.
        Task::Supervise => return None,
        Task::Metrics => Ok(metrics_markdown()),
        Task::Passwd => passwd::from_stdin(),
        Task::Token(wanted) => token::make(wanted),
        Task::Completions(asked) => Ok(manual::completions(asked)),
        Task::Man(asked) => manual::page(asked),
    };
    Some(match answer {
        Ok(text) => {
            say(&mut std::io::stdout().lock(), &text);
            Exit::Done
        }
        Err(faults) => {
            say(&mut std::io::stderr().lock(), &faults);
            Exit::BadConfiguration
        }
    })
}

fn check(arguments: &SettingsArguments) -> Result<String, String> {
    let config = settings::load(arguments)?.config;
    let users = config
        .socks5
        .users
        .as_ref()
        .map_or(String::new(), |users| format!(", {} users", users.entries.len()));
    // Whether the keys of tokens can be used.
    Admission::new(&config.websocket.admission, false, None)?;
    let notices = port::notices(&config).into_iter().chain(admission::notices(&config.websocket));
    let notices: String = notices.map(|notice| format!("notice: {notice}\n")).collect();
    let listeners = [
        ("socks5", &config.socks5.listen),
        ("socks5 by TLS", &config.socks5.tls.listen),
        ("websocket", &config.websocket.listen),
        ("websocket by TLS", &config.websocket.tls.listen),
        ("control", &config.control.listen),
        ("control by TLS", &config.control.tls.tls.listen),
    ];
    let listeners: String = listeners
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(name, addresses)| format!(", {name} on {addresses:?}"))
        .collect();
    Ok(format!("{notices}OK: {} workers{users}{listeners}", config.workers.count))
}

/// Writes a text that ends in one newline. Nobody is left to tell when even that fails.
pub fn say(to: &mut impl Write, text: &str) {
    let _ = writeln!(to, "{}", text.trim_end_matches('\n'));
}
