//! `ringway config default` and `ringway config effective`.

use crate::config::effective::Effective;
use crate::config::keys::{KEYS, Key, SECTIONS};
use crate::config::value::Value;

const COMMENT_WIDTH: usize = 100;

/// A file with every key at its default, explained. Loading it changes nothing.
#[must_use]
pub fn default_yaml() -> String {
    let mut outline = Outline::new("# ringway's configuration: every key with its default.\n");
    for key in KEYS {
        outline.open_sections(key, true);
        outline.comment(key.doc);
        outline.comment(&format!("({}; {})", key.kind.describe(), key.reload.label()));
        for field in key.kind.fields() {
            let needed = if field.required { "needed; " } else { "" };
            outline.comment(&format!("- {} ({needed}{}): {}", field.name, field.shape.describe(), field.doc));
        }
        outline.line(&format!("{}: {}", key.name(), key.default));
    }
    outline.text
}

/// Every key's value; those that somebody set say who.
#[must_use]
pub fn effective_yaml(effective: &Effective) -> String {
    let mut outline = Outline::new("");
    for setting in &effective.settings {
        outline.open_sections(setting.key, false);
        let origin =
            if setting.is_default() { String::new() } else { format!("  # {}", one_line(&setting.origin())) };
        outline.value(setting.key, &setting.value, &origin);
    }
    outline.text
}

/// YAML text that grows key by key, opening sections as paths ask for them.
struct Outline {
    text: String,
    section: &'static str,
    indent: usize,
}

impl Outline {
    fn new(head: &str) -> Outline {
        Outline { text: head.to_owned(), section: "", indent: 0 }
    }

    fn open_sections(&mut self, key: &'static Key, explained: bool) {
        let section = key.section();
        let is_open = |open: &str, path: &str| {
            open.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let ends = section.match_indices('.').map(|(at, _)| at).chain([section.len()]);
        for (depth, end) in ends.enumerate() {
            let path = &section[..end];
            self.indent = 2 * depth;
            if !is_open(self.section, path) {
                if explained {
                    self.text.push('\n');
                    SECTIONS.iter().filter(|(name, _)| *name == path).for_each(|(_, doc)| self.comment(doc));
                }
                let name = path.rsplit('.').next().unwrap_or(path);
                self.line(&format!("{name}:"));
            }
            self.indent += 2;
        }
        self.section = section;
    }

    /// Mappings stand one below the other.
    fn value(&mut self, key: &Key, value: &Value, trailer: &str) {
        match value {
            Value::List(items) if matches!(items[..], [Value::Map(_), ..]) => {
                self.line(&format!("{}:{trailer}", key.name()));
                items.iter().for_each(|item| self.line(&format!("  - {item}")));
            }
            _ => self.line(&format!("{}: {value}{trailer}", key.name())),
        }
    }

    fn comment(&mut self, text: &str) {
        let mut line = "#".to_owned();
        for word in text.split(' ') {
            if line.len() + 1 + word.len() > COMMENT_WIDTH - self.indent {
                self.line(&std::mem::replace(&mut line, "#".to_owned()));
            }
            line += " ";
            line += word;
        }
        self.line(&line);
    }

    fn line(&mut self, text: &str) {
        self.text += &" ".repeat(self.indent);
        self.text += text;
        self.text.push('\n');
    }
}

/// An origin names what a user typed, and a comment must not end early.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
