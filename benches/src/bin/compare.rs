//! `compare`: JSON lines of a bench run -> a page with medians, ratios and bars, and the same as JSON; that JSON -> the page again,
//! or how it differs from another run's.

use clap::Parser;
use ringway_benches::comparison::{Comparison, markdown, put, repeated};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Medians, ratios and bars of a bench run")]
struct Cli {
    /// Reports of the loads, one JSON object a line, labelled with peer, figure and round; or what --json wrote
    reports: PathBuf,
    /// Whose ratios are asked for
    #[arg(long, default_value = "ringway")]
    subject: String,
    #[arg(long)]
    title: Option<String>,
    /// How it was measured; may be given several times
    #[arg(long)]
    note: Vec<String>,
    /// An earlier run's JSON: print by how much each ratio differs, instead of the page
    #[arg(long)]
    against: Option<PathBuf>,
    /// Where the page goes [default: standard output]
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Put it into this page instead, between its markers for --part
    #[arg(long, requires = "part", conflicts_with = "markdown")]
    page: Option<PathBuf>,
    /// The marked part: `<!-- measured: PART -->` to `<!-- end: PART -->`
    #[arg(long)]
    part: Option<String>,
    /// Where the JSON goes [default: nowhere]
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match compare(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("compare: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn compare(cli: &Cli) -> Result<(), String> {
    let mut comparison = read(&cli.reports, &cli.subject)?;
    if let Some(title) = &cli.title {
        comparison.title.clone_from(title);
    }
    comparison.notes.extend(cli.note.iter().cloned());
    let text = match &cli.against {
        Some(other) => {
            let other = read(other, &cli.subject)?;
            format!("# {} beside {}\n\n{}", comparison.title, other.title, repeated(&other, &comparison))
        }
        None => markdown(&comparison),
    };
    match (&cli.page, &cli.part, &cli.markdown) {
        (Some(path), Some(part), _) => write(path, &put(&text_of(path)?, part, &text)?)?,
        (_, _, Some(path)) => write(path, &text)?,
        _ => print!("{text}"),
    }
    cli.json.as_ref().map_or(Ok(()), |path| write(path, &format!("{:#}\n", comparison.json())))
}

/// Reports, or what was made of them before.
fn read(path: &Path, subject: &str) -> Result<Comparison, String> {
    let text = text_of(path)?;
    let mut comparison = Comparison::from_json(&text).map_or_else(|| Comparison::read(&text, subject), Ok)?;
    if comparison.title.is_empty() {
        comparison.title = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    }
    Ok(comparison)
}

fn text_of(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
