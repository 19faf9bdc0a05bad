//! The SOCKS5 handshake against arbitrary clients: lawful output, and the same whatever the chunking.
//!
//! The first byte chooses the owner, the second how many of the bytes behind it are chunk sizes; the rest is sent.

#![no_main]

#[path = "../../tests/play/mod.rs"]
mod play;

use libfuzzer_sys::fuzz_target;
use play::{Owner, assert_lawful, play};
use ringway_dataplane::proto::socks5::{Auth, Reply};

fuzz_target!(|data: &[u8]| {
    let [choice, sizes, rest @ ..] = data else { return };
    let (sizes, input) = rest.split_at(usize::from(*sizes).min(rest.len()));
    let owner = owner(*choice);
    let whole = play(owner, input, []);
    assert_lawful(owner, input, &whole);
    assert_eq!(play(owner, input, sizes.iter().map(|size| usize::from(*size))), whole);
    assert_eq!(play(owner, input, std::iter::repeat(1)), whole);
});

fn owner(choice: u8) -> Owner {
    let bit = |index: u8| choice >> index & 1 == 1;
    Owner {
        auth: if bit(0) { Auth::Password } else { Auth::None },
        accept: !bit(1),
        reply: if bit(2) { Reply::HostUnreachable } else { Reply::Succeeded },
        bound: if bit(3) {
            ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 4660).into()
        } else {
            ([198, 51, 100, 7], 4660).into()
        },
    }
}
