//! `socks5.upstream.proxies`: the proxies that connections may go on through.

use super::fields::{Field, Fields, Shape, words};
use super::nets;
use super::place::Span;
use super::read::{self, Read, wrong};
use super::rules::{self, DIRECT};
use super::value::Value;
use super::yaml::Node;
use super::{UpstreamLogin, UpstreamNames, UpstreamProtocol, UpstreamProxy};
use crate::session::Host;
use std::path::PathBuf;
use std::sync::Arc;

/// A healthy proxy's share is at most so many times another's.
const WEIGHT_MAX: u64 = 1000;
/// Bytes of a name or password (RFC 1929 section 2).
pub const LOGIN_BYTES_MAX: usize = 255;

const PROTOCOLS: [(&str, UpstreamProtocol); 2] =
    [("socks5", UpstreamProtocol::Socks5), ("http_connect", UpstreamProtocol::HttpConnect)];
const NAMES: [(&str, UpstreamNames); 2] =
    [("local", UpstreamNames::Local), ("remote", UpstreamNames::Remote)];

/// The fields of a proxy.
pub static FIELDS: [Field; 9] = [
    field(
        "name",
        true,
        Shape::Text("exit1"),
        "Its name in logs and metrics: letters, digits, `-`, `_`, `.`.",
    ),
    field(
        "group",
        false,
        Shape::Text("exits"),
        "The group it belongs to, as `via` and `socks5.upstream.default` name it. Left out: its own name.",
    ),
    field("protocol", false, Shape::Word(&words(&PROTOCOLS)), "What it speaks. Left out: `socks5`."),
    field("address", true, Shape::Text("proxy.example.org:1080"), "Its host and port."),
    field("username", false, Shape::Text("ringway"), "The name to log in with. Left out: no login."),
    field(
        "password_file",
        false,
        Shape::Text("exit1.password"),
        "A file that holds the password and nothing else but a line's end. A relative path starts at the \
         configuration file's folder.",
    ),
    field(
        "password_env",
        false,
        Shape::Text("EXIT1_PASSWORD"),
        "The environment variable that holds the password, instead of a file.",
    ),
    field(
        "weight",
        false,
        Shape::Number(0, WEIGHT_MAX),
        "Its share among the healthy ones of its group; `0`: only when no other is left. Left out: 1.",
    ),
    field(
        "names",
        false,
        Shape::Word(&words(&NAMES)),
        "Who looks up target names. `local` (left out): ringway does, and judges the address that is then sent. `remote`: the \
         proxy does; rules about addresses cannot hold for names then.",
    ),
];

const fn field(name: &'static str, required: bool, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required, doc }
}

/// A proxy, where its password is to be found, and where it says what others must agree with.
#[derive(Clone)]
pub struct WrittenProxy {
    pub proxy: UpstreamProxy,
    pub secret: Option<Secret>,
    pub name_span: Span,
}

/// Where a password is kept: never in the configuration itself.
#[derive(Clone)]
pub struct Secret {
    pub user: Box<str>,
    pub keeper: Keeper,
    pub span: Span,
}

#[derive(Clone)]
pub enum Keeper {
    File(PathBuf),
    Environment(Box<str>),
}

impl Keeper {
    /// The field that names it.
    pub fn field(&self) -> &'static str {
        match self {
            Keeper::File(_) => "password_file",
            Keeper::Environment(_) => "password_env",
        }
    }
}

pub fn proxies(node: &Node) -> Read<Vec<WrittenProxy>> {
    read::list(node, proxy)
}

fn proxy(node: &Node) -> Read<WrittenProxy> {
    let mut fields = Fields::of(node, &FIELDS)?;
    let name = fields.required("name", name_of);
    let group = fields.optional("group", name_of).or_else(|| name.clone());
    let protocol = fields.optional("protocol", |node| Ok(read::word(node, &PROTOCOLS)?.1));
    let address = fields.required("address", nets::host_and_port);
    let weight = fields.optional("weight", |node| read::integer(node, &(0..=WEIGHT_MAX)));
    let names = fields.optional("names", |node| Ok(read::word(node, &NAMES)?.1));
    let protocol = protocol.unwrap_or(UpstreamProtocol::Socks5);
    let secret = secret(&mut fields, protocol);
    let name_span = fields.span("name");
    let proxy = match (name, group, address) {
        (Some(name), Some(group), Some((host, port))) => Some(UpstreamProxy {
            name,
            group,
            protocol,
            host,
            port,
            login: None,
            weight: weight.unwrap_or(1) as u32,
            names: names.unwrap_or(UpstreamNames::Local),
        }),
        _ => None,
    };
    fields.end(proxy.map(|proxy| WrittenProxy { proxy, secret, name_span }))
}

/// The name of a proxy or of a group.
fn name_of(node: &Node) -> Read<Arc<str>> {
    match rules::group(node)? {
        name if &*name == DIRECT => wrong(node.span, "means \"through no proxy\": choose another name"),
        name => Ok(name),
    }
}

/// A login needs a name and exactly one keeper of the password.
fn secret(fields: &mut Fields<'_>, protocol: UpstreamProtocol) -> Option<Secret> {
    let user = fields.optional("username", |node| username(node, protocol));
    let file = fields.optional("password_file", |node| Ok(PathBuf::from(read::text(node)?)));
    let variable = fields.optional("password_env", variable);
    let keeper = match (fields.has("password_file"), fields.has("password_env")) {
        (true, true) => {
            fields.fault("password_env", "is one keeper too many: keep password_file or password_env");
            return None;
        }
        (false, false) => None,
        _ => file.map(Keeper::File).or_else(|| variable.map(Keeper::Environment)),
    };
    let field = if fields.has("password_file") { "password_file" } else { "password_env" };
    match (fields.has("username"), fields.has(field)) {
        (true, false) => fields.fault("username", "needs a password: add password_file or password_env"),
        (false, true) => fields.fault(field, "needs a username: add one"),
        _ => {}
    }
    let span = fields.span(field);
    Some(Secret { user: user?.into(), keeper: keeper?, span })
}

fn username(node: &Node, protocol: UpstreamProtocol) -> Read<&str> {
    match read::text(node)? {
        text if text.len() > LOGIN_BYTES_MAX => {
            wrong(node.span, format!("is longer than {LOGIN_BYTES_MAX} bytes: no proxy can be told it"))
        }
        // RFC 7617 section 2: the first colon ends the name.
        text if protocol == UpstreamProtocol::HttpConnect && text.contains(':') => {
            wrong(node.span, "holds a colon, which HTTP cannot tell: choose another name")
        }
        text => Ok(text),
    }
}

fn variable(node: &Node) -> Read<Box<str>> {
    match read::text(node)? {
        text if text.starts_with("RINGWAY_") => {
            wrong(node.span, "begins with RINGWAY_, as settings do: choose another name, e.g. EXIT1_PASSWORD")
        }
        text if text.contains(['=', '\0']) => {
            wrong(node.span, "is no name of a variable: write the name alone")
        }
        text => Ok(text.into()),
    }
}

/// The login made of a password as its keeper holds it. The error is a remedy, and never holds the password.
pub fn login(secret: &Secret, protocol: UpstreamProtocol, held: &str) -> Result<UpstreamLogin, String> {
    let line = held.strip_suffix('\n').unwrap_or(held);
    let password = line.strip_suffix('\r').unwrap_or(line);
    if password.is_empty() {
        return Err("holds no password: write one there".to_owned());
    }
    if password.len() > LOGIN_BYTES_MAX {
        return Err(format!("holds more than {LOGIN_BYTES_MAX} bytes: no proxy can be told such a password"));
    }
    // Two lines are two passwords, or one and a remark.
    if password.contains(['\n', '\r']) {
        return Err("holds more than one line: write the password alone".to_owned());
    }
    if protocol == UpstreamProtocol::HttpConnect && password.contains(|c: char| c.is_control()) {
        return Err("holds a control character, which HTTP cannot tell: write the password alone".to_owned());
    }
    Ok(UpstreamLogin { name: secret.user.as_bytes().into(), password: password.as_bytes().into() })
}

/// A proxy as it would be written: its password's keeper, never the password.
pub fn show(written: &WrittenProxy) -> Value {
    let WrittenProxy { proxy, secret, .. } = written;
    let text = |text: &str| Value::Text(text.to_owned());
    let address = match &proxy.host {
        Host::Address(ip) => std::net::SocketAddr::new(*ip, proxy.port).to_string(),
        Host::Name(name) => format!("{name}:{}", proxy.port),
    };
    let mut fields = vec![
        ("name", text(&proxy.name)),
        ("group", text(&proxy.group)),
        ("protocol", text(word_of(&PROTOCOLS, proxy.protocol))),
        ("address", Value::Text(address)),
    ];
    if let Some(Secret { user, keeper, .. }) = secret {
        fields.push(("username", text(user)));
        fields.push(match keeper {
            Keeper::File(path) => ("password_file", text(&path.to_string_lossy())),
            Keeper::Environment(name) => ("password_env", text(name)),
        });
    }
    fields.push(("weight", Value::Number(u64::from(proxy.weight))));
    fields.push(("names", text(word_of(&NAMES, proxy.names))));
    Value::Map(fields)
}

fn word_of<T: PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, held)| *held == value).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn read(text: &str) -> Result<Vec<WrittenProxy>, String> {
        proxies(&yaml::parse(text).unwrap())
            .map_err(|wrongs| wrongs.iter().map(|w| format!("{}: {}\n", w.path, w.message)).collect())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let written = read("[{name: a, address: 'Proxy.example.:1080'}]").unwrap().remove(0);
        let shown =
            "{name: a, group: a, protocol: socks5, address: \"proxy.example:1080\", weight: 1, names: local}";
        assert_eq!(show(&written).to_string(), shown);
    }

    #[test]
    fn a_proxy_with_every_field_is_shown_as_it_was_read() {
        let text = "[{name: a, group: exits, protocol: http_connect, address: \"192.0.2.1:3128\", username: u, \
                    password_file: exit1.password, weight: 0, names: remote}]";
        let written = read(text).unwrap();
        assert_eq!(format!("[{}]", show(&written[0])), text);
    }

    #[test]
    fn every_fault_is_told_with_its_path_and_no_password() {
        let told = read(
            "[{name: direct, address: '192.0.2.1'}, {name: 'a b', address: 'x:1', password: hunter2},\n\
             {name: a, address: 'x:1', username: u}, {name: b, address: 'x:1', password_env: X},\n\
             {name: c, address: 'x:1', username: u, password_env: RINGWAY_X, password_file: y}, {weight: 1001},\n\
             {name: d, address: 'x:1', protocol: http_connect, username: 'a:b', password_env: RINGWAY_P}]",
        )
        .err()
        .unwrap();
        for line in [
            "[0].name: means \"through no proxy\"",
            "[0].address: \"192.0.2.1\" has no port",
            "may stand here; did you mean \"password_file\"?",
            "[1].name: \"a b\" may hold letters, digits",
            "[2].username: needs a password: add password_file or password_env",
            "[3].password_env: needs a username",
            "[4].password_env: is one keeper too many",
            "[5].name: is missing",
            "[5].address: is missing",
            "[5].weight: 1001 is out of range",
            "[6].username: holds a colon",
            "[6].password_env: begins with RINGWAY_",
        ] {
            assert!(told.contains(line), "{line}\nis not in\n{told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_password_is_one_line_without_its_end() {
        let secret =
            Secret { user: "u".into(), keeper: Keeper::Environment("X".into()), span: Span::default() };
        let login = |held: &str, protocol| login(&secret, protocol, held).map(|login| login.password);
        assert_eq!(&*login("secret\r\n", UpstreamProtocol::Socks5).unwrap(), b"secret");
        assert_eq!(&*login("se\tcret", UpstreamProtocol::Socks5).unwrap(), b"se\tcret");
        for (held, protocol) in [
            ("\n", UpstreamProtocol::Socks5),
            ("", UpstreamProtocol::HttpConnect),
            ("hun\nter2", UpstreamProtocol::Socks5),
            ("hunter2\n\n", UpstreamProtocol::Socks5),
            ("hun\tter2", UpstreamProtocol::HttpConnect),
            (&*"x".repeat(256), UpstreamProtocol::Socks5),
        ] {
            let why = login(held, protocol).unwrap_err();
            assert!(!why.contains("hun"), "{why}");
        }
    }
}
