//! The command line explained to shells and to man(1): printed from its own declaration, so neither can lie.

use crate::cli::Arguments;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

/// Prints what a shell needs to complete ringway's command line.
#[derive(Args)]
pub struct Completions {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a manual page: ringway(1), or that of a command.
#[derive(Args)]
pub struct Manual {
    /// A command, e.g. `doctor` or `acl test`; none: ringway itself.
    command: Vec<String>,
}

/// What ringway(1) tells besides its options.
const CHAPTERS: &[(&str, &[(&str, &str)])] = &[
    (
        "EXIT STATUS",
        &[
            ("0", "Stopped as asked, or the question was answered well."),
            (
                "1",
                "Running: a worker was lost, and a new process is the remedy. Asked: acl test denies, doctor warns, or ctl was refused.",
            ),
            ("2", "The command line or the configuration is wrong; standard error tells every fault."),
            (
                "3",
                "The surroundings do not allow a start: a port is taken, or io_uring is refused and required. ctl: nobody answers.",
            ),
            ("130", "A second SIGINT or SIGTERM cut the drain short."),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("CONFIG_FILE", "The configuration file, where -c names none."),
            (
                "RINGWAY_<KEY>",
                "Sets a key: its name in capitals, each dot written __, e.g. RINGWAY_SOCKS5__LISTEN.",
            ),
            ("RINGWAY_CONTROL", "The control port that ctl speaks to, where --control names none."),
            ("RINGWAY_TOKEN", "The token that ctl shows, where --token-file names none."),
            ("TZ", "The time zone of rules with days or hours."),
        ],
    ),
];

/// The completion script of a shell.
#[must_use]
pub fn completions(asked: &Completions) -> String {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut Arguments::command(), "ringway", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page, in roff.
///
/// # Errors
/// There is no such command.
pub fn page(asked: &Manual) -> Result<String, String> {
    let mut root = Arguments::command();
    root.build();
    let mut command = &root;
    for word in &asked.command {
        command = command.find_subcommand(word).ok_or_else(|| no_such(command, word))?;
    }
    let mut page = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = Man::new(command.clone()).render(&mut page);
    let page = String::from_utf8_lossy(&page).into_owned();
    Ok(if asked.command.is_empty() { page + &chapters() } else { page })
}

fn no_such(command: &Command, word: &str) -> String {
    let names: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
    let known =
        if names.is_empty() { "it has none".to_owned() } else { format!("one of {}", names.join(", ")) };
    format!("{}: no command {word:?}: {known}", command.get_name())
}

fn chapters() -> String {
    let entry = |(term, text): &(&str, &str)| format!(".TP\n\\fB{}\\fR\n{}\n", escaped(term), escaped(text));
    let chapter = |(title, entries): &(&str, &[(&str, &str)])| {
        format!(".SH \"{title}\"\n{}", entries.iter().map(entry).collect::<String>())
    };
    CHAPTERS.iter().map(chapter).collect()
}

/// As roff reads it back: a hyphen is a minus sign, and no line begins as a request.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    fn page_of(words: &[&str]) -> Result<String, String> {
        page(&Manual { command: words.iter().map(|word| (*word).to_owned()).collect() })
    }

    /// The names of all commands, with those that lead to them.
    fn commands(command: &Command, before: &[String]) -> Vec<Vec<String>> {
        let below = command.get_subcommands().filter(|command| command.get_name() != "help");
        below
            .flat_map(|command| {
                let path = [before, &[command.get_name().to_owned()]].concat();
                std::iter::once(path.clone()).chain(commands(command, &path)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn every_command_has_a_page_and_is_completed_by_every_shell() {
        let all = commands(&Arguments::command(), &[]);
        assert!(all.len() > 6);
        for words in &all {
            let page = page(&Manual { command: words.clone() }).unwrap();
            let name = format!("ringway-{}", words.join("-")).replace('-', "\\-");
            assert!(page.contains(".SH NAME") && page.contains(&name), "{words:?}: {page}");
        }
        for shell in Shell::value_variants() {
            let script = completions(&Completions { shell: *shell });
            for word in all.iter().flatten() {
                assert!(script.contains(word.as_str()), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn the_page_of_ringway_tells_of_exit_codes_and_the_environment() {
        let page = page_of(&[]).unwrap();
        for text in [
            ".TH ringway 1",
            ".SH \"EXIT STATUS\"",
            ".SH \"ENVIRONMENT\"",
            "ringway\\-doctor(1)",
            "\\-\\-config",
        ] {
            assert!(page.contains(text), "{text:?} in {page}");
        }
    }

    #[test]
    fn a_command_that_is_none_is_told_with_those_that_are() {
        let told = page_of(&["acl", "tset"]).unwrap_err();
        assert!(told.contains("\"tset\"") && told.contains("test"), "{told}");
    }
}
