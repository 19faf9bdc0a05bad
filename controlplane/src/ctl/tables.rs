//! JSON for people: members as lines, lists of objects as tables. What it holds may have been written by anybody: nothing in it
//! moves the terminal's cursor.

use serde_json::{Map, Value as Json};

/// A list of so many words or fewer stands in one line.
const INLINE_MAX: usize = 8;

/// A JSON value as text.
#[must_use]
pub fn tables(value: &Json) -> String {
    let mut text = String::new();
    write(&mut text, value, 0);
    text
}

/// An object of objects as a table, however few they are.
#[must_use]
pub fn named(value: &Json) -> String {
    let mut text = String::new();
    let rows: Vec<_> = value.as_object().into_iter().flatten().map(row).collect();
    grid(&mut text, &rows, 0);
    text
}

/// Rows as a table, whose columns are their names.
#[must_use]
pub fn rows(rows: &[Map<String, Json>]) -> String {
    let mut text = String::new();
    grid(&mut text, rows, 0);
    text
}

fn write(text: &mut String, value: &Json, depth: usize) {
    match value {
        Json::Object(members) => match rows_of(members) {
            Some(rows) => grid(text, &rows, depth),
            None => object(text, members, depth),
        },
        Json::Array(items) if items.iter().all(Json::is_object) && !items.is_empty() => {
            let rows: Vec<Map<String, Json>> =
                items.iter().filter_map(|item| item.as_object().map(flat)).collect();
            grid(text, &rows, depth);
        }
        Json::Array(items) => items.iter().for_each(|item| line(text, depth, &cell(item))),
        other => line(text, depth, &cell(other)),
    }
}

/// Plain members first, as `name  value`, then the others, each under its name.
fn object(text: &mut String, members: &Map<String, Json>, depth: usize) {
    let (plain, nested): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| is_plain(value));
    let width = plain.iter().map(|(name, _)| width_of(name)).max().unwrap_or(0);
    for (name, value) in plain {
        let name = clean(name);
        let pad = " ".repeat(width - width_of(&name));
        line(text, depth, &format!("{name}{pad}  {}", cell(value)));
    }
    for (name, value) in nested {
        line(text, depth, &format!("{}:", clean(name)));
        write(text, value, depth + 1);
    }
}

fn is_plain(value: &Json) -> bool {
    match value {
        Json::Object(members) => members.is_empty(),
        Json::Array(items) => {
            items.is_empty()
                || (items.len() <= INLINE_MAX
                    && items.iter().all(|item| item.is_number() || item.is_boolean()))
        }
        _ => true,
    }
}

/// An object whose members are all objects alike is a table, its names being the first column.
fn rows_of(members: &Map<String, Json>) -> Option<Vec<Map<String, Json>>> {
    let first = members.values().next()?.as_object()?;
    let alike = |value: &Json| {
        value.as_object().is_some_and(|other| {
            other.keys().eq(first.keys()) && other.values().all(|cell| !cell.is_object())
        })
    };
    if members.len() < 2 || first.is_empty() || !members.values().all(alike) {
        return None;
    }
    Some(members.iter().map(row).collect())
}

/// A member that is an object, with its name as the first column.
fn row((name, value): (&String, &Json)) -> Map<String, Json> {
    let mut row = Map::from_iter([("name".to_owned(), Json::from(name.as_str()))]);
    row.extend(value.as_object().cloned().unwrap_or_default());
    row
}

/// Members of members get names with dots.
fn flat(members: &Map<String, Json>) -> Map<String, Json> {
    let mut row = Map::new();
    for (name, value) in members {
        match value.as_object() {
            Some(inner) if !inner.is_empty() => {
                row.extend(flat(inner).into_iter().map(|(below, value)| (format!("{name}.{below}"), value)));
            }
            _ => {
                row.insert(name.clone(), value.clone());
            }
        }
    }
    row
}

fn grid(text: &mut String, rows: &[Map<String, Json>], depth: usize) {
    let mut columns: Vec<&String> = Vec::new();
    for name in rows.iter().flat_map(Map::keys) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    let header = columns.iter().map(|name| clean(name).to_uppercase()).collect();
    let cells = rows
        .iter()
        .map(|row| columns.iter().map(|name| row.get(*name).map(cell).unwrap_or_default()).collect());
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(cells).collect();
    let numeric: Vec<bool> = columns
        .iter()
        .map(|name| rows.iter().filter_map(|row| row.get(*name)).all(Json::is_number))
        .collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| lines.iter().map(|line| width_of(&line[column])).max().unwrap_or(0))
        .collect();
    for cells in &lines {
        let padded = cells.iter().zip(&widths).zip(&numeric).map(|((cell, width), numeric)| {
            let pad = " ".repeat(width - width_of(cell));
            if *numeric { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        line(text, depth, padded.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn line(text: &mut String, depth: usize, said: &str) {
    text.push_str(&"  ".repeat(depth));
    text.push_str(said);
    text.push('\n');
}

/// A value in one line.
pub fn cell(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => clean(text),
        Json::Array(items) if items.is_empty() => "-".to_owned(),
        Json::Array(items) if items.iter().all(|item| item.is_string() || item.is_number()) => {
            items.iter().map(cell).collect::<Vec<_>>().join(", ")
        }
        Json::Object(members) if members.is_empty() => "-".to_owned(),
        other => clean(&other.to_string()),
    }
}

/// Without characters that steer a terminal.
pub fn clean(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// Marks that turn the direction of what follows, and line ends that are no control characters.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn width_of(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_lines_and_lists_of_objects_are_tables() {
        let shown = tables(&json!({
            "uptime": 7,
            "nested": {"a": 1, "bcd": "x"},
            "rows": [{"id": "a", "n": 5, "where": {"port": 1}}, {"id": "bcd", "n": 50, "more": null}],
            "none": [],
            "numbers": [1, 2],
        }));
        let wanted = "uptime   7\nnone     -\nnumbers  1, 2\nnested:\n  a    1\n  bcd  x\nrows:\n  ID    N  WHERE.PORT  MORE\n  a     5           1\n  bcd  50              -\n";
        assert_eq!(shown, wanted, "{shown}");
    }

    #[test]
    fn objects_alike_are_rows_under_their_names() {
        let shown =
            tables(&json!({"a": {"value": [1], "origin": "x"}, "bb": {"value": "v", "origin": "default"}}));
        assert_eq!(shown, "NAME  VALUE  ORIGIN\na     1      x\nbb    v      default\n");
    }

    #[test]
    fn nothing_that_somebody_wrote_steers_the_terminal() {
        let shown = tables(&json!([{"user\u{7}": "\u{1b}[31mred\n\u{9b}2J\u{202e}"}, {"user\u{7}": "ü"}]));
        assert!(!shown.chars().any(|c| c != '\n' && (c.is_control() || is_invisible(c))), "{shown:?}");
        assert!(shown.contains("\\u{1b}[31mred\\u{a}") && shown.contains('ü'), "{shown}");
    }
}
