//! What is said to a question: rows put into columns, gaps told from nothing, and all of it written as JSON or CSV.

use super::question::{Format, Question, Step};
use super::store::{Fault, FaultKind, Read, Store, Wanted};
use super::tracker::{By, Figures, Minute};
use crate::calendar;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// Points (times by series) of one answer. Of more, those series are told that moved the most.
const POINTS_MAX: usize = 1 << 17;

/// A question on its way, and what of it is in no table yet.
pub struct Asked {
    pub question: Question,
    /// The minute under way.
    pub running: Option<Minute>,
    pub reply: oneshot::Sender<Result<Answered, Refusal>>,
}

/// An answer as it goes to the client.
#[derive(Debug)]
pub struct Answered {
    pub body: String,
    pub format: Format,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many ask.
    Busy,
    TooLong,
    /// The thread is no more, or another process has the file.
    Gone,
    /// What the file says to it.
    Unreadable(String),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        match fault.kind {
            FaultKind::TooLong => Refusal::TooLong,
            _ => Refusal::Unreadable(fault.text),
        }
    }
}

/// Where answers come from.
pub struct Sources<'a> {
    /// `None`: it cannot be opened.
    pub store: Option<&'a Store>,
    /// Minutes that are not in it: those that could not be written, and the one under way.
    pub besides: Vec<&'a Minute>,
    /// What is wrong with the store.
    pub fault: Option<&'a str>,
    /// When it is given up.
    pub until: Instant,
}

/// One key's figures, one for each time; `None`: nobody counted.
#[derive(Debug)]
pub struct Series {
    pub key: Arc<str>,
    pub figures: Vec<Option<Figures>>,
}

/// An answer before it is written.
#[derive(Debug)]
pub struct Columns {
    /// When each time begins, in seconds since 1970.
    pub times: Vec<u64>,
    /// The ones that moved the most come first.
    pub series: Vec<Series>,
    pub truncated: bool,
    /// When the oldest of each step begins.
    pub kept: [Option<u64>; Step::ALL.len()],
    /// Whether it is in a file.
    pub file: bool,
}

/// Answers, or says why not.
pub fn answer(sources: &Sources<'_>, question: &Question) -> Result<Answered, Refusal> {
    let columns = columns(sources, question)?;
    let body = match question.format {
        Format::Json => json(&columns, question, sources.fault),
        Format::Csv => csv(&columns),
    };
    Ok(Answered { body, format: question.format })
}

/// Puts all rows that are asked for into columns.
pub fn columns(sources: &Sources<'_>, question: &Question) -> Result<Columns, Fault> {
    let times = question.times();
    let mut gathered = Gathered::new(times);
    // Where there is a total ringway ran: a key that has no row there moved nothing.
    let mut ran = vec![false; times];
    each_row(sources, question, By::Total, |_, at, _| ran[at] = true)?;
    let series_max = (POINTS_MAX / times.max(1)).max(1);
    let chosen = chosen(sources, question, series_max)?;
    each_row(sources, question, question.by, |name, at, figures| {
        if chosen.as_ref().is_none_or(|chosen| chosen.contains(name)) {
            gathered.add(name, at, figures);
        }
    })?;
    let mut kept = [None; Step::ALL.len()];
    for (kept, step) in kept.iter_mut().zip(Step::ALL) {
        let stored = sources.store.map(|store| store.oldest(step)).transpose()?.flatten();
        let besides = sources.besides.iter().map(|minute| step.floor(minute.at));
        *kept = stored.into_iter().chain(besides).min();
    }
    Ok(Columns {
        times: (0..times as u64).map(|index| question.from + index * question.step.seconds()).collect(),
        series: gathered.finish(&ran),
        truncated: question.cut || chosen.is_some(),
        kept,
        file: sources.store.is_some_and(Store::is_file),
    })
}

/// The keys that moved the most, if there are more than may be told.
fn chosen(
    sources: &Sources<'_>,
    question: &Question,
    series_max: usize,
) -> Result<Option<HashSet<Arc<str>>>, Fault> {
    let stored = sources.store.map(|store| store.names(question.by)).transpose()?.unwrap_or(0);
    let besides: usize = sources.besides.iter().map(|minute| minute.rows.len()).sum();
    if question.by == By::Total || question.key.is_some() || stored + besides <= series_max {
        return Ok(None);
    }
    let mut moved: HashMap<Arc<str>, u64> = HashMap::new();
    each_row(sources, question, question.by, |name, _, figures| {
        let sum = moved.entry(name.clone()).or_default();
        *sum = sum.saturating_add(figures.bytes());
    })?;
    if moved.len() <= series_max {
        return Ok(None);
    }
    let mut ranked: Vec<_> = moved.into_iter().collect();
    ranked.sort_unstable_by(|(a, moved_a), (b, moved_b)| moved_b.cmp(moved_a).then_with(|| a.cmp(b)));
    Ok(Some(ranked.into_iter().take(series_max).map(|(name, _)| name).collect()))
}

/// Calls `each` with the name, the place in time and the figures of every row of a kind, stored or not.
fn each_row(
    sources: &Sources<'_>,
    question: &Question,
    by: By,
    mut each: impl FnMut(&Arc<str>, usize, &Figures),
) -> Result<(), Fault> {
    let key = question.key.as_deref().filter(|_| by == question.by);
    if let Some(store) = sources.store {
        let (step, from, to) = (question.step, question.from, question.to);
        let mut names: HashMap<i64, Arc<str>> = HashMap::new();
        let mut unnamed = None;
        store.read(
            &Wanted { by, step, from, to, key, until: sources.until },
            |Read { key, at, figures }| {
                let Some(place) = question.index_of(at) else { return };
                if let Some(name) = names.get(&key) {
                    return each(name, place, &figures);
                }
                match store.name(key) {
                    Ok(name) => {
                        each(&name, place, &figures);
                        names.insert(key, name);
                    }
                    Err(fault) => unnamed = Some(fault),
                }
            },
        )?;
        if let Some(fault) = unnamed {
            return Err(fault);
        }
    }
    for minute in &sources.besides {
        let Some(place) = question.index_of(minute.at) else { continue };
        let wanted = |name: &str| key.is_none_or(|key| key == name);
        let rows = minute.rows.iter().filter(|row| row.by == by && wanted(&row.key));
        rows.for_each(|row| each(&row.key, place, &row.figures));
    }
    Ok(())
}

/// Series in the making.
struct Gathered {
    times: usize,
    places: HashMap<Arc<str>, usize>,
    series: Vec<Series>,
}

impl Gathered {
    fn new(times: usize) -> Gathered {
        Gathered { times, places: HashMap::new(), series: Vec::new() }
    }

    fn add(&mut self, name: &Arc<str>, at: usize, figures: &Figures) {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => {
                self.places.insert(name.clone(), self.series.len());
                self.series.push(Series { key: name.clone(), figures: vec![None; self.times] });
                self.series.len() - 1
            }
        };
        self.series[place].figures[at].get_or_insert_default().add(figures);
    }

    fn finish(mut self, ran: &[bool]) -> Vec<Series> {
        for figures in self.series.iter_mut().map(|series| &mut series.figures) {
            for (figures, ran) in figures.iter_mut().zip(ran) {
                if *ran {
                    figures.get_or_insert_default();
                }
            }
        }
        let moved = |series: &Series| {
            series.figures.iter().flatten().fold(0_u64, |sum, figures| sum.saturating_add(figures.bytes()))
        };
        self.series.sort_by_cached_key(|series| (std::cmp::Reverse(moved(series)), series.key.clone()));
        self.series
    }
}

type Of = fn(&Figures) -> u64;

/// The columns by their names.
const FIGURES: &[(&str, Of)] = &[
    ("sent_bytes", |figures| figures.sent_bytes),
    ("received_bytes", |figures| figures.received_bytes),
    ("connections", |figures| figures.connections),
    ("failed", |figures| figures.failed),
    ("active_max", |figures| figures.active_max),
];

/// Bytes of a figure as they mostly are, so that a long answer is not moved about while it grows.
const FIGURE_BYTES: usize = 8;

/// Written by hand: as values of serde_json a long answer would take a hundred bytes a figure first. Writing to a String
/// cannot fail.
fn json(columns: &Columns, question: &Question, fault: Option<&str>) -> String {
    let points = columns.times.len() * columns.series.len();
    let mut text = String::with_capacity(512 + points * FIGURES.len() * FIGURE_BYTES);
    let moment = |at: Option<u64>| at.map_or("null".to_owned(), |at| quoted(&calendar::seconds(at)));
    let _ = write!(
        text,
        r#"{{"by":"{}","step":"{}","step_seconds":{},"from":{},"to":{},"times":["#,
        question.by.label(),
        question.step.label(),
        question.step.seconds(),
        moment(Some(question.from)),
        moment(Some(question.to))
    );
    list(&mut text, columns.times.iter().copied().map(Some));
    text.push_str(r#"],"series":["#);
    for (index, series) in columns.series.iter().enumerate() {
        let _ = write!(text, r#"{}{{"key":{}"#, if index > 0 { "," } else { "" }, quoted(&series.key));
        for (name, of) in FIGURES {
            let _ = write!(text, r#","{name}":["#);
            list(&mut text, series.figures.iter().map(|figures| figures.as_ref().map(of)));
            text.push(']');
        }
        text.push('}');
    }
    let [minute, hour, day] = columns.kept.map(moment);
    let _ = writeln!(
        text,
        r#"],"truncated":{},"kept":{{"minute":{minute},"hour":{hour},"day":{day}}},"file":{},"fault":{}}}"#,
        columns.truncated,
        columns.file,
        fault.map_or("null".to_owned(), quoted)
    );
    text
}

fn list(text: &mut String, values: impl Iterator<Item = Option<u64>>) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            text.push(',');
        }
        match value {
            Some(value) => drop(write!(text, "{value}")),
            None => text.push_str("null"),
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// RFC 4180, a row for each time and key; gaps have none.
fn csv(columns: &Columns) -> String {
    let mut text = String::from("time,key");
    for (name, _) in FIGURES {
        let _ = write!(text, ",{name}");
    }
    text.push_str("\r\n");
    let keys: Vec<String> = columns.series.iter().map(|series| field(&series.key)).collect();
    for (index, at) in columns.times.iter().enumerate() {
        let time = calendar::seconds(*at);
        for (series, key) in columns.series.iter().zip(&keys) {
            let Some(figures) = &series.figures[index] else { continue };
            let _ = write!(text, "{time},{key}");
            for (_, of) in FIGURES {
                let _ = write!(text, ",{}", of(figures));
            }
            text.push_str("\r\n");
        }
    }
    text
}

fn field(text: &str) -> String {
    let special = text.contains([',', '"', '\r', '\n']);
    if special { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
