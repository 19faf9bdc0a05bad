//! docs/configuration.md.

use crate::config::keys::{KEYS, Key, SECTIONS};

const HEAD: &str = include_str!("markdown_head.md");
const TAIL: &str = include_str!("markdown_tail.md");

/// The whole document.
#[must_use]
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for (path, doc) in SECTIONS {
        text += &format!("\n## {path}\n\n{doc}\n");
        let mut rows = KEYS.iter().filter(|key| key.section() == *path).peekable();
        if rows.peek().is_some() {
            text += "\n| key | value | default | takes effect | what it does |\n| --- | --- | --- | --- | --- |\n";
        }
        rows.for_each(|key| text += &row(key));
    }
    text + TAIL
}

fn row(key: &Key) -> String {
    let (path, default, reload) = (key.path, key.default, key.reload.label());
    format!("| `{path}` | {} | `{default}` | {reload} | {} |\n", key.kind.describe(), key.doc)
}
