//! Handshakes, told in data files: what the other side sends, and exactly what must come of it.
//!
//! A file is a list of cases. A case starts at `# its name`; its first line sets the stage, and the modules here say
//! which stages there are and which lines each understands. Common to all:
//!
//! ```text
//! > 05 01 00      the other side sends; "text\r\n" in quotes and 61*255 (repeats) are bytes, too
//! < 05 00         exactly this is sent to it; of several such lines each tells its part
//! ; anything      a comment
//! ```
//!
//! Every case is played twice: as written, and one byte at a time.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod proxy_header;
mod script;
mod server;
mod upstream;

use script::{bytes_of, hex};
use std::path::{Path, PathBuf};

#[test]
fn every_transcript_is_kept_to_the_byte() {
    let mut played = 0;
    for path in scripts_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_string_lossy();
        for case in text.split("\n# ").skip(1) {
            let (name, lines) = case.split_once('\n').unwrap();
            play(&format!("{file}: {name}"), lines, usize::MAX);
            play(&format!("{file}: {name}, a byte at a time"), lines, 1);
            played += 1;
        }
    }
    assert!(played >= 350, "only {played} cases were found");
}

/// What a case is played on.
trait Stage {
    /// The other side sends these bytes.
    fn send(&mut self, bytes: &[u8]);
    /// What was said to the other side and no line has told yet.
    fn output(&mut self) -> &mut Vec<u8>;
    /// Any other line.
    fn act(&mut self, verb: &str, rest: &str, at: &str);
    /// Nothing may have happened that no line told.
    fn finish(&mut self, case: &str);
}

fn stage_of(verb: &str, rest: &str) -> Option<Box<dyn Stage>> {
    match verb {
        "auth" => Some(Box::new(server::Server::demanding(rest))),
        "upstream" => Some(Box::new(upstream::Upstream::asked(rest))),
        "proxy_header" => Some(Box::new(proxy_header::ProxyHeader::expected())),
        _ => None,
    }
}

fn play(case: &str, lines: &str, chunk: usize) {
    let mut lines = lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(';'))
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .peekable();
    let first = lines.next().and_then(|(verb, rest)| stage_of(verb, rest));
    let mut stage = first.unwrap_or_else(|| panic!("{case}: its first line sets no stage"));
    while let Some((verb, rest)) = lines.next() {
        let at = format!("{case}: `{verb} {rest}`");
        match verb {
            ">" => bytes_of(rest).chunks(chunk).for_each(|chunk| stage.send(chunk)),
            "<" => {
                let (told, last) = (bytes_of(rest), lines.peek().is_none_or(|(verb, _)| *verb != "<"));
                let said = stage.output();
                let said: Vec<u8> =
                    said.drain(..if last { said.len() } else { told.len().min(said.len()) }).collect();
                assert_eq!(hex(&said), hex(&told), "{at}\nsaid: {}", said.escape_ascii());
            }
            _ => stage.act(verb, rest, &at),
        }
    }
    assert_eq!(hex(stage.output()), "", "{case}: said, but not in the transcript");
    stage.finish(case);
}

fn scripts_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let mut scripts: Vec<_> =
        files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "txt")).collect();
    scripts.extend(folders.iter().flat_map(|folder| scripts_below(folder)));
    scripts
}
