//! `control.tokens` and the file of them: who may do what on the control port. Nothing in here repeats a token.

use super::{ControlToken, Scope};
use crate::config::api_keys::sha256;
use crate::config::fault::{FAULTS_MAX, Faults};
use crate::config::fields::{Field, Fields, Shape};
use crate::config::place::{Source, Span};
use crate::config::read::{self, LIST_LEN_MAX, Read, wrong};
use crate::config::value::Value;
use crate::config::yaml::{self, Data, Node, Wrong};
use std::ops::RangeInclusive;

/// Bytes of the file.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a name: it stands in the audit log.
const NAME_BYTES: RangeInclusive<usize> = 1..=64;
const SHA256: &str = "{sha256}";
/// What the audit log calls those who have no token.
pub const NAMES_TAKEN: [&str; 2] = ["anybody", "api-key"];
/// The words for what a token may allow.
pub const SCOPES: [(&str, Scope); 3] =
    [("read", Scope::Read), ("operate", Scope::Operate), ("admin", Scope::Admin)];
const SCOPE_WORDS: [&str; 3] = crate::config::fields::words(&SCOPES);
/// A remedy.
const MAKE_ONE: &str = "`ringway token NAME SCOPE` makes one and prints the line to write here";

/// An example of the file's content, as a piece of a sentence.
pub const EXAMPLE: &str = r#"for example: tokens: [{name: grafana, scope: read, token: "{sha256}…"}]"#;

/// The fields of a token.
pub static FIELDS: [Field; 3] = [
    field(
        "name",
        Shape::Text("grafana"),
        "What the audit log calls its holder: 1 to 64 letters, digits and `-_.@`, each name once.",
    ),
    field(
        "scope",
        Shape::Word(&SCOPE_WORDS),
        "What it allows: looking; acting upon connections and traffic as well; everything.",
    ),
    field(
        "token",
        Shape::Text("{sha256}9f86d0…"),
        "`{sha256}` and the token's SHA-256 in 64 hexadecimal digits. `ringway token` makes a token and prints this line.",
    ),
];

/// The file's own one field.
static FILE_FIELDS: [Field; 1] =
    [field("tokens", Shape::Texts("{name: grafana, scope: read, token: …}"), "All tokens.")];

const fn field(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required: true, doc }
}

/// The list in the configuration.
pub fn list(node: &Node) -> Read<Vec<ControlToken>> {
    let nodes = items(node)?;
    let (mut tokens, mut wrongs) = (Vec::new(), Vec::new());
    for (index, node) in nodes.iter().enumerate() {
        if wrongs.len() >= FAULTS_MAX {
            break;
        }
        match token(node, &tokens) {
            Ok(token) => tokens.push(token),
            Err(found) => {
                wrongs.extend(found.into_iter().map(|wrong: Wrong| wrong.below(&format!("[{index}]"))));
            }
        }
    }
    if wrongs.is_empty() { Ok(tokens) } else { Err(wrongs) }
}

/// A file of them; `None` if anything is wrong with it. `others` stand in the configuration already.
pub fn file(
    text: &str,
    source: &Source,
    others: &[ControlToken],
    faults: &mut Faults,
) -> Option<Vec<ControlToken>> {
    let mut fault = |path: &str, wrong: Wrong| {
        faults.push(source.at(wrong.span), format!("{path}{}", wrong.path), wrong.message)
    };
    if text.len() > FILE_BYTES_MAX {
        let message = format!("is larger than {FILE_BYTES_MAX} bytes: this is no file of tokens");
        fault("", Wrong::at(Span::default(), message));
        return None;
    }
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err(wrong) => {
            let message = format!("{} (what begins with {SHA256} needs quotes)", wrong.message);
            fault("", Wrong { message, ..wrong });
            return None;
        }
    };
    let Ok(mut fields) = Fields::of(&root, &FILE_FIELDS) else {
        fault("", Wrong::at(root.span, format!("must be a mapping with the key tokens, {EXAMPLE}")));
        return None;
    };
    let tokens = fields.required("tokens", list);
    if tokens.as_ref().is_some_and(Vec::is_empty) {
        fields
            .fault("tokens", format!("holds no token: {MAKE_ONE}; without control.tokens_file none is read"));
    }
    for token in tokens.iter().flatten() {
        if let Some(what) = taken(token, others) {
            fields.fault("tokens", format!("{:?}: {what} in control.tokens too", token.name));
        }
    }
    match fields.end(tokens) {
        Ok(tokens) => Some(tokens),
        Err(wrongs) => {
            for wrong in wrongs {
                let path = wrong.path.trim_start_matches('.').to_owned();
                fault("", Wrong { path, ..wrong });
            }
            None
        }
    }
}

/// As it would be written, but for what it is made of.
pub fn show(token: &ControlToken) -> Value {
    Value::Map(vec![
        ("name", Value::Text(token.name.to_string())),
        ("scope", Value::Text(token.scope.label().to_owned())),
        ("token", Value::Text(format!("{SHA256}<redacted>"))),
    ])
}

/// The line that `ringway token` prints for the file.
#[must_use]
pub fn line(name: &str, scope: Scope, digest: &[u8; 32]) -> String {
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(r#"- {{name: {name}, scope: {}, token: "{SHA256}{digits}"}}"#, scope.label())
}

/// Whether a token may be called so, or why not.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
    if NAMES_TAKEN.contains(&name) {
        return Err("is what the audit log calls those without a token: choose another".to_owned());
    }
    if NAME_BYTES.contains(&name.len()) && name.bytes().all(fits) && name != "-" {
        return Ok(());
    }
    Err(format!(
        "must have {} to {} letters, digits and -_.@: choose another",
        NAME_BYTES.start(),
        NAME_BYTES.end()
    ))
}

fn items(node: &Node) -> Read<&[Node]> {
    match &node.data {
        Data::List(nodes) if nodes.len() <= LIST_LEN_MAX => Ok(nodes),
        Data::List(_) => wrong(node.span, format!("holds more than {LIST_LEN_MAX} tokens: keep fewer")),
        _ => wrong(node.span, format!("must be a list of mappings with name, scope and token; {MAKE_ONE}")),
    }
}

fn token(node: &Node, others: &[ControlToken]) -> Read<ControlToken> {
    if matches!(node.data, Data::Scalar { .. }) {
        // Not repeated: it may be the token.
        return wrong(node.span, format!("must be a mapping with name, scope and token; {MAKE_ONE}"));
    }
    let mut fields = Fields::of(node, &FIELDS)?;
    let name = fields.required("name", |node| {
        let name = read::text(node)?;
        check_name(name).or_else(|why| wrong(node.span, why))?;
        Ok(name)
    });
    let scope = fields.required("scope", |node| read::word(node, &SCOPES).map(|(_, scope)| *scope));
    let digest = fields.required("token", digest);
    let whole = name.zip(scope).zip(digest);
    let token = whole.map(|((name, scope), digest)| ControlToken { name: name.into(), scope, digest });
    if let Some(what) = token.as_ref().and_then(|token| taken(token, others)) {
        fields.fault(what.field(), format!("{what} above too: {}", what.remedy()));
    }
    fields.end(token)
}

/// What two tokens may not share.
#[derive(Clone, Copy)]
enum Shared {
    Name,
    Digest,
}

impl Shared {
    fn field(self) -> &'static str {
        match self {
            Shared::Name => "name",
            Shared::Digest => "token",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Shared::Name => "the audit log tells holders apart by it, choose another",
            Shared::Digest => "it would be two people's, make another",
        }
    }
}

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Shared::Name => "this name stands",
            Shared::Digest => "this token stands",
        })
    }
}

fn taken(token: &ControlToken, others: &[ControlToken]) -> Option<Shared> {
    let any = |same: &dyn Fn(&ControlToken) -> bool| others.iter().any(same);
    if any(&|other| other.name == token.name) {
        return Some(Shared::Name);
    }
    any(&|other| other.digest == token.digest).then_some(Shared::Digest)
}

/// Stored hashed: the file that holds it opens nothing.
fn digest(node: &Node) -> Read<[u8; 32]> {
    let Data::Scalar { text, .. } = &node.data else {
        return wrong(node.span, format!("must be a text in quotes: {MAKE_ONE}"));
    };
    let Some(digits) = text.strip_prefix(SHA256) else {
        let message = format!(
            "stands here in plain, and must stand as its hash: {MAKE_ONE}; `printf %s TOKEN | sha256sum` hashes one there is, to be written behind {SHA256}"
        );
        return wrong(node.span, message);
    };
    match sha256(digits) {
        Some(digest) => Ok(digest),
        None => wrong(node.span, format!("is not {SHA256} and 64 hexadecimal digits: {MAKE_ONE}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn read(text: &str) -> Result<Vec<ControlToken>, String> {
        let mut faults = Faults::default();
        let source = Source::UsersFile("tokens.yaml".into());
        let others = [ControlToken { name: "taken".into(), scope: Scope::Read, digest: [7; 32] }];
        file(text, &source, &others, &mut faults).ok_or_else(|| faults.to_string())
    }

    #[test]
    fn the_line_that_is_printed_reads_back() {
        let digest = sha256(HASH).unwrap();
        let text = format!("tokens:\n{}\n", line("ops@example.org", Scope::Admin, &digest));
        let tokens = read(&text).unwrap();
        assert_eq!(tokens, [ControlToken { name: "ops@example.org".into(), scope: Scope::Admin, digest }]);
        assert_eq!(format!("{tokens:?}"), r#"[admin of "ops@example.org"]"#);
        assert!(!show(&tokens[0]).to_string().contains("ba78"));
    }

    #[test]
    fn faults_name_their_place_and_no_token() {
        let hashed = format!("\"{{sha256}}{HASH}\"");
        let sevens = format!("\"{{sha256}}{}\"", "07".repeat(32));
        for (text, told) in [
            ("".to_owned(), "tokens.yaml:1:1: tokens: is missing"),
            ("[]".to_owned(), "tokens.yaml:1:1: must be a mapping with the key tokens"),
            ("tokens: []".to_owned(), "tokens.yaml:1:9: tokens: holds no token"),
            ("tokens: [hunter2]".to_owned(), "tokens.yaml:1:10: tokens[0]: must be a mapping"),
            ("tokens: hunter2".to_owned(), "tokens.yaml:1:9: tokens: must be a list"),
            (
                format!("tokens: [{{name: a, token: {hashed}}}]"),
                "tokens.yaml:1:10: tokens[0].scope: is missing",
            ),
            (
                format!("tokens: [{{name: a, scope: root, token: {hashed}}}]"),
                "tokens.yaml:1:27: tokens[0].scope: \"root\" is not one of read, operate, admin",
            ),
            (
                "tokens: [{name: a, scope: read, token: hunter2hunter2hunter2}]".to_owned(),
                "tokens.yaml:1:40: tokens[0].token: stands here in plain",
            ),
            (
                "tokens: [{name: a, scope: read, token: '{sha256}hunter2'}]".to_owned(),
                "tokens.yaml:1:40: tokens[0].token: is not {sha256} and 64",
            ),
            (
                format!("tokens: [{{name: a b, scope: read, token: {hashed}}}]"),
                "tokens.yaml:1:17: tokens[0].name: must have 1 to 64",
            ),
            (
                format!(
                    "tokens:\n- {{name: a, scope: read, token: {hashed}}}\n- {{name: a, scope: read, token: {sevens}}}"
                ),
                "tokens.yaml:3:10: tokens[1].name: this name stands above too",
            ),
            (
                format!(
                    "tokens:\n- {{name: a, scope: read, token: {hashed}}}\n- {{name: b, scope: read, token: {hashed}}}"
                ),
                "tokens.yaml:3:33: tokens[1].token: this token stands above too",
            ),
            (
                format!("tokens: [{{name: taken, scope: read, token: {hashed}}}]"),
                "tokens.yaml:1:9: tokens: \"taken\": this name stands in control.tokens too",
            ),
            (
                format!("tokens: [{{name: a, scope: read, token: {sevens}}}]"),
                "tokens.yaml:1:9: tokens: \"a\": this token stands in control.tokens too",
            ),
            ("tokens: [{name: a, scope: read, token: {sha256}00}]".to_owned(), "tokens.yaml:1:"),
        ] {
            let faults = read(&text).unwrap_err();
            assert!(faults.starts_with(told), "{text}: {faults}");
            assert!(!faults.contains("hunter2") && !faults.contains(HASH), "{text} tells a secret: {faults}");
        }
    }
}
