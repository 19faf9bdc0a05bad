//! `control.api_keys` and the file of them: who may use the publish API. Nothing in here repeats a key.

use super::ApiKey;
use super::read::{LIST_LEN_MAX, Read, scalar, wrong};
use super::yaml::{Data, Node};

/// Bytes of a file of keys.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// A shorter key could be found by trying.
const KEY_BYTES_MIN: usize = 8;
const KEY_BYTES_MAX: usize = 256;
const SHA256: &str = "{sha256}";
const REMEDY: &str = "make one with `openssl rand -hex 32`";

/// The list in the configuration.
pub fn list(node: &Node) -> Read<Vec<ApiKey>> {
    let Data::List(nodes) = &node.data else {
        return wrong(node.span, "must be a list of keys: write each in quotes, between [ and ]");
    };
    if nodes.len() > LIST_LEN_MAX {
        return wrong(node.span, format!("holds more than {LIST_LEN_MAX} keys: keep fewer"));
    }
    let (mut keys, mut wrongs) = (Vec::new(), Vec::new());
    for (index, node) in nodes.iter().enumerate() {
        let key =
            scalar(node, "a key in quotes").and_then(|text| key(text).or_else(|why| wrong(node.span, why)));
        match key {
            Ok(key) => keys.push(key),
            Err(found) => wrongs.extend(found.into_iter().map(|wrong| wrong.below(&format!("[{index}]")))),
        }
    }
    if wrongs.is_empty() { Ok(keys) } else { Err(wrongs) }
}

/// A file of them: one a line; empty lines and those that begin with `#` are left out. The error is a remedy.
pub fn file(text: &str) -> Result<Vec<ApiKey>, String> {
    if text.len() > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes: this is no file of keys"));
    }
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys: Result<Vec<_>, String> = lines
        .map(|(number, line)| key(line).map_err(|why| format!("line {}: the key {why}", number + 1)))
        .collect();
    match keys? {
        keys if keys.is_empty() => Err(format!("holds no key: write one a line; {REMEDY}")),
        keys if keys.len() > LIST_LEN_MAX => Err(format!("holds more than {LIST_LEN_MAX} keys: keep fewer")),
        keys => Ok(keys),
    }
}

/// One key, or the SHA-256 of one.
fn key(text: &str) -> Result<ApiKey, String> {
    if let Some(digits) = text.strip_prefix(SHA256) {
        let hash = sha256(digits)
            .ok_or("is no {sha256} and 64 hexadecimal digits: `printf %s KEY | sha256sum` prints them")?;
        return Ok(ApiKey::Sha256(hash));
    }
    if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&text.len()) {
        return Err(format!("must have {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes: {REMEDY}"));
    }
    // What a header can carry without doubt (RFC 9110 section 5.5).
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.starts_with('{') {
        return Err(format!(
            "may hold printable ASCII without spaces alone, and not begin with {{: {REMEDY}"
        ));
    }
    Ok(ApiKey::Plain(text.into()))
}

/// Reads 64 hexadecimal digits.
pub fn sha256(digits: &str) -> Option<[u8; 32]> {
    let digits = digits.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn keys_stand_as_they_are_or_as_their_hash() {
        let keys = file(&format!("# of the shop\n\n hunter2hunter2 \r\n{{sha256}}{HASH}\n")).unwrap();
        assert!(matches!(&keys[0], ApiKey::Plain(key) if &**key == "hunter2hunter2"));
        assert!(
            matches!(&keys[1], ApiKey::Sha256(hash) if hash[..3] == [0xba, 0x78, 0x16] && hash[31] == 0xad)
        );
        assert!(!format!("{keys:?}").contains("hunter2"));
    }

    #[test]
    fn faults_never_repeat_a_key() {
        for text in ["hunter2", "hunter2 hunter2", "{plain}hunter2", "{sha256}hunter2", "hunter2-ümlaut", ""]
        {
            let told = file(text).unwrap_err();
            assert!(!told.contains("hunter2") && told.contains('`'), "{told}");
            for list in
                [format!("[{text:?}]"), format!("{text:?}"), format!("{{a: {text:?}}}"), "[[a]]".to_owned()]
            {
                let wrongs = super::list(&yaml::parse(&list).unwrap()).unwrap_err();
                assert!(wrongs.iter().all(|wrong| !wrong.message.contains("hunter2")), "{wrongs:?}");
            }
        }
        assert!(file(&"x".repeat(FILE_BYTES_MAX + 1)).is_err());
    }
}
