//! What may be asked, read from a query. Pure: the moment is an argument.

use super::tracker::By;
use crate::calendar;
use ringway_shared::config::{Keep, read_duration};
use std::time::Duration;

/// Times in one answer; of a longer span the end is told.
pub const TIMES_MAX: u64 = 16_384;
/// From when it is asked by default, before now.
const SPAN_DEFAULT: u64 = 86_400;

/// How long one point of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Minute,
    Hour,
    Day,
}

impl Step {
    pub const ALL: [Step; 3] = [Step::Minute, Step::Hour, Step::Day];

    #[must_use]
    pub fn label(self) -> &'static str {
        ["minute", "hour", "day"][self as usize]
    }

    #[must_use]
    pub fn seconds(self) -> u64 {
        [60, 3_600, 86_400][self as usize]
    }

    #[must_use]
    pub fn table(self) -> &'static str {
        ["minutes", "hours", "days"][self as usize]
    }

    /// When the one begins that a moment is in; days are those of UTC.
    #[must_use]
    pub fn floor(self, at: u64) -> u64 {
        at - at % self.seconds()
    }

    #[must_use]
    pub fn kept_by(self, keep: &Keep) -> Duration {
        [keep.minutes, keep.hours, keep.days][self as usize]
    }

    /// The longest span that is answered with it if nobody says what is wanted: some hundred points of the total, and fewer
    /// where each user has a line.
    fn span_max(self, by: By) -> u64 {
        const HOUR: u64 = 3_600;
        const DAY: u64 = 24 * HOUR;
        let (alone, many) = [(25 * HOUR, 6 * HOUR), (45 * DAY, 8 * DAY), (u64::MAX, u64::MAX)][self as usize];
        if by == By::Total { alone } else { many }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
}

/// A question that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub by: By,
    pub step: Step,
    /// When the first step begins, in seconds since 1970.
    pub from: u64,
    /// No step begins then or later.
    pub to: u64,
    /// Only this user's or listener's.
    pub key: Option<String>,
    pub format: Format,
    /// Less than was asked for, because it would be more than [`TIMES_MAX`] times.
    pub cut: bool,
}

/// The parameters as they are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written<'a> {
    pub from: Option<&'a str>,
    pub to: Option<&'a str>,
    pub by: Option<&'a str>,
    pub step: Option<&'a str>,
    pub key: Option<&'a str>,
    pub format: Option<&'a str>,
    /// The client would rather have CSV.
    pub prefers_csv: bool,
}

/// What is wrong with a question, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Misasked {
    pub detail: String,
    pub hint: &'static str,
}

fn misasked<T>(detail: impl Into<String>, hint: &'static str) -> Result<T, Misasked> {
    Err(Misasked { detail: detail.into(), hint })
}

const MOMENTS: &str = "write 2026-11-21T10:00:00Z, seconds since 1970, now, or -24h for a day ago";

impl Question {
    /// Reads a question that is asked at `now` (seconds since 1970), where so much is kept.
    pub fn read(written: &Written<'_>, now: u64, keep: &Keep) -> Result<Question, Misasked> {
        let by = one_of(&By::ALL, By::label, written.by, "by")?.unwrap_or(By::Total);
        let step = match written.step {
            Some("auto") => None,
            step => one_of(&Step::ALL, Step::label, step, "step, if it is not auto,")?,
        };
        let format = match written.format {
            None if written.prefers_csv => Format::Csv,
            None | Some("json") => Format::Json,
            Some("csv") => Format::Csv,
            Some(_) => return misasked("format must be one of json, csv", "leave it out for JSON"),
        };
        let key = written.key.filter(|key| !key.is_empty());
        if by == By::Total && key.is_some() {
            return misasked("the total has no keys", "ask with by=user or by=listener");
        }
        let to = written.to.map_or(Ok(now), |text| moment(text, "to", now))?;
        let from =
            written.from.map_or(Ok(now.saturating_sub(SPAN_DEFAULT)), |text| moment(text, "from", now))?;
        if from >= to {
            return misasked("from is not before to", MOMENTS);
        }
        let step = step.unwrap_or_else(|| chosen(by, from, to, now, keep));
        let earliest = step.floor(to - 1).saturating_sub((TIMES_MAX - 1) * step.seconds());
        let (from, cut) = (step.floor(from).max(earliest), step.floor(from) < earliest);
        Ok(Question { by, step, from, to, key: key.map(str::to_owned), format, cut })
    }

    /// How many steps there are.
    #[must_use]
    pub fn times(&self) -> usize {
        let steps = (self.to - self.from).div_ceil(self.step.seconds());
        usize::try_from(steps).unwrap_or(usize::MAX)
    }

    /// Which of them a moment is in.
    #[must_use]
    pub fn index_of(&self, at: u64) -> Option<usize> {
        let at = self.step.floor(at);
        let index = at.checked_sub(self.from)? / self.step.seconds();
        usize::try_from(index).ok().filter(|_| at < self.to)
    }
}

/// The finest step that is kept for long enough and is no more than fits a chart.
fn chosen(by: By, from: u64, to: u64, now: u64, keep: &Keep) -> Step {
    let (span, age) = (to - from, now.saturating_sub(from));
    let fits = |step: &Step| span <= step.span_max(by) && age <= step.kept_by(keep).as_secs();
    Step::ALL.into_iter().find(fits).unwrap_or(Step::Day)
}

fn one_of<T: Copy>(
    all: &[T],
    label: fn(T) -> &'static str,
    wanted: Option<&str>,
    name: &str,
) -> Result<Option<T>, Misasked> {
    let Some(wanted) = wanted else { return Ok(None) };
    match all.iter().find(|one| label(**one) == wanted) {
        Some(one) => Ok(Some(*one)),
        None => {
            let names: Vec<_> = all.iter().map(|one| label(*one)).collect();
            let detail = format!("{name} must be one of {}", names.join(", "));
            misasked(detail, "GET /openapi.json has the parameters")
        }
    }
}

/// A moment as it is written, in seconds since 1970.
fn moment(text: &str, name: &str, now: u64) -> Result<u64, Misasked> {
    let read = match text.strip_prefix('-') {
        _ if text == "now" => Some(now),
        Some(ago) => read_duration(ago).ok().map(|ago| now.saturating_sub(ago.as_secs())),
        None => text.parse().ok().or_else(|| calendar::read(text)),
    };
    match read.filter(|at| *at <= MOMENT_MAX) {
        Some(at) => Ok(at),
        None => misasked(format!("{name}: {text:?} is no moment"), MOMENTS),
    }
}

/// 9999-12-30T22:00:00Z: what the calendar can still write.
const MOMENT_MAX: u64 = 253_402_207_200;

#[cfg(test)]
mod tests;
