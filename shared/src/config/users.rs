//! The users file: `users: [{name: alice, password: …}]`. Nothing in here repeats a password.

use super::fault::{FAULTS_MAX, Faults};
use super::place::{Source, Span};
use super::suggest;
use super::yaml::{self, Data, Entry, Node, Wrong};
use super::{Password, User, Users};
use std::collections::HashMap;
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
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=16;
const BCRYPT_TAIL_BYTES: usize = 53;

/// An example of the file's content, as a piece of a sentence.
pub const EXAMPLE: &str = r#"for example: users: [{name: alice, password: "{plain}secret"}]"#;
const PASSWORD_REMEDY: &str =
    r#"make one with `ringway passwd`, or write "{plain}" before a plain one, in quotes"#;
const FIELDS: [&str; 2] = ["name", "password"];

/// Reads the file; `None` if anything is wrong with it.
pub fn parse(text: &str, source: &Source, faults: &mut Faults) -> Option<Users> {
    let mut roll = Roll { source, faults, entries: Vec::new(), lines: HashMap::new() };
    let before = roll.faults.len();
    if text.len() > USERS_FILE_BYTES_MAX {
        roll.fault(Span::default(), "", format!("is larger than {USERS_FILE_BYTES_MAX} bytes"));
    } else {
        match yaml::parse(text) {
            Ok(root) => roll.file(&root),
            Err(Wrong { span, message }) => {
                roll.fault(span, "", format!("{message} (a password with {{plain}} needs quotes)"));
            }
        }
    }
    (roll.faults.len() == before).then_some(Users { entries: roll.entries })
}

/// The users read so far.
struct Roll<'a> {
    source: &'a Source,
    faults: &'a mut Faults,
    entries: Vec<Arc<User>>,
    /// Where each name stands.
    lines: HashMap<String, usize>,
}

impl Roll<'_> {
    fn fault(&mut self, span: Span, path: &str, message: impl Into<String>) {
        self.faults.push(self.source.at(span), path, message);
    }

    fn file(&mut self, root: &Node) {
        let Data::Map(entries) = &root.data else {
            return self.fault(root.span, "", format!("must be a mapping with the key users, {EXAMPLE}"));
        };
        let [users] = self.fields(entries, "", ["users"]);
        match users.map(|node| (node, &node.data)) {
            Some((_, Data::List(list))) if list.len() <= USERS_MAX => self.users(list),
            Some((node, Data::List(list))) => {
                let message = format!("holds {} users: at most {USERS_MAX} are allowed", list.len());
                self.fault(node.span, "users", message);
            }
            Some((node, _)) => self.fault(node.span, "users", format!("must be a list, {EXAMPLE}")),
            None => self.fault(root.span, "users", format!("is missing, {EXAMPLE}")),
        }
    }

    fn users(&mut self, list: &[Node]) {
        for (index, node) in list.iter().enumerate() {
            if self.faults.len() >= FAULTS_MAX {
                return;
            }
            self.user(&format!("users[{index}]"), node);
        }
    }

    fn user(&mut self, path: &str, node: &Node) {
        let Data::Map(entries) = &node.data else {
            return self.fault(node.span, path, "must be a mapping with name and password");
        };
        let [name, password] = self.fields(entries, path, FIELDS);
        let name = self.field(node, name, &format!("{path}.name"), name_of);
        let password = self.field(node, password, &format!("{path}.password"), password_of);
        let Some((name, span)) = name else { return };
        if let Some(line) = self.lines.insert(name.clone(), span.line) {
            return self.fault(
                span,
                &format!("{path}.name"),
                format!("the user of line {line} has this name too"),
            );
        }
        if let Some((password, _)) = password {
            self.entries.push(Arc::new(User::unlimited(name.into(), password)));
        }
    }

    /// The values of the wanted keys; other keys and repeated ones are faults.
    fn fields<'n, const N: usize>(
        &mut self,
        entries: &'n [Entry],
        path: &str,
        wanted: [&str; N],
    ) -> [Option<&'n Node>; N] {
        let mut found = [None; N];
        for Entry { key, key_span, value } in entries {
            if self.faults.len() >= FAULTS_MAX {
                break;
            }
            match wanted.iter().position(|name| name == key) {
                Some(index) if found[index].is_none() => found[index] = Some(value),
                Some(_) => {
                    self.fault(*key_span, path, format!("{key} is set a second time: keep one of them"))
                }
                // The key itself is not repeated: in a slip of the pen it may be a password.
                None => {
                    let meant = suggest::sentence(key, wanted);
                    let message = format!("unknown key: only {} may stand here{meant}", wanted.join(" and "));
                    self.fault(*key_span, path, message);
                }
            }
        }
        found
    }

    fn field<T>(
        &mut self,
        user: &Node,
        node: Option<&Node>,
        path: &str,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<(T, Span)> {
        let Some(node) = node.filter(|node| !node.is_null()) else {
            self.fault(node.unwrap_or(user).span, path, "is missing");
            return None;
        };
        let Data::Scalar { text, .. } = &node.data else {
            let hint = "must be a text; put it in quotes if it begins with { or [";
            self.fault(node.span, path, hint);
            return None;
        };
        read(text).map(|value| (value, node.span)).map_err(|why| self.fault(node.span, path, why)).ok()
    }
}

fn name_of(text: &str) -> Result<String, String> {
    match text.len() {
        1..=FIELD_BYTES_MAX => Ok(text.to_owned()),
        length => Err(format!("is {length} bytes long: 1 to {FIELD_BYTES_MAX} are possible")),
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
