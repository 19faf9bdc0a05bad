//! A client sends datagrams to its association, fragments among them.

use ringway_dataplane::proto::udp::{Datagram, Fragment, HELD_BYTES_MAX, Header, Reassembly, target};
use ringway_shared::session::Host;
use std::net::SocketAddr;
use std::time::Duration;

const TIMER: Duration = Duration::from_secs(10);
/// What a record's length stands for when it says 255: a payload two of which are more than may be held.
const LONG_BYTES: usize = 40_000;

/// A fragment as it came: its moment, its place, whether it is the last, its address and payload.
type Part = (u64, u8, bool, Vec<u8>, Vec<u8>);

/// Records of: seconds passed, length, datagram.
pub fn play_bytes(data: &[u8]) {
    let mut reassembly = Reassembly::new(TIMER);
    let mut parts: Vec<Part> = Vec::new();
    let (mut now_ns, mut settled) = (0, 0);
    let mut rest = data;
    while let [seconds, length, after @ ..] = rest {
        let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now_ns += u64::from(seconds & 7) * 1_000_000_000;
        let mut bytes = bytes.to_vec();
        if *length == 255 {
            bytes.resize(LONG_BYTES, b'x');
        }
        let Some(datagram) = Datagram::read(&bytes) else { continue };
        assert_lawful(&bytes, &datagram);
        let (place, last) = match datagram.fragment {
            // It stands for itself, and in the history for a fragment that continues nothing.
            Fragment::Whole => (0, false),
            Fragment::Part { place, last } => {
                assert!((1..=127).contains(&place));
                (place, last)
            }
        };
        parts.push((now_ns, place, last, datagram.address.into(), datagram.payload.into()));
        let taken = reassembly.receive(&datagram, now_ns);
        settled += u64::from(datagram.fragment == Fragment::Whole);
        let delivered = taken.whole.as_ref().map(|whole| (whole.address.to_vec(), whole.payload.clone()));
        assert_eq!(delivered, completed(&parts));
        settled += taken.abandoned + if delivered.is_some() { u64::from(place) } else { 0 };
        assert!(settled <= parts.len() as u64, "more given up or delivered than came");
        assert!(parts.len() as u64 - settled <= 127, "more held than a sequence has");
    }
}

fn assert_lawful(bytes: &[u8], datagram: &Datagram) {
    assert_eq!([&bytes[..3], datagram.address, datagram.payload].concat(), bytes);
    let Some(target) = target(datagram.address) else { return };
    assert_ne!(target.port, 0);
    match target.host {
        Host::Name(name) => assert!(!name.is_empty() && !name.contains('\0')),
        Host::Address(ip) => {
            let header = Header::of(SocketAddr::new(ip, target.port));
            let again = Datagram::read(header.bytes()).unwrap();
            let canonical = Host::Address(ip.to_canonical());
            assert_eq!(ringway_dataplane::proto::udp::target(again.address).unwrap().host, canonical);
            assert!(again.payload.is_empty() && again.fragment == Fragment::Whole);
        }
    }
}

/// What the newest fragment completes, found from the whole history.
fn completed(parts: &[Part]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (now_ns, place, true, address, _) = parts.last()? else { return None };
    let sequence = &parts[parts.len().checked_sub(usize::from(*place))?..];
    let in_order = sequence
        .iter()
        .zip(1..)
        .all(|(part, expected)| part.1 == expected && part.2 == (expected == *place) && part.3 == *address);
    let payload: Vec<u8> = sequence.iter().flat_map(|part| part.4.clone()).collect();
    let in_time = Duration::from_nanos(now_ns - sequence[0].0) < TIMER;
    // A single fragment is a datagram that has come whole: nothing of it need be held.
    let fits = payload.len() <= HELD_BYTES_MAX || *place == 1;
    (in_order && in_time && fits).then(|| (address.clone(), payload))
}
