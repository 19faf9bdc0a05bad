//! `compare`: JSON lines of a bench run -> a page with medians, ratios and bars, and the same as JSON.

use clap::Parser;
use ringway_benches::comparison::{Comparison, markdown};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Medians, ratios and bars of a bench run")]
struct Cli {
    /// Reports of socks_load, one JSON object a line, labelled with peer, figure and round
    reports: PathBuf,
    /// Whose ratios are asked for
    #[arg(long, default_value = "ringway")]
    subject: String,
    #[arg(long, default_value = "A bench run")]
    title: String,
    /// How it was measured; may be given several times
    #[arg(long)]
    note: Vec<String>,
    /// Where the page goes [default: standard output]
    #[arg(long)]
    markdown: Option<PathBuf>,
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
    let named = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let lines = fs::read_to_string(&cli.reports).map_err(|error| named(&cli.reports, error))?;
    let comparison = Comparison::read(&lines, &cli.subject)?;
    let page = markdown(&comparison, &cli.title, &cli.note);
    match &cli.markdown {
        Some(path) => fs::write(path, page).map_err(|error| named(path, error))?,
        None => print!("{page}"),
    }
    if let Some(path) = &cli.json {
        fs::write(path, format!("{:#}\n", comparison.json())).map_err(|error| named(path, error))?;
    }
    Ok(())
}
