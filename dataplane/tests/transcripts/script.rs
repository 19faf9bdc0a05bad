//! How bytes, reasons and events are written in a transcript.

use ringway_shared::reason::Reason;
use ringway_shared::session::{Host, Target};

/// Bytes as words: `05`, `61*255`, `"text\r\n"`.
pub fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let after = match rest.strip_prefix('"') {
            Some(quote) => {
                let (text, after) = quote.split_once('"').unwrap_or_else(|| panic!("`{rest}` has no end"));
                bytes.extend(text.replace("\\r", "\r").replace("\\n", "\n").into_bytes());
                after
            }
            None => {
                let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
                let (hex, times) = word.split_once('*').unwrap_or((word, "1"));
                let byte = u8::from_str_radix(hex, 16).unwrap_or_else(|_| panic!("`{word}` is no byte"));
                bytes.extend(std::iter::repeat_n(byte, times.parse().unwrap()));
                after
            }
        };
        rest = after.trim_start();
    }
    bytes
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

/// Bytes as an event tells them: text in quotes, long runs by their length.
pub fn quoted(bytes: &[u8]) -> String {
    match bytes {
        [first, rest @ ..] if rest.len() > 50 && rest.iter().all(|b| b == first) => {
            format!("{first:02x}*{}", bytes.len())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// `192.0.2.1:80`, or `name example.org:80`.
pub fn target(target: &Target) -> String {
    let kind = if matches!(target.host, Host::Name(_)) { "name " } else { "" };
    format!("{kind}{target}")
}

pub fn reason_of(label: &str) -> Reason {
    let found = Reason::ALL.iter().find(|reason| reason.label() == label);
    *found.unwrap_or_else(|| panic!("`{label}` is no reason"))
}
