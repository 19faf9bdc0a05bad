//! docs/configuration.md.

use crate::config::admission::tokens;
use crate::config::fields::Field;
use crate::config::keys::{KEYS, Key, SECTIONS};
use crate::config::kind::Kind;
use crate::config::{alerts, control, namespaces, proxies, rules, tls, users};

/// A longer default stands below the table.
const DEFAULT_BYTES_MAX: usize = 200;
const HEAD: &str = include_str!("markdown_head.md");
/// Texts about mappings in lists, each followed by the table of its fields.
static MAPPINGS: [(&str, &[Field]); 9] = [
    (include_str!("markdown_rules.md"), &rules::FIELDS),
    (include_str!("markdown_proxies.md"), &proxies::FIELDS),
    (include_str!("markdown_users.md"), &users::FIELDS),
    (include_str!("markdown_namespaces.md"), &namespaces::FIELDS),
    (include_str!("markdown_tokens.md"), &tokens::FIELDS),
    (include_str!("markdown_tls.md"), &tls::FIELDS),
    (include_str!("markdown_control.md"), &control::tokens::FIELDS),
    (include_str!("markdown_webhooks.md"), &alerts::webhooks::FIELDS),
    // Last: the table of measures follows it.
    (include_str!("markdown_alerts.md"), &alerts::rules::FIELDS),
];

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
    for (about, fields) in &MAPPINGS {
        text += about;
        text += "| field | value | what it says |\n| --- | --- | --- |\n";
        fields.iter().for_each(|field| text += &field_row(field));
    }
    text += "\n";
    text += &alerts::rules::measures_table();
    text += &built_in_rules();
    text
}

fn row(key: &Key) -> String {
    let (path, default, reload) = (key.path, key.default, key.reload.label());
    let kind = match key.kind {
        Kind::Rules(_) => "list of [rules](#rules)".to_owned(),
        Kind::Proxies(_) => "list of [proxies](#upstream-proxies)".to_owned(),
        Kind::Namespaces(_) => "list of [namespaces](#namespaces)".to_owned(),
        Kind::Certificates(_) => "list of [certificates](#certificates)".to_owned(),
        Kind::AlertRules(_) => "list of [rules](#alert-rules)".to_owned(),
        Kind::Webhooks(_) => "list of [webhooks](#webhooks)".to_owned(),
        Kind::ControlTokens(_) => "list of [tokens](#tokens-of-the-control-port)".to_owned(),
        _ => key.kind.describe(),
    };
    let default =
        if default.len() > DEFAULT_BYTES_MAX { "see below".to_owned() } else { format!("`{default}`") };
    format!("| `{path}` | {kind} | {default} | {reload} | {} |\n", key.doc)
}

/// The rules there are by default, one a line.
fn built_in_rules() -> String {
    let rules = alerts::rules::BUILT_IN.trim_start_matches('[').trim_end_matches(']');
    let rules = rules.replace("}, {", "}\n    - {");
    format!("\nThese are there by default:\n\n```yaml\nalerts:\n  rules:\n    - {rules}\n```\n")
}

fn field_row(field: &Field) -> String {
    let needed = if field.required { " (needed)" } else { "" };
    format!("| `{}`{needed} | {} | {} |\n", field.name, field.shape.describe(), field.doc)
}
