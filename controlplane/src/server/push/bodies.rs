//! Requests' bodies, read so that those of one client leave room for everybody else's.
//!
//! Room is taken as bytes arrive, never for a length that was only declared, and the first bytes of each body need none:
//! ordinary publications wait for nobody.

use super::BODY_BYTES_MAX;
use crate::server::answer::Answer;
use crate::server::{route, routes};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};

/// Bytes of all bodies being read or worked on, the first [`FREE`] of each left out.
const ROOM: usize = 64 << 20;
/// What every connection may hold, as with all other routes; `control.connections_max` bounds their sum.
const FREE: usize = route::BODY_BYTES_MAX;
/// Room is taken in pieces of this.
const PIECE: usize = 256 << 10;
/// How long one body waits for a piece. Bodies that have some and want more would else wait for each other.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

const _: () = assert!(FREE < BODY_BYTES_MAX && BODY_BYTES_MAX + PIECE <= ROOM);

/// The room that there is.
pub struct Bodies {
    pieces: Semaphore,
}

/// A body, and the room it takes until it is dropped.
pub struct Whole<'a> {
    pub bytes: Vec<u8>,
    room: Option<SemaphorePermit<'a>>,
}

impl Bodies {
    pub fn new() -> Bodies {
        Bodies { pieces: Semaphore::new(ROOM / PIECE) }
    }

    /// Reads a body to its end.
    pub async fn read(&self, mut body: Incoming, deadline: Instant) -> Result<Whole<'_>, Answer> {
        // A length that was declared is judged before a byte of it is read.
        if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(routes::too_long(BODY_BYTES_MAX));
        }
        let mut whole = Whole { bytes: Vec::new(), room: None };
        loop {
            let Ok(frame) = timeout_at(deadline, body.frame()).await else { return Err(too_slow()) };
            match frame {
                None => return Ok(whole),
                Some(Err(error)) => return Err(routes::unreadable(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.make_room(&mut whole, data.len()).await?;
                        whole.bytes.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// For this many bytes more.
    async fn make_room<'a>(&'a self, whole: &mut Whole<'a>, more: usize) -> Result<(), Answer> {
        let wanted = whole.bytes.len() + more;
        if wanted > BODY_BYTES_MAX {
            return Err(routes::too_long(BODY_BYTES_MAX));
        }
        let taken = whole.room.as_ref().map_or(0, SemaphorePermit::num_permits);
        let missing = wanted.saturating_sub(FREE).div_ceil(PIECE).saturating_sub(taken);
        if missing == 0 {
            return Ok(());
        }
        // The semaphore is never closed.
        let Ok(Ok(room)) = timeout(ROOM_WITHIN, self.pieces.acquire_many(missing as u32)).await else {
            return Err(no_room());
        };
        match &mut whole.room {
            Some(taken) => taken.merge(room),
            none => *none = Some(room),
        }
        // Not twice as much as there is, as a vector would by itself.
        whole.bytes.reserve_exact(FREE + (taken + missing) * PIECE - whole.bytes.len());
        Ok(())
    }
}

fn too_slow() -> Answer {
    let hint = "send it within 7 s of the header, or try again";
    Answer::error(408, "the body took too long", hint).with("connection", "close")
}

fn no_room() -> Answer {
    let message = format!("the bodies of other requests fill the {} MiB that there are for them", ROOM >> 20);
    Answer::error(503, &message, "nothing was done: send it again in a second, or in smaller requests")
        .with("retry-after", "1")
        .with("connection", "close")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_fill_the_room_leave_small_ones_theirs() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let bodies = Bodies::new();
            let with = async |bytes| {
                let mut whole = Whole { bytes: Vec::new(), room: None };
                bodies.make_room(&mut whole, bytes).await.map(|()| whole)
            };
            let mut large = Vec::new();
            let refusal = loop {
                match with(BODY_BYTES_MAX).await {
                    Ok(whole) => large.push(whole),
                    Err(refusal) => break refusal,
                }
            };
            assert_eq!((refusal.status, large.len()), (503, ROOM / BODY_BYTES_MAX));
            assert!(with(FREE).await.is_ok() && with(FREE + 1).await.is_err());
            drop(large.pop());
            assert!(with(FREE + 1).await.is_ok());
            assert_eq!(with(BODY_BYTES_MAX + 1).await.err().map(|refusal| refusal.status), Some(413));
        });
    }
}
