//! `ringway ctl`: a client of the control port, for people and scripts.
//!
//! In reading order: `verbs` (what can be said, and the routes it is for), `words` (clap's view of that), `fields` (of a request's body), `address`
//! (where), `client` (the request), `tables`, `traffic` and `shown` (the answer).

mod address;
mod client;
mod fields;
mod shown;
mod tables;
mod traffic;
mod verbs;
mod words;

use crate::cli::say;
use crate::exit::Exit;
use crate::settings::SettingsArguments;
use address::Address;
use clap::Args;
use client::{Answered, Identity, Question, Trouble};
use serde_json::Value as Json;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use words::Call;

/// Bytes of a token's file.
const TOKEN_BYTES_MAX: usize = 4096;

/// Asks or steers a ringway that runs. Exit code 0: done; 1: refused, or not well; 2: the command line is wrong; 3: nobody answers.
#[derive(Args)]
#[command(next_help_heading = "The control port")]
pub struct Ctl {
    /// The control port: http://HOST:PORT, https://HOST:PORT or unix:/PATH (also RINGWAY_CONTROL; else that of the
    /// configuration given by -c or --set; else http://127.0.0.1:9003).
    #[arg(long, value_name = "ADDRESS", global = true)]
    control: Option<String>,
    /// A file that holds the token to show (also RINGWAY_TOKEN: the token itself).
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// For https: the authorities to trust, in PEM, instead of this host's.
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// For https: the certificate to show, in PEM.
    #[arg(long, value_name = "FILE", global = true)]
    cert: Option<PathBuf>,
    /// For https: its private key, in PEM.
    #[arg(long, value_name = "FILE", global = true)]
    key: Option<PathBuf>,
    /// Prints the answer as it came.
    #[arg(long, global = true)]
    json: bool,
    /// How long to wait for the answer, in seconds.
    #[arg(long, value_name = "SECONDS", global = true, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    #[command(subcommand)]
    call: Call,
}

/// Makes the request and shows its answer.
#[must_use]
pub fn run(ctl: &Ctl, settings: &SettingsArguments) -> Exit {
    let outcome = prepare(ctl, settings).map_err(Trouble::Given).and_then(|(address, identity)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Trouble::Given(format!("cannot start: {error}; raise `ulimit -n`")))?;
        runtime.block_on(converse(ctl, &address, &identity))
    });
    match outcome {
        Ok(exit) => exit,
        Err(Trouble::Given(fault)) => {
            complain(&fault);
            Exit::BadConfiguration
        }
        Err(Trouble::Unreachable(fault)) => {
            complain(&format!(
                "{fault}\nhint: is ringway running there? --control names another control port"
            ));
            Exit::Unreachable
        }
    }
}

fn complain(text: &str) {
    say(&mut io::stderr().lock(), &format!("ringway ctl: {text}"));
}

fn prepare(ctl: &Ctl, settings: &SettingsArguments) -> Result<(Address, Identity), String> {
    let address = Address::find(ctl.control.as_deref(), settings)?;
    let token = match &ctl.token_file {
        Some(path) => Some(token_in(path)?),
        None => std::env::var("RINGWAY_TOKEN").ok().filter(|token| !token.is_empty()),
    };
    let identity =
        Identity { ca: ctl.ca.clone(), certificate: ctl.cert.clone(), key: ctl.key.clone(), token };
    Ok((address, identity))
}

fn token_in(path: &Path) -> Result<String, String> {
    let wrong = |what: &str| format!("{}: {what}", path.display());
    let text = crate::settings::read_bounded(path, TOKEN_BYTES_MAX)
        .map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) || text.len() > TOKEN_BYTES_MAX {
        return Err(wrong("holds no token: one word is wanted"));
    }
    Ok(token.to_owned())
}

async fn converse(ctl: &Ctl, address: &Address, identity: &Identity) -> Result<Exit, Trouble> {
    let call = &ctl.call;
    let question = Question {
        method: &call.method,
        target: &call.target,
        if_match: call.if_match.as_deref(),
        body: call.body.as_deref(),
    };
    let patience = Duration::from_secs(ctl.timeout);
    let answer = client::ask(address, identity, &question, patience).await?;
    let stats = if call.show == verbs::Show::Status && !ctl.json {
        let question = Question { method: "GET", target: "/stats", if_match: None, body: None };
        Some(client::ask(address, identity, &question, patience).await?)
    } else {
        None
    };
    Ok(show(ctl, &answer, stats.as_ref()))
}

/// Prints an answer, or writes it where it is to go; a fault goes to standard error.
fn show(ctl: &Ctl, answer: &Answered, stats: Option<&Answered>) -> Exit {
    let call = &ctl.call;
    let exit = if shown::is_well(answer) { Exit::Done } else { Exit::Refused };
    if let Some(fault) = shown::fault(answer) {
        if ctl.json {
            put(&answer.body);
        }
        complain(&fault);
        return exit;
    }
    if let Some(path) = &call.output {
        return match fs::write(path, &answer.body) {
            Ok(()) => {
                say(&mut io::stdout().lock(), &format!("{}: {} bytes", path.display(), answer.body.len()));
                exit
            }
            Err(error) => {
                complain(&format!("{}: cannot be written: {error}", path.display()));
                Exit::Refused
            }
        };
    }
    if shown::is_binary(answer) && io::stdout().is_terminal() {
        complain("the answer is for no terminal: write it to a file with -o FILE");
        return Exit::Refused;
    }
    if ctl.json || shown::is_binary(answer) {
        put(&answer.body);
    } else {
        let text = shown::text(
            call,
            answer,
            stats.and_then(|stats| serde_json::from_slice::<Json>(&stats.body).ok()),
        );
        say(&mut io::stdout().lock(), &text);
    }
    exit
}

/// Writes bytes as they are. Nobody is left to tell when even that fails.
fn put(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes);
    if !bytes.ends_with(b"\n") {
        let _ = out.write_all(b"\n");
    }
}
