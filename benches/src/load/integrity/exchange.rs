//! One end of a connection: sends its lane and receives the other's, at the same time, and hashes both.

use super::bytes::{CHUNK_MAX, Chunks, Lane};
use crate::failure::Failure;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

const READ_MAX: usize = 128 * 1024;

pub struct End {
    pub outgoing: Lane,
    pub incoming: Lane,
    pub half_close: bool,
}

impl End {
    /// The same connection as the other end sees it.
    #[must_use]
    pub fn mirrored(&self) -> End {
        End { outgoing: self.incoming, incoming: self.outgoing, half_close: self.half_close }
    }
}

/// Hashes of all that went out and all that came in.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub sent: blake3::Hash,
    pub received: blake3::Hash,
}

/// Sends and receives everything. A failure in one direction ends the other.
pub fn run(stream: &TcpStream, end: &End) -> Result<Seen, Failure> {
    let or_cut = |result: Result<blake3::Hash, Failure>| {
        if result.is_err() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        result
    };
    thread::scope(|scope| {
        let sender = thread::Builder::new()
            .stack_size(super::STACK)
            .spawn_scoped(scope, || or_cut(send(stream, &end.outgoing, end.half_close)))
            .map_err(Failure::own("starting a sender"))?;
        let received = or_cut(receive(stream, &end.incoming, end.half_close));
        let sent =
            sender.join().unwrap_or_else(|_| Err(Failure::own("sending")(io::Error::other("a panic"))));
        Ok(Seen { received: received?, sent: sent? })
    })
}

fn send(mut stream: &TcpStream, lane: &Lane, half_close: bool) -> Result<blake3::Hash, Failure> {
    let mut chunks = Chunks::new(lane);
    let mut buffer = vec![0; CHUNK_MAX.min(lane.bytes as usize)];
    let mut hasher = blake3::Hasher::new();
    let mut sent = 0;
    while sent < lane.bytes {
        let chunk = chunks.draw();
        let bytes = chunk.bytes.min((lane.bytes - sent) as usize);
        lane.fill(sent, &mut buffer[..bytes]);
        hasher.update(&buffer[..bytes]);
        stream.write_all(&buffer[..bytes])?;
        sent += bytes as u64;
        if let Some(rest) = chunk.rest {
            thread::sleep(rest);
        }
    }
    if half_close {
        stream.shutdown(Shutdown::Write)?;
    }
    Ok(hasher.finalize())
}

fn receive(mut stream: &TcpStream, lane: &Lane, to_the_end: bool) -> Result<blake3::Hash, Failure> {
    let mut buffer = vec![0; READ_MAX];
    let mut expected = vec![0; READ_MAX];
    let mut hasher = blake3::Hasher::new();
    let mut received = 0;
    while received < lane.bytes {
        let bytes = stream.read(&mut buffer)?;
        if bytes == 0 {
            return Err(Failure::EarlyEof { received, expected: lane.bytes });
        }
        hasher.update(&buffer[..bytes]);
        // The hashes say whether all is well; this says where it first was not.
        lane.fill(received, &mut expected[..bytes]);
        let same = buffer[..bytes].iter().zip(&expected).take_while(|(came, sent)| came == sent).count();
        if same < bytes {
            return Err(Failure::Corrupt { direction: lane.direction, offset: received + same as u64 });
        }
        received += bytes as u64;
    }
    if received > lane.bytes || (to_the_end && stream.read(&mut buffer)? > 0) {
        return Err(Failure::Surplus);
    }
    Ok(hasher.finalize())
}
