//! Moves bytes between a client and its target until both directions have ended.
//!
//! A direction copies through the core's one scratch buffer; one that fills it several times in a row
//! changes to splice(2) through a pooled pipe, and back when its reads get small. What the other side
//! does not take at once is owned by the direction, which then stops reading: that is the back-pressure.

use crate::core::Core;
use crate::io::pipes::Loan;
use crate::io::sessions::{Phase, Session};
use crate::rt::Ready;
use futures_util::future::join;
use ringway_shared::metrics::Cell;
use ringway_shared::reason::Reason;
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use std::cell::Cell as StdCell;

/// Bytes of the core's scratch buffer: the most a direction holds for a slow receiver.
pub const SCRATCH_BYTES: usize = 64 * 1024;
/// Reads for one wake, so that a fast sender does not starve its neighbours.
const ROUNDS_PER_WAKE: usize = 4;
/// Full reads in a row after which a direction splices.
const FULL_READS_TO_SPLICE: u32 = 8;
/// Short splices in a row after which it copies again, and what is short.
const SHORT_SPLICES_TO_COPY: u32 = 16;
const SHORT_SPLICE_BYTES: usize = 16 * 1024;

/// Relays until both directions have ended, or one broke, or the session was cut. `payload` is what the
/// client sent behind its request.
pub async fn relay(core: &Core, session: &Session, target: &Ready, payload: Vec<u8>) -> Reason {
    core.sessions.enter(session, Phase::Relay);
    let broken = StdCell::new(None);
    let one_ended = StdCell::new(false);
    let user = session.facts.borrow().user.and_then(|index| core.cells.users.get(index));
    let up = Direction {
        from: &session.client,
        to: target,
        from_broke: Reason::ClientReset,
        to_broke: Reason::TargetReset,
        session_bytes: &session.sent_bytes,
        core_bytes: &core.cells.sent_bytes,
        user_bytes: user.map(|user| &user.sent_bytes),
        core,
        session,
        broken: &broken,
        one_ended: &one_ended,
    };
    let down = Direction {
        from: target,
        to: &session.client,
        from_broke: Reason::TargetReset,
        to_broke: Reason::ClientReset,
        session_bytes: &session.received_bytes,
        core_bytes: &core.cells.received_bytes,
        user_bytes: user.map(|user| &user.received_bytes),
        ..up
    };
    join(up.run(payload), down.run(Vec::new())).await;
    session.cut_reason().or(broken.get()).unwrap_or(Reason::Finished)
}

/// Bytes from one socket to the other.
#[derive(Clone, Copy)]
struct Direction<'a> {
    from: &'a Ready,
    to: &'a Ready,
    /// Why the connection ends if this side fails.
    from_broke: Reason,
    to_broke: Reason,
    session_bytes: &'a StdCell<u64>,
    core_bytes: &'a Cell,
    user_bytes: Option<&'a Cell>,
    core: &'a Core,
    session: &'a Session,
    /// Shared by both directions: the first failure.
    broken: &'a StdCell<Option<Reason>>,
    /// Shared by both directions: one of them has reached its end.
    one_ended: &'a StdCell<bool>,
}

/// How one mode of a direction ended.
enum Next {
    EndOfStream,
    Splice,
    Copy,
}

impl Direction<'_> {
    async fn run(self, payload: Vec<u8>) {
        match self.until_the_end(payload).await {
            Ok(()) if self.session.cut_reason().is_some() => {}
            // The second end of two: closing, which follows at once, says it as well.
            Ok(()) if self.one_ended.replace(true) => {}
            Ok(()) => {
                self.to.shutdown_write();
                self.core.sessions.enter(self.session, Phase::HalfClosed);
            }
            Err(reason) => {
                // Pass a failure on as a reset, so that a cut transfer never looks complete; the abort also
                // wakes the other direction.
                if self.broken.get().is_none() {
                    self.broken.set(Some(reason));
                }
                self.from.abort();
                self.to.abort();
            }
        }
    }

    async fn until_the_end(&self, payload: Vec<u8>) -> Result<(), Reason> {
        if !payload.is_empty() {
            self.count(payload.len());
            self.deliver(&payload).await?;
            drop(payload);
        }
        let mut next = self.copy().await?;
        loop {
            next = match next {
                Next::EndOfStream => return Ok(()),
                Next::Copy => self.copy().await?,
                Next::Splice => match self.core.pipes.lend() {
                    Some(loan) => self.splice(loan).await?,
                    None => self.copy().await?,
                },
            }
        }
    }

    async fn copy(&self) -> Result<Next, Reason> {
        let mut full_reads = 0;
        loop {
            self.wait_readable().await?;
            for _ in 0..ROUNDS_PER_WAKE {
                let (count, unsent) = match self.copy_once()? {
                    Copied::Nothing => break,
                    Copied::EndOfStream => return Ok(Next::EndOfStream),
                    Copied::Bytes { count, unsent } => (count, unsent),
                };
                if let Some(unsent) = unsent {
                    self.deliver(&unsent).await?;
                }
                if count < SCRATCH_BYTES {
                    // The socket was emptied: asking again would only say EAGAIN.
                    full_reads = 0;
                    break;
                }
                full_reads += 1;
            }
            if full_reads >= FULL_READS_TO_SPLICE {
                return Ok(Next::Splice);
            }
        }
    }

    /// One read and one write, with no wait between, through the scratch that all connections share.
    fn copy_once(&self) -> Result<Copied, Reason> {
        let mut scratch = self.core.scratch.borrow_mut();
        let count = match self.from.receive(&mut scratch) {
            Ok(0) => return Ok(Copied::EndOfStream),
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Copied::Nothing),
            Err(_) => return Err(self.from_broke),
        };
        self.count(count);
        let sent = self.to.send(&scratch[..count]).map_err(|_| self.to_broke)?;
        let unsent = (sent < count).then(|| scratch[sent..count].to_vec());
        Ok(Copied::Bytes { count, unsent })
    }

    async fn deliver(&self, bytes: &[u8]) -> Result<(), Reason> {
        let mut rest = bytes;
        loop {
            let sent = self.to.send(rest).map_err(|_| self.to_broke)?;
            rest = &rest[sent..];
            if rest.is_empty() {
                return Ok(());
            }
            self.session.touch(self.core.sessions.now_tick());
            self.wait_writable().await?;
        }
    }

    async fn splice(&self, mut loan: Loan) -> Result<Next, Reason> {
        let mut short_splices = 0;
        loop {
            self.wait_readable().await?;
            for _ in 0..ROUNDS_PER_WAKE {
                let Some(count) = self.fill(&mut loan)? else { break };
                if count == 0 {
                    return Ok(Next::EndOfStream);
                }
                self.count(count);
                self.flush(&mut loan).await?;
                if count < SHORT_SPLICE_BYTES {
                    short_splices += 1;
                    break;
                }
                short_splices = 0;
            }
            if short_splices >= SHORT_SPLICES_TO_COPY {
                return Ok(Next::Copy);
            }
        }
    }

    /// Splices from the socket into the empty pipe. `None`: nothing there; `Some(0)`: end of stream.
    fn fill(&self, loan: &mut Loan) -> Result<Option<usize>, Reason> {
        let Some(pipe) = loan.pipe() else { return Ok(None) };
        match splice(self.from, None, &pipe.write_end, None, loan.capacity, FLAGS) {
            Ok(count) => {
                loan.held = count;
                Ok(Some(count))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(_) => Err(self.from_broke),
        }
    }

    /// Empties the pipe into the socket. A pipe with bytes in it waits for the receiver only.
    async fn flush(&self, loan: &mut Loan) -> Result<(), Reason> {
        while loan.held > 0 {
            let Some(pipe) = loan.pipe() else { return Ok(()) };
            match splice(&pipe.read_end, None, self.to, None, loan.held, FLAGS) {
                Ok(count) => loan.held -= count,
                Err(Errno::AGAIN) => self.wait_writable().await?,
                Err(Errno::INTR) => {}
                Err(_) => return Err(self.to_broke),
            }
            self.session.touch(self.core.sessions.now_tick());
        }
        Ok(())
    }

    async fn wait_readable(&self) -> Result<(), Reason> {
        self.from.readable().await.map_err(|_| self.from_broke)
    }

    async fn wait_writable(&self) -> Result<(), Reason> {
        self.to.writable().await.map_err(|_| self.to_broke)
    }

    fn count(&self, bytes: usize) {
        self.session_bytes.set(self.session_bytes.get() + bytes as u64);
        self.core_bytes.add(bytes as u64);
        if let Some(user_bytes) = self.user_bytes {
            user_bytes.add(bytes as u64);
        }
        self.session.touch(self.core.sessions.now_tick());
    }
}

enum Copied {
    Nothing,
    EndOfStream,
    Bytes { count: usize, unsent: Option<Vec<u8>> },
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
