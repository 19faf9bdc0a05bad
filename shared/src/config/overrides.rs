//! The layers above the file: plain environment names, `RINGWAY_…`, `--set`, and what is set for a time.
//!
//! A value is YAML. Where a list is wanted, items with commas between them will do.

use super::form::Form;
use super::keys::{self, PLAIN_NAMES};
use super::load::Override;
use super::place::{Source, Span};
use super::suggest;
use super::value::Value;
use super::yaml::{self, Data, Node, Wrong};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PREFIX: &str = "RINGWAY_";
/// What ringway tells its tests and its children, and what tells `ringway ctl`: no settings.
const NOT_SETTINGS: &[&str] = &["RINGWAY_BLESS", "RINGWAY_HANDOVER", "RINGWAY_CONTROL", "RINGWAY_TOKEN"];

/// Fills in `env`: first the plain names, then the `RINGWAY_` ones, which are meant for nobody else.
pub fn environment(form: &mut Form, env: &[(String, String)]) {
    for (name, path) in PLAIN_NAMES {
        for (_, value) in env.iter().filter(|(candidate, _)| candidate == name) {
            fill(form, &Source::Environment((*name).into()), path, value);
        }
    }
    gateway_address(form, env);
    for (name, value) in env {
        if let Some(rest) = name.strip_prefix(PREFIX) {
            variable(form, name, rest, value);
        }
    }
}

/// `WEBSOCKET_HOST` and `WEBSOCKET_PORT` name the gateway's one listener; the half that is missing has its default.
fn gateway_address(form: &mut Form, env: &[(String, String)]) {
    const HOST: &str = "WEBSOCKET_HOST";
    const PORT: &str = "WEBSOCKET_PORT";
    const KEY: &str = "websocket.listen";
    let value_of =
        |name: &str| env.iter().rev().find(|(held, _)| held == name).map(|(_, value)| value.trim());
    let (host, port) = (value_of(HOST), value_of(PORT));
    if host.is_none() && port.is_none() {
        return;
    }
    let ip = match host.unwrap_or("localhost") {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        other => other.trim_start_matches('[').trim_end_matches(']').parse(),
    };
    let number = port.unwrap_or("8765").parse::<u16>();
    if let (Ok(ip), Ok(number)) = (&ip, &number) {
        let source = Source::Environment(if host.is_some() { HOST } else { PORT }.into());
        return fill(form, &source, KEY, &SocketAddr::new(*ip, *number).to_string());
    }
    let mut complain = |name: &str, message: &str| {
        form.fault(&Source::Environment(name.into()), KEY, Wrong::at(Span::default(), message));
    };
    if ip.is_err() {
        complain(HOST, "is no address: write one such as 127.0.0.1, 0.0.0.0 or ::1");
    }
    if number.is_err() {
        complain(PORT, "is no port: write 0 to 65535");
    }
}

/// Fills in `--set KEY=VALUE`s, in their order.
pub fn sets(form: &mut Form, sets: &[String]) {
    for set in sets {
        match set.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                let key = key.trim();
                fill(form, &Source::Set(key.into()), key, value);
            }
            _ => {
                let start = set.split('=').next().unwrap_or_default();
                let wrong =
                    Wrong::at(Span::default(), "is not KEY=VALUE: write for example --set log.level=debug");
                form.fault(&Source::Set(start.into()), start, wrong);
            }
        }
    }
}

/// Fills in what is set for a time.
pub fn for_a_time(form: &mut Form, overrides: &[Override]) {
    for Override { key, value, until } in overrides {
        fill(form, &Source::Override(until.as_str().into()), key, value);
    }
}

/// Fills in what the keys that need a restart are in force with.
pub fn held(form: &mut Form, held: &[(&'static str, Value)]) {
    for (key, value) in held {
        fill(form, &Source::InForce, key, &value.to_string());
    }
}

fn variable(form: &mut Form, name: &str, rest: &str, value: &str) {
    if NOT_SETTINGS.contains(&name) || is_kubernetes_link(rest, value) {
        return;
    }
    let source = Source::Environment(name.into());
    let path = rest.to_ascii_lowercase().replace("__", ".");
    if keys::find(&path).is_some() || keys::is_section(&path) || keys::new_name(&path).is_some() {
        return fill(form, &source, &path, value);
    }
    let names: Vec<String> = keys::KEYS.iter().map(|key| variable_name(key.path)).collect();
    let remedy = match suggest::nearest_upper(name, names.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "two underscores stand for a dot, as in RINGWAY_LOG__LEVEL for log.level".to_owned(),
    };
    form.fault(&source, "", Wrong::at(Span::default(), format!("sets no key; {remedy}")));
}

/// The variable that sets this key.
pub fn variable_name(path: &str) -> String {
    PREFIX.to_owned() + &path.replace('.', "__").to_ascii_uppercase()
}

/// Kubernetes gives every pod `RINGWAY_PORT=tcp://…`, `RINGWAY_SERVICE_HOST=…` and their like if a service
/// is called ringway. They have no double underscore, so they never name a key.
fn is_kubernetes_link(rest: &str, value: &str) -> bool {
    let service = rest.ends_with("SERVICE_HOST") || rest.contains("SERVICE_PORT");
    let port =
        rest.split('_').any(|word| word == "PORT") && (rest.contains("PORT_") || value.contains("://"));
    !rest.contains("__") && (service || port)
}

fn fill(form: &mut Form, source: &Source, path: &str, value: &str) {
    match node_of(path, value.trim()) {
        Ok(node) => form.entry(source, path, Span::default(), &node),
        Err(wrong) => form.fault(source, path, wrong),
    }
}

/// The tree of an override's value. A plain scalar is taken as it stands: `#` and `: ` need no quotes.
fn node_of(path: &str, value: &str) -> Result<Node, Wrong> {
    let nowhere = Span::default();
    let Some(key) = keys::find(path) else { return yaml::parse(value) };
    if value.is_empty() {
        let list = if key.kind.is_list() { ", or [] for an empty list" } else { "" };
        return Err(Wrong::at(nowhere, format!("is empty: give a value{list}")));
    }
    let yaml = key.kind.is_list_of_mappings()
        || value.starts_with(['"', '\'', '{'])
        || value.contains('\n')
        || (value.starts_with('[') && value.ends_with(']'));
    let node = if yaml { yaml::parse(value)? } else { Node::plain(nowhere, value) };
    let items_between_commas = key.kind.is_list() && !key.kind.is_list_of_mappings();
    match &node.data {
        Data::Scalar { quoted: false, text } if items_between_commas => {
            let items = text.split(',').map(|item| Node::plain(nowhere, item.trim())).collect();
            Ok(Node { span: nowhere, data: Data::List(items) })
        }
        Data::Scalar { .. } if items_between_commas => {
            Ok(Node { span: nowhere, data: Data::List(vec![node]) })
        }
        _ => Ok(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_links_are_told_from_slips() {
        for (name, value, link) in [
            ("PORT", "tcp://10.0.0.1:1080", true),
            ("PORT", "1080", false),
            ("SERVICE_HOST", "10.0.0.1", true),
            ("SERVICE_PORT_SOCKS", "1080", true),
            ("PORT_1080_TCP_ADDR", "10.0.0.1", true),
            ("CONTROL_SERVICE_HOST", "10.0.0.1", true),
            ("CONTROL_PORT_9003_TCP", "tcp://10.0.0.1:9003", true),
            ("LOG_LEVEL", "debug", false),
            ("SOCKS5__PORT_", "1080", false),
        ] {
            assert_eq!(is_kubernetes_link(name, value), link, "{name}={value}");
        }
    }
}
