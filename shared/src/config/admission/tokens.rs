//! The tokens file: `tokens: [{user: alice, token: …}]`. Nothing in here repeats a token.

use super::{Token, TokenSecret, Tokens};
use crate::config::fault::{FAULTS_MAX, Faults};
use crate::config::fields::{Field, Fields, Shape};
use crate::config::place::{Source, Span};
use crate::config::read::{Read, wrong};
use crate::config::users::USERS_FILE_BYTES_MAX;
use crate::config::yaml::{self, Data, Node, Wrong};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Tokens in the file.
pub const TOKENS_MAX: usize = 65_536;
/// Bytes of a user's name.
const USER_BYTES: RangeInclusive<usize> = 1..=255;
/// Bytes of a token. Nothing slows down whoever guesses at shorter ones.
const TOKEN_BYTES: RangeInclusive<usize> = 16..=512;
const DIGEST_MARK: &str = "{sha256}";
const REMEDY: &str = "make one with `openssl rand -hex 24`";

/// An example of the file's content, as a piece of a sentence.
pub const EXAMPLE: &str = r#"for example: tokens: [{user: alice, token: "{sha256}…"}]"#;

/// The fields of a token.
pub static FIELDS: [Field; 2] = [
    field("user", Shape::Text("alice"), "Whose it is: 1 to 255 bytes. A user may have several."),
    field(
        "token",
        Shape::Text("{sha256}9f86d0…"),
        "`{sha256}` and its SHA-256 digest in 64 hexadecimal digits, or the token itself: 16 to 512 printable ASCII characters.",
    ),
];

/// The file's own one field.
static FILE_FIELDS: [Field; 1] = [field("tokens", Shape::Texts("{user: alice, token: …}"), "All tokens.")];

const fn field(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required: true, doc }
}

/// Reads the file; `None` if anything is wrong with it.
pub fn parse(text: &str, source: &Source, faults: &mut Faults) -> Option<Tokens> {
    let mut list = List { source, faults, entries: Vec::new(), lines: HashMap::new() };
    let before = list.faults.len();
    if text.len() > USERS_FILE_BYTES_MAX {
        let message = format!("is larger than {USERS_FILE_BYTES_MAX} bytes");
        list.fault("", Wrong::at(Span::default(), message));
    } else {
        match yaml::parse(text) {
            Ok(root) => list.file(&root),
            Err(wrong) => {
                let message = format!("{} (a token with {DIGEST_MARK} needs quotes)", wrong.message);
                list.fault("", Wrong { message, ..wrong });
            }
        }
    }
    (list.faults.len() == before).then_some(Tokens { entries: list.entries })
}

/// The tokens read so far.
struct List<'a> {
    source: &'a Source,
    faults: &'a mut Faults,
    entries: Vec<Token>,
    /// Where each one stands.
    lines: HashMap<TokenSecret, usize>,
}

impl List<'_> {
    fn fault(&mut self, path: &str, wrong: Wrong) {
        self.faults.push(self.source.at(wrong.span), format!("{path}{}", wrong.path), wrong.message);
    }

    fn file(&mut self, root: &Node) {
        let Ok(mut fields) = Fields::of(root, &FILE_FIELDS) else {
            let message = format!("must be a mapping with the key tokens, {EXAMPLE}");
            return self.fault("", Wrong::at(root.span, message));
        };
        let list = fields.required("tokens", |node| match &node.data {
            Data::List(list) if list.len() <= TOKENS_MAX => Ok(list),
            Data::List(list) => {
                wrong(node.span, format!("holds {} tokens: at most {TOKENS_MAX} are allowed", list.len()))
            }
            _ => wrong(node.span, format!("must be a list, {EXAMPLE}")),
        });
        list.into_iter().flatten().enumerate().for_each(|(index, node)| self.token(index, node));
        for wrong in fields.end(None::<()>).err().into_iter().flatten() {
            let path = wrong.path.trim_start_matches('.').to_owned();
            self.fault("", Wrong { path, ..wrong });
        }
    }

    fn token(&mut self, index: usize, node: &Node) {
        if self.faults.len() >= FAULTS_MAX {
            return;
        }
        let path = format!("tokens[{index}]");
        let mut fields = match Fields::of(node, &FIELDS) {
            Ok(fields) => fields,
            Err(wrongs) => return wrongs.into_iter().for_each(|wrong| self.fault(&path, wrong)),
        };
        let user = fields.required("user", user);
        let secret = fields.required("token", secret);
        let span = fields.span("token");
        if let Some(line) = secret.clone().and_then(|secret| self.lines.insert(secret, span.line)) {
            fields.fault("token", format!("stands in line {line} too: a token is one user's"));
        }
        match fields.end(user.zip(secret)) {
            Ok((user, secret)) => self.entries.push(Token { user, secret }),
            Err(wrongs) => wrongs.into_iter().for_each(|wrong| self.fault(&path, wrong)),
        }
    }
}

fn user(node: &Node) -> Read<Arc<str>> {
    match unquoted_text(node)? {
        text if USER_BYTES.contains(&text.len()) => Ok(text.into()),
        text => {
            let (least, most) = (USER_BYTES.start(), USER_BYTES.end());
            wrong(node.span, format!("is {} bytes long: {least} to {most} are possible", text.len()))
        }
    }
}

fn secret(node: &Node) -> Read<TokenSecret> {
    let text = unquoted_text(node)?;
    if let Some(digest) = text.strip_prefix(DIGEST_MARK) {
        return match sha256(digest) {
            Some(digest) => Ok(TokenSecret::Sha256(digest)),
            None => wrong(
                node.span,
                "is not {sha256} and 64 hexadecimal digits: make it with `printf %s TOKEN | sha256sum`",
            ),
        };
    }
    // A slip such as {sha512} or {plain} must not become a token.
    if text.starts_with('{') {
        return wrong(node.span, "begins with { and is not {sha256}…: write that, or the token itself");
    }
    if !TOKEN_BYTES.contains(&text.len()) {
        let (least, most) = (TOKEN_BYTES.start(), TOKEN_BYTES.end());
        let message = format!("is {} bytes long: {least} to {most} are needed; {REMEDY}", text.len());
        return wrong(node.span, message);
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return wrong(node.span, format!("holds a space, or what no header can carry; {REMEDY}"));
    }
    Ok(TokenSecret::Plain(text.into()))
}

/// A text of which nothing is repeated in a message.
fn unquoted_text(node: &Node) -> Read<&str> {
    match &node.data {
        Data::Scalar { text, .. } => Ok(text),
        _ => wrong(node.span, "must be a text; put it in quotes if it begins with { or ["),
    }
}

fn sha256(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tokens, String> {
        let mut faults = Faults::default();
        parse(text, &Source::UsersFile("tokens.yaml".into()), &mut faults).ok_or_else(|| faults.to_string())
    }

    #[test]
    fn tokens_are_read_and_never_shown() {
        let digest = "ab".repeat(32);
        let text = format!(
            "tokens:\n- {{user: alice, token: hunter2hunter2hunter2}}\n- {{user: alice, token: '{{sha256}}{digest}'}}\n"
        );
        let tokens = read(&text).unwrap();
        assert_eq!(tokens.entries[1].secret, TokenSecret::Sha256([0xab; 32]));
        let shown = format!("{tokens:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("171"), "{shown}");
        assert!(read("tokens: []").unwrap().entries.is_empty());
    }

    #[test]
    fn faults_name_their_place_and_no_token() {
        for (text, told) in [
            ("", "tokens.yaml:1:1: tokens: is missing"),
            ("[]", "tokens.yaml:1:1: must be a mapping with the key tokens"),
            ("tokens: {}", "tokens.yaml:1:9: tokens: must be a list"),
            ("tokens: [{user: a}]", "tokens.yaml:1:10: tokens[0].token: is missing"),
            ("tokens: [{token: hunter2hunter2hunter2}]", "tokens.yaml:1:10: tokens[0].user: is missing"),
            ("tokens: [{user: a, token: hunter2}]", "tokens.yaml:1:27: tokens[0].token: is 7 bytes long"),
            (
                "tokens: [{user: a, token: '{sha256}hunter2'}]",
                "tokens.yaml:1:27: tokens[0].token: is not {sha256} and 64",
            ),
            (
                "tokens: [{user: a, token: '{md5}hunter2hunter2'}]",
                "tokens.yaml:1:27: tokens[0].token: begins with {",
            ),
            (
                "tokens: [{user: a, token: hunter2 hunter2 hunter2}]",
                "tokens.yaml:1:27: tokens[0].token: holds a space",
            ),
            (
                "tokens: [{user: '', token: hunter2hunter2hunter2}]",
                "tokens.yaml:1:17: tokens[0].user: is 0 bytes long",
            ),
            (
                "tokens: [{user: a, token: hunter2hunter2hunter2, hunter2: x}]",
                "tokens.yaml:1:50: tokens[0]: unknown field",
            ),
            (
                "tokens:\n- {user: a, token: hunter2hunter2hunter2}\n- {user: b, token: hunter2hunter2hunter2}",
                "tokens.yaml:3:20: tokens[1].token: stands in line 2 too",
            ),
            ("tokens: [{user: a, token: {sha256}00}]", "tokens.yaml:1:"),
        ] {
            let faults = read(text).unwrap_err();
            assert!(faults.starts_with(told), "{text}: {faults}");
            assert!(!faults.contains("hunter2"), "{text} tells a secret: {faults}");
        }
    }
}
