//! `ringway acl test`: what the rules say of a connection, which of them decides, and why. The data plane answers, by
//! the code its workers run.

use crate::cli::say;
use crate::exit::Exit;
use crate::settings::{self, SettingsArguments};
use clap::Args;
use ringway_dataplane::explain::{self, Answer, Explanation, LocalTime, Question, read_host};
use ringway_shared::config::Via;
use ringway_shared::session::{Command, Target};
use std::fmt::Write;
use std::net::IpAddr;

/// Monday first, as [`LocalTime`] counts.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Says whether a connection would be allowed: exit code 0, if not 1, if that hangs on the name's address 2.
#[derive(Args)]
pub struct AclTest {
    /// Whom the connection comes from.
    #[arg(long, value_name = "IP")]
    client: IpAddr,
    /// Where it wants to go, e.g. example.org:443 or [2001:db8::1]:443.
    #[arg(long, value_name = "HOST:PORT", value_parser = target)]
    target: Target,
    /// What the target's name is taken to mean: nothing is looked up here.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Who has logged in.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// connect, bind or udp_associate.
    #[arg(long, value_name = "COMMAND", default_value = "connect", value_parser = command)]
    command: Command,
    /// A local time, e.g. "mon 08:30"; without it: now.
    #[arg(long, value_name = "DAY TIME", value_parser = local_time)]
    at: Option<LocalTime>,
}

/// Prints the verdict and how it came about.
pub fn run(asked: &AclTest, settings: &SettingsArguments) -> Exit {
    let explained = settings::load(settings).and_then(|loaded| {
        let question = Question {
            client: asked.client,
            user: asked.user.clone(),
            command: asked.command,
            target: asked.target.clone(),
            address: asked.address,
            at: asked.at,
        };
        explain::explain(&loaded.config, &question)
    });
    match explained {
        Ok(explanation) => {
            say(&mut std::io::stdout().lock(), &text(&explanation));
            match explanation.answer {
                Answer::Allow(_) => Exit::Done,
                Answer::Deny => Exit::Denied,
                Answer::Open => Exit::BadConfiguration,
            }
        }
        Err(fault) => {
            say(&mut std::io::stderr().lock(), &fault);
            Exit::BadConfiguration
        }
    }
}

fn text(explanation: &Explanation) -> String {
    let verdict = match &explanation.answer {
        Answer::Allow(Via::Direct) => "allow",
        Answer::Allow(Via::Group(group)) => &format!("allow via {group}"),
        Answer::Deny => "deny",
        Answer::Open => "open: say with --address what the name means",
    };
    let mut text = format!("{verdict}\n");
    let width = explanation.steps.iter().map(|step| step.asked.chars().count()).max().unwrap_or(0);
    for step in &explanation.steps {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:width$}  {}", step.asked, step.found);
    }
    text
}

fn target(text: &str) -> Result<Target, String> {
    let (host, port) = text.rsplit_once(':').ok_or("write HOST:PORT")?;
    let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
    let host =
        read_host(host.as_bytes()).ok_or_else(|| format!("{host:?} is no name that a client may ask for"))?;
    Ok(Target { host, port })
}

fn command(text: &str) -> Result<Command, String> {
    let found = Command::ALL.into_iter().find(|command| command.label() == text);
    found.ok_or_else(|| format!("one of {}", Command::ALL.map(Command::label).join(", ")))
}

fn local_time(text: &str) -> Result<LocalTime, String> {
    let read = || {
        let (day, time) = text.trim().split_once(' ')?;
        let (hours, minutes) = time.trim().split_once(':')?;
        let day = DAYS.iter().position(|name| name.eq_ignore_ascii_case(day))?;
        let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
        (hours < 24 && minutes < 60).then_some(LocalTime { day: day as u8, minute: hours * 60 + minutes })
    };
    read().ok_or_else(|| "write a day and a time, e.g. \"mon 08:30\"".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_clients_may_write_them() {
        for (text, shown) in [
            ("example.org:443", "example.org:443"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("2001:db8::1:80", "[2001:db8::1]:80"),
        ] {
            assert_eq!(target(text).map(|target| target.to_string()), Ok(shown.into()), "{text}");
        }
        for text in
            ["example.org", "example.org:x", "example.org:65536", "127.1:80", ":80", "a b:80", "[::1:80"]
        {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_a_day_and_a_clock() {
        assert_eq!(local_time("mon 08:30"), Ok(LocalTime { day: 0, minute: 510 }));
        assert_eq!(local_time(" SUN 23:59 "), Ok(LocalTime { day: 6, minute: 1_439 }));
        for text in ["", "mon", "08:30", "monday 08:30", "mon 24:00", "mon 8.30", "mon 08:60"] {
            assert!(local_time(text).is_err(), "{text}");
        }
    }
}
