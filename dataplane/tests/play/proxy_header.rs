//! A proxy in front of us tells who the client is.

use super::{Script, in_any_chunking};
use ringway_dataplane::proto::proxy_protocol::{HEADER_BYTES_MAX, Progress, read, write};
use ringway_shared::config::ProxyVersion;

pub fn play_bytes(data: &[u8]) {
    let Some(script) = Script::of(data) else { return };
    let found = in_any_chunking(script.chunks(), |chunks| play(script.input, chunks));
    assert_lawful(script.input, found);
}

/// Shows ever more of `input` to the reader, until it knows.
pub fn play(input: &[u8], chunks: &mut dyn Iterator<Item = usize>) -> Progress {
    let mut shown = 0;
    loop {
        let found = read(&input[..shown]);
        if found != Progress::More || shown == input.len() {
            return found;
        }
        // A chunk of nothing would ask the same once more.
        shown += chunks.next().unwrap_or(usize::MAX).clamp(1, input.len() - shown);
    }
}

/// Asserts what holds of every header, whatever was sent.
pub fn assert_lawful(input: &[u8], found: Progress) {
    match found {
        Progress::More => assert!(input.len() < HEADER_BYTES_MAX, "waits for more than it may hold"),
        Progress::Invalid => {}
        Progress::Header { length, source } => {
            assert!(length <= input.len().min(HEADER_BYTES_MAX));
            let text = input.starts_with(b"PROXY ");
            assert!(if text { input[..length].ends_with(b"\r\n") && length <= 107 } else { length >= 16 });
            let Some(source) = source else { return };
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                for destination in ["192.0.2.1:80", "[2001:db8::1]:443"] {
                    let header = write(version, source, destination.parse().unwrap());
                    let again = Progress::Header { length: header.len(), source: Some(source) };
                    assert_eq!(read(&header), again, "{}", header.escape_ascii());
                }
            }
        }
    }
}
