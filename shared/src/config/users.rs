//! The users file: `users: [{name: alice, password: …}]`. Nothing in here repeats a password.

use super::fault::{FAULTS_MAX, Faults};
use super::fields::{Field, Fields, Shape, words};
use super::nets;
use super::place::{Source, Span};
use super::read::{self, Read, wrong};
use super::rules;
use super::yaml::{self, Data, Node, Wrong};
use super::{Password, Quota, QuotaPeriod, UdpFilter, User, UserUdp, Users};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Bytes of a users file.
pub const USERS_FILE_BYTES_MAX: usize = 16 << 20;
/// Users in it.
pub const USERS_MAX: usize = 65_536;
/// Bytes of a name or a plain password (RFC 1929 section 2: one byte holds the length).
const FIELD_BYTES_MAX: usize = 255;
/// What one argon2id check may cost: a users file must not be able to exhaust the host.
const ARGON2_MEMORY_KIB_MAX: u32 = 1 << 20;
const ARGON2_PASSES_MAX: u32 = 64;
const ARGON2_LANES_MAX: u32 = 64;
const BCRYPT_COSTS: RangeInclusive<u32> = 4..=16;
const BCRYPT_TAIL_BYTES: usize = 53;

/// An example of the file's content, as a piece of a sentence.
pub const EXAMPLE: &str = r#"for example: users: [{name: alice, password: "{plain}secret"}]"#;
const PASSWORD_REMEDY: &str =
    r#"make one with `ringway passwd`, or write "{plain}" before a plain one, in quotes"#;
/// Of a user's connections at once: the kernel's own ceiling of descriptors.
const CONNECTIONS_MAX: u64 = 1 << 30;
/// Bytes per second. Below the least, waiting for the next byte would look like a stall.
const RATES: RangeInclusive<u64> = 1 << 10..=1 << 40;
const QUOTAS: RangeInclusive<u64> = 1..=1 << 50;

const PERIODS: [(&str, QuotaPeriod); 2] = [("month", QuotaPeriod::Month), ("total", QuotaPeriod::Total)];
const UDP: [(&str, UserUdp); 4] = [
    ("full_cone", UserUdp::Filter(UdpFilter::FullCone)),
    ("address", UserUdp::Filter(UdpFilter::Address)),
    ("address_port", UserUdp::Filter(UdpFilter::AddressPort)),
    ("off", UserUdp::Off),
];

/// The fields of a user.
pub static FIELDS: [Field; 10] = [
    field("name", true, Shape::Text("alice"), "1 to 255 bytes, no two alike."),
    field(
        "password",
        true,
        Shape::Text("$argon2id$…"),
        "An argon2id or bcrypt string, or `{plain}` and 0 to 255 bytes.",
    ),
    field(
        "connections",
        false,
        Shape::Number(1, CONNECTIONS_MAX),
        "Connections at once. Left out: as `socks5.limits.connections_per_user` says.",
    ),
    field(
        "rate_up",
        false,
        Shape::Size(RATES),
        "Bytes per second from client to target, over all connections.",
    ),
    field("rate_down", false, Shape::Size(RATES), "The same from target to client."),
    field("quota", false, Shape::Size(QUOTAS), "Bytes in each period, both directions together."),
    field(
        "quota_period",
        false,
        Shape::Word(&words(&PERIODS)),
        "When a quota starts anew: with each calendar month (UTC; left out), or never.",
    ),
    field(
        "egress",
        false,
        Shape::Texts("192.0.2.7"),
        "Source addresses instead of those of `socks5.egress.addresses`.",
    ),
    field("udp", false, Shape::Word(&words(&UDP)), "As `socks5.udp.filter`, for this user; `off`: no UDP."),
    field("acl", false, Shape::Rules, "Rules of the user's own, asked before `socks5.acl`."),
];

/// The file's own one field.
static FILE_FIELDS: [Field; 1] = [field("users", true, Shape::Texts("alice"), "All users.")];

const fn field(name: &'static str, required: bool, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required, doc }
}

/// Reads the file; `None` if anything is wrong with it. `groups` are those that rules may go by, if that is clear.
pub fn parse(text: &str, source: &Source, groups: Option<&[Arc<str>]>, faults: &mut Faults) -> Option<Users> {
    let mut roll = Roll { source, groups, faults, entries: Vec::new(), lines: HashMap::new() };
    let before = roll.faults.len();
    if text.len() > USERS_FILE_BYTES_MAX {
        let message = format!("is larger than {USERS_FILE_BYTES_MAX} bytes");
        roll.fault("", Wrong::at(Span::default(), message));
    } else {
        match yaml::parse(text) {
            Ok(root) => roll.file(&root),
            Err(wrong) => {
                let message = format!("{} (a password with {{plain}} needs quotes)", wrong.message);
                roll.fault("", Wrong { message, ..wrong });
            }
        }
    }
    (roll.faults.len() == before).then_some(Users { entries: roll.entries })
}

/// The users read so far.
struct Roll<'a> {
    source: &'a Source,
    groups: Option<&'a [Arc<str>]>,
    faults: &'a mut Faults,
    entries: Vec<Arc<User>>,
    /// Where each name stands.
    lines: HashMap<Arc<str>, usize>,
}

impl Roll<'_> {
    fn fault(&mut self, path: &str, wrong: Wrong) {
        self.faults.push(self.source.at(wrong.span), format!("{path}{}", wrong.path), wrong.message);
    }

    fn file(&mut self, root: &Node) {
        let Ok(mut fields) = Fields::of(root, &FILE_FIELDS) else {
            let message = format!("must be a mapping with the key users, {EXAMPLE}");
            return self.fault("", Wrong::at(root.span, message));
        };
        let list = fields.required("users", |node| match &node.data {
            Data::List(list) if list.len() <= USERS_MAX => Ok(list),
            Data::List(list) => {
                wrong(node.span, format!("holds {} users: at most {USERS_MAX} are allowed", list.len()))
            }
            _ => wrong(node.span, format!("must be a list, {EXAMPLE}")),
        });
        list.into_iter().flatten().enumerate().for_each(|(index, node)| self.user(index, node));
        for wrong in fields.end(None::<()>).err().into_iter().flatten() {
            let path = wrong.path.trim_start_matches('.').to_owned();
            self.fault("", Wrong { path, ..wrong });
        }
    }

    fn user(&mut self, index: usize, node: &Node) {
        if self.faults.len() >= FAULTS_MAX {
            return;
        }
        let path = format!("users[{index}]");
        let mut fields = match Fields::of(node, &FIELDS) {
            Ok(fields) => fields,
            Err(wrongs) => return wrongs.into_iter().for_each(|wrong| self.fault(&path, wrong)),
        };
        let name = fields.required("name", name);
        let span = fields.span("name");
        if let Some(line) = name.as_ref().and_then(|name| self.lines.insert(name.clone(), span.line)) {
            fields.fault("name", format!("the user of line {line} has this name too"));
        }
        let user = user(&mut fields, name, self.groups);
        match fields.end(user) {
            Ok(user) => self.entries.push(Arc::new(user)),
            Err(wrongs) => wrongs.into_iter().for_each(|wrong| self.fault(&path, wrong)),
        }
    }
}

/// The user that the fields tell of.
fn user(fields: &mut Fields<'_>, name: Option<Arc<str>>, groups: Option<&[Arc<str>]>) -> Option<User> {
    let password = fields.required("password", password);
    let connections = fields.optional("connections", |node| read::integer(node, &(1..=CONNECTIONS_MAX)));
    let rate_up = fields.optional("rate_up", |node| read::bytes(node, &RATES));
    let rate_down = fields.optional("rate_down", |node| read::bytes(node, &RATES));
    let quota = quota(fields);
    let egress = fields.optional("egress", |node| read::list(node, nets::unicast));
    let udp = fields.optional("udp", |node| Ok(read::word(node, &UDP)?.1));
    let owner = name.as_deref().unwrap_or_default().to_owned();
    let acl = fields.optional("acl", |node| rules::of_user(node, &owner, groups));
    Some(User {
        name: name?,
        password: password?,
        connections: connections.map(|n| n as u32),
        rate_up,
        rate_down,
        quota,
        egress: egress.unwrap_or_default(),
        udp: udp.unwrap_or(UserUdp::AsConfigured),
        acl: acl.unwrap_or_default().into(),
    })
}

fn quota(fields: &mut Fields<'_>) -> Option<Quota> {
    let bytes = fields.optional("quota", |node| read::bytes(node, &QUOTAS));
    let period = fields.optional("quota_period", |node| Ok(read::word(node, &PERIODS)?.1));
    if fields.has("quota_period") && !fields.has("quota") {
        fields.fault("quota_period", "needs a quota: add quota, e.g. quota: 100GiB");
    }
    Some(Quota { bytes: bytes?, period: period.unwrap_or(QuotaPeriod::Month) })
}

fn name(node: &Node) -> Read<Arc<str>> {
    match unquoted_text(node)? {
        text if (1..=FIELD_BYTES_MAX).contains(&text.len()) => Ok(text.into()),
        text => {
            wrong(node.span, format!("is {} bytes long: 1 to {FIELD_BYTES_MAX} are possible", text.len()))
        }
    }
}

fn password(node: &Node) -> Read<Password> {
    password_of(unquoted_text(node)?).or_else(|why| wrong(node.span, why))
}

/// A text of which nothing is repeated in a message.
fn unquoted_text(node: &Node) -> Read<&str> {
    match &node.data {
        Data::Scalar { text, .. } => Ok(text),
        _ => wrong(node.span, "must be a text; put it in quotes if it begins with { or ["),
    }
}

fn password_of(text: &str) -> Result<Password, String> {
    if let Some(plain) = text.strip_prefix("{plain}") {
        return match plain.len() {
            0..=FIELD_BYTES_MAX => Ok(Password::Plain(plain.as_bytes().into())),
            _ => Err(format!("is longer than {FIELD_BYTES_MAX} bytes: no client can send it")),
        };
    }
    if text.starts_with("$argon2id$") {
        return check_argon2(text).map(|()| Password::Argon2(text.into()));
    }
    if ["$2a$", "$2b$", "$2y$"].iter().any(|start| text.starts_with(start)) {
        return check_bcrypt(text).map(|()| Password::Bcrypt(text.into()));
    }
    Err(format!("is neither an argon2id nor a bcrypt string nor {{plain}}…: {PASSWORD_REMEDY}"))
}

/// `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, each part within bounds.
fn check_argon2(text: &str) -> Result<(), String> {
    let malformed = || format!("is not a whole argon2id string: {PASSWORD_REMEDY}");
    let parts: Vec<&str> = text.split('$').collect();
    let ["", "argon2id", "v=19", costs, salt, hash] = parts[..] else { return Err(malformed()) };
    let costs: Vec<&str> = costs.split(',').collect();
    let [memory, passes, lanes] = costs[..] else { return Err(malformed()) };
    for (part, name, max) in [
        (memory, "m=", ARGON2_MEMORY_KIB_MAX),
        (passes, "t=", ARGON2_PASSES_MAX),
        (lanes, "p=", ARGON2_LANES_MAX),
    ] {
        let value: u32 = part.strip_prefix(name).and_then(|n| n.parse().ok()).ok_or_else(malformed)?;
        if !(1..=max).contains(&value) {
            return Err(format!("has {name} out of range: 1 to {max} are allowed"));
        }
    }
    let base64 = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    let whole = (11..=86).contains(&salt.len()) && (16..=86).contains(&hash.len());
    if whole && base64(salt) && base64(hash) { Ok(()) } else { Err(malformed()) }
}

/// `$2b$12$` and 53 characters of salt and hash.
fn check_bcrypt(text: &str) -> Result<(), String> {
    let malformed = || format!("is not a whole bcrypt string: {PASSWORD_REMEDY}");
    let (cost, tail) = text[4..].split_once('$').ok_or_else(malformed)?;
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
    if cost.len() != 2 || tail.len() != BCRYPT_TAIL_BYTES || !tail.bytes().all(alphabet) {
        return Err(malformed());
    }
    let cost: u32 = cost.parse().map_err(|_| malformed())?;
    if BCRYPT_COSTS.contains(&cost) {
        return Ok(());
    }
    Err(format!("has cost {cost}: {} to {} are allowed", BCRYPT_COSTS.start(), BCRYPT_COSTS.end()))
}
