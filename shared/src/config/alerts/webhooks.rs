//! `alerts.webhooks`, and the files that hold what is secret of them. Nothing in here repeats a header's value or a URL.

use super::rules::{self, SEVERITIES, SEVERITY_WORDS};
use super::{Severity, WEBHOOKS_MAX, Webhook};
use crate::config::fields::{Field, Fields, Shape};
use crate::config::form::Form;
use crate::config::load::Sources;
use crate::config::place::Span;
use crate::config::read::{self, Read, quote, wrong};
use crate::config::units;
use crate::config::value::Value;
use crate::config::yaml::{Node, Wrong};
use crate::origin::Origin;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Headers of one webhook, of either kind.
const HEADERS_MAX: usize = 16;
const HEADER_BYTES_MAX: usize = 4096;
const URL_BYTES_MAX: usize = 2048;
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Headers that the request has anyway.
const HEADERS_TAKEN: [&str; 6] =
    ["host", "content-type", "content-length", "connection", "transfer-encoding", "user-agent"];
/// Headers whose values are secrets.
const SECRET_HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];
const REDACTED: &str = "<redacted>";

/// The fields of a webhook.
pub static FIELDS: [Field; 8] = [
    field(
        "name",
        true,
        Shape::Text("pager"),
        "The `receiver` in its messages, each name once: letters, digits, `-`, `_`, `.`.",
    ),
    field(
        "url",
        false,
        Shape::Text("https://pager.example/hook"),
        "Where it is sent, by `http` or `https`. What follows a `?` is shown to nobody. One of `url` and `url_file` is needed.",
    ),
    field(
        "url_file",
        false,
        Shape::Text("pager.url"),
        "A file that holds the URL and nothing else, where its path is a secret. A relative path starts at the configuration \
         file's folder.",
    ),
    field("headers", false, Shape::Pairs("x-team: net"), "Headers of the request, shown as they are."),
    field(
        "header_files",
        false,
        Shape::Pairs("authorization: pager.token"),
        "Headers whose values stand in files, one line each, such as `Bearer …` for `authorization`; shown to nobody.",
    ),
    field("timeout", false, Shape::Duration, "How long an attempt may take, 1s to 1m. Left out: `10s`."),
    field(
        "severity",
        false,
        Shape::Word(&SEVERITY_WORDS),
        "Alerts that matter less are not sent. Left out: `info`, so all are.",
    ),
    field("send_resolved", false, Shape::Bool, "Whether it is told when an alert is over. Left out: `true`."),
];

const fn field(name: &'static str, required: bool, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required, doc }
}

/// A webhook, and where its secrets are to be found.
#[derive(Clone)]
pub struct WrittenWebhook {
    name: Arc<str>,
    url: Whereto,
    headers: Vec<(Box<str>, Box<str>)>,
    header_files: Vec<(Box<str>, PathBuf)>,
    timeout: Duration,
    severity: Severity,
    send_resolved: bool,
    /// Where faults of its files are told.
    url_span: Span,
    files_span: Span,
}

#[derive(Clone)]
enum Whereto {
    Url(Box<str>),
    File(PathBuf),
}

impl WrittenWebhook {
    /// The paths that start at the configuration file's folder, if they are relative.
    pub fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let url = match &mut self.url {
            Whereto::File(path) => Some(path),
            Whereto::Url(_) => None,
        };
        url.into_iter().chain(self.header_files.iter_mut().map(|(_, path)| path))
    }
}

pub fn webhooks(node: &Node) -> Read<Vec<WrittenWebhook>> {
    let mut seen: Vec<Arc<str>> = Vec::new();
    let webhooks = read::list(node, |node| {
        let webhook = webhook(node)?;
        if seen.contains(&webhook.name) {
            let message = format!("stands before already as {}: keep one of them", quote(&webhook.name));
            return Err(vec![Wrong::at(node.span, message).below(".name")]);
        }
        seen.push(webhook.name.clone());
        Ok(webhook)
    })?;
    if webhooks.len() > WEBHOOKS_MAX {
        let message = format!("holds {} webhooks: at most {WEBHOOKS_MAX} are allowed", webhooks.len());
        return wrong(node.span, message);
    }
    Ok(webhooks)
}

fn webhook(node: &Node) -> Read<WrittenWebhook> {
    let mut fields = Fields::of(node, &FIELDS)?;
    let name = fields.required("name", rules::name);
    let url = url_of(&mut fields);
    let headers = fields.optional("headers", |node| {
        rules::texts(node, HEADERS_MAX, "header", open_header, |node| {
            let value = read::scalar(node, "a text")?;
            header_value(value).map(Into::into).or_else(|why| wrong(node.span, why))
        })
    });
    let header_files = fields.optional("header_files", |node| {
        rules::texts(node, HEADERS_MAX, "header", header_name, |node| Ok(PathBuf::from(read::text(node)?)))
    });
    let timeout = fields.optional("timeout", |node| read::duration(node, &TIMEOUTS));
    let severity = fields.optional("severity", |node| Ok(read::word(node, &SEVERITIES)?.1));
    let send_resolved = fields.optional("send_resolved", read::boolean);
    let (headers, header_files) = (headers.unwrap_or_default(), header_files.unwrap_or_default());
    if let Some((name, _)) = header_files.iter().find(|(name, _)| headers.iter().any(|(own, _)| own == name))
    {
        fields.fault("header_files", format!("{name} stands in headers as well: keep one of them"));
    }
    let url_field = if fields.has("url_file") { "url_file" } else { "url" };
    let (url_span, files_span) = (fields.span(url_field), fields.span("header_files"));
    let webhook = name.zip(url).map(|(name, url)| WrittenWebhook {
        name: name.into(),
        url,
        headers,
        header_files,
        timeout: timeout.unwrap_or(TIMEOUT),
        severity: severity.unwrap_or(Severity::Info),
        send_resolved: send_resolved.unwrap_or(true),
        url_span,
        files_span,
    });
    fields.end(webhook)
}

fn url_of(fields: &mut Fields<'_>) -> Option<Whereto> {
    match (fields.has("url"), fields.has("url_file")) {
        (true, true) => {
            fields.fault("url_file", "is one too many: keep url or url_file");
            None
        }
        (false, false) => {
            fields.fault("url", "is missing: write url, or url_file for a secret one");
            None
        }
        (true, false) => fields.optional("url", |node| {
            let text = read::text(node)?;
            check_url(text).or_else(|why| wrong(node.span, why))?;
            Ok(Whereto::Url(text.into()))
        }),
        (false, true) => fields.optional("url_file", |node| Ok(Whereto::File(read::text(node)?.into()))),
    }
}

/// The error is a remedy, and never holds the URL.
fn check_url(url: &str) -> Result<(), String> {
    const EXAMPLE: &str = "write for example https://pager.example/hook";
    if url.len() > URL_BYTES_MAX {
        return Err(format!("is longer than {URL_BYTES_MAX} bytes: {EXAMPLE}"));
    }
    if !url.bytes().all(|b| b.is_ascii_graphic()) || url.contains('#') {
        return Err(format!("may hold printable ASCII without spaces and # alone: {EXAMPLE}"));
    }
    let (origin, _) = split(url);
    if origin.contains('@') {
        return Err("holds a login: write it as authorization in header_files".to_owned());
    }
    let known = Origin::parse(origin).is_some_and(|origin| ["http", "https"].contains(&&*origin.scheme));
    if known { Ok(()) } else { Err(format!("is no URL of http or https: {EXAMPLE}")) }
}

/// Scheme, host and port; and the rest.
fn split(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    url.split_at(end)
}

/// A URL without its query, or without all behind the host.
#[must_use]
pub fn redacted(url: &str, whole: bool) -> String {
    if whole {
        return format!("{}/{REDACTED}", split(url).0);
    }
    match url.split_once('?') {
        Some((open, _)) => format!("{open}?{REDACTED}"),
        None => url.to_owned(),
    }
}

fn header_name(name: &str) -> Result<Box<str>, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name = name.to_ascii_lowercase();
    if HEADERS_TAKEN.contains(&&*name) {
        return Err(format!("ringway sends {name} by itself: leave it out"));
    }
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        return Err("is no name of a header: write one such as x-team".to_owned());
    }
    Ok(name.into())
}

/// One whose value is shown.
fn open_header(name: &str) -> Result<Box<str>, String> {
    let name = header_name(name)?;
    if SECRET_HEADERS.contains(&&*name) {
        return Err(format!("{name} is a secret: name a file with its value in header_files"));
    }
    Ok(name)
}

/// The error never holds the value.
fn header_value(value: &str) -> Result<&str, String> {
    if value.len() > HEADER_BYTES_MAX {
        return Err(format!("is longer than {HEADER_BYTES_MAX} bytes: write less"));
    }
    // RFC 9110 section 5.5.
    let fits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if fits && value.trim() == value {
        return Ok(value);
    }
    Err("must be one line of printable ASCII, without spaces at its ends: write another".to_owned())
}

/// Reads the files of all webhooks.
pub fn read_files(form: &mut Form, sources: &Sources<'_>) {
    let mut wrongs = Vec::new();
    let written = std::mem::take(&mut form.draft.webhooks);
    let mut webhooks = Vec::new();
    for (index, written) in written.into_iter().enumerate() {
        let mut fault = |span, path: String, message: String| {
            wrongs.push(Wrong::at(span, message).below(&format!("[{index}].{path}")));
        };
        let url_is_secret = matches!(written.url, Whereto::File(_));
        let url = match written.url {
            Whereto::Url(url) => Some(url),
            Whereto::File(path) => {
                let url = line_of(sources, &path).and_then(|url| check_url(&url).map(|()| url.into()));
                url.map_err(|why| fault(written.url_span, "url_file".to_owned(), why)).ok()
            }
        };
        let mut headers = written.headers;
        for (name, path) in written.header_files {
            match line_of(sources, &path).and_then(|line| header_value(&line).map(Box::from)) {
                Ok(value) => headers.push((name, value)),
                Err(why) => fault(written.files_span, format!("header_files.{name}"), why),
            }
        }
        let WrittenWebhook { name, timeout, severity, send_resolved, .. } = written;
        webhooks.extend(url.map(|url| {
            Arc::new(Webhook { name, url, url_is_secret, headers, timeout, severity, send_resolved })
        }));
    }
    form.draft.config.alerts.webhooks = webhooks;
    wrongs.into_iter().for_each(|wrong| form.fault_at_key("alerts.webhooks", wrong));
}

/// What a file holds, without its line's end.
fn line_of(sources: &Sources<'_>, path: &Path) -> Result<String, String> {
    let held = (sources.read_file)(path)
        .map_err(|error| format!("cannot read {}: {error}", quote(&path.to_string_lossy())))?;
    Ok(held.trim_end_matches(['\r', '\n']).to_owned())
}

/// As it would be written, but for a query.
pub fn show(webhook: &WrittenWebhook) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let path = |path: &Path| Value::Text(path.to_string_lossy().into_owned());
    let url = match &webhook.url {
        Whereto::Url(url) => ("url", Value::Text(redacted(url, false))),
        Whereto::File(file) => ("url_file", path(file)),
    };
    let mut fields = vec![("name", text(&webhook.name)), url];
    if !webhook.headers.is_empty() {
        let pairs = webhook.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        fields.push(("headers", Value::Pairs(pairs.collect())));
    }
    if !webhook.header_files.is_empty() {
        let pairs = webhook.header_files.iter().map(|(name, file)| (name.to_string(), path(file)));
        fields.push(("header_files", Value::Pairs(pairs.collect())));
    }
    fields.push(("timeout", Value::Text(units::show_duration(webhook.timeout))));
    fields.push(("severity", text(webhook.severity.label())));
    fields.push(("send_resolved", Value::Bool(webhook.send_resolved)));
    Value::Map(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn read(text: &str) -> Result<Vec<WrittenWebhook>, String> {
        webhooks(&yaml::parse(text).unwrap())
            .map_err(|wrongs| wrongs.iter().map(|w| format!("{}: {}\n", w.path, w.message)).collect())
    }

    #[test]
    fn webhooks_read_back_as_they_are_shown() {
        for text in [
            "{name: pager, url_file: pager.url, headers: {\"x-team\": net}, header_files: {authorization: pager.token}, \
             timeout: 5s, severity: critical, send_resolved: false}",
            "{name: chat, url: \"http://[::1]:8080/hook\", timeout: 10s, severity: info, send_resolved: true}",
        ] {
            let written = read(&format!("[{text}]")).unwrap();
            assert_eq!(show(&written[0]).to_string(), text);
        }
        let shown =
            show(&read("[{name: a, url: 'https://a.example/b?token=hunter2'}]").unwrap()[0]).to_string();
        assert!(shown.contains("https://a.example/b?<redacted>") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn every_fault_is_told_with_its_path_and_without_a_secret() {
        let told = read(
            "[{name: a}, {name: b, url: 'https://b/', url_file: x}, {name: c, url: 'ftp://c/hunter2'},\n\
             {name: d, url: 'https://u:hunter2@d/'}, {name: e, url: 'https://e/#hunter2'},\n\
             {name: f, url: 'https://f/', headers: {Authorization: hunter2, 'a b': hunter2, Host: f, x: 'hunter2 '}},\n\
             {name: g, url: 'https://g/', headers: {X-A: '1', x-a: '2'}, timeout: 1h}, {name: g, url: 'https://g/'}]",
        )
        .err()
        .unwrap();
        for line in [
            "[0].url: is missing: write url, or url_file",
            "[1].url_file: is one too many",
            "[2].url: is no URL of http or https",
            "[3].url: holds a login: write it as authorization in header_files",
            "[4].url: may hold printable ASCII without spaces and # alone",
            "[5].headers: authorization is a secret",
            "[5].headers: is no name of a header",
            "[5].headers: ringway sends host by itself",
            "[5].headers.x: must be one line of printable ASCII",
            "[6].headers: this header stands above too",
            "[6].timeout: 1h is out of range",
        ] {
            assert!(told.contains(line), "{line}\nis not in\n{told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }
}
