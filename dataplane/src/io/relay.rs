//! Moves bytes between a client and its target until both directions have ended.
//!
//! A direction copies through the core's one scratch buffer; one that fills it several times in a row
//! changes to splice(2) through a pooled pipe, and back when its reads get small. What the receiver does
//! not take at once is held by the direction, which then stops reading: that is the back-pressure. While it
//! waits for its sender a direction holds nothing, neither buffer nor pipe.

use crate::core::{Core, SCRATCH_BYTES};
use crate::io::pipes::Loan;
use crate::io::sessions::{Phase, Session};
use crate::rt::Ready;
use futures_util::future::join;
use ringway_shared::metrics::UserCells;
use ringway_shared::reason::Reason;
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use std::cell::Cell;

/// Reads for one wake, so that a fast sender does not starve its neighbours.
const ROUNDS_PER_WAKE: usize = 4;
/// Full reads in a row after which a direction splices.
const FULL_READS_TO_SPLICE: u8 = 8;
/// Short splices in a row after which it copies again, and what is short.
const SHORT_SPLICES_TO_COPY: u8 = 16;
const SHORT_SPLICE_BYTES: usize = 16 * 1024;

/// Relays until both directions have ended, or one broke, or the session was cut. `payload` is what the
/// client sent behind its request.
pub async fn relay(core: &Core, session: &Session, target: &Ready, payload: Vec<u8>) -> Reason {
    core.sessions.enter(session, Phase::Relay);
    let account = session.account();
    let relay = Relay {
        core,
        session,
        target,
        user: account.as_ref().map(|account| &account.usage.cells[core.wiring.index]),
        payload: Cell::new(payload),
        broken: Cell::new(None),
        one_ended: Cell::new(false),
    };
    let up = Direction { relay: &relay, upward: true };
    let down = Direction { relay: &relay, upward: false };
    join(up.run(), down.run()).await;
    session.cut_reason().or(relay.broken.get()).unwrap_or(Reason::Finished)
}

/// What both directions share.
struct Relay<'a> {
    core: &'a Core,
    session: &'a Session,
    target: &'a Ready,
    user: Option<&'a UserCells>,
    /// What the client sent behind its request, until the upward direction takes it.
    payload: Cell<Vec<u8>>,
    /// The first failure.
    broken: Cell<Option<Reason>>,
    /// One direction has reached its end.
    one_ended: Cell<bool>,
}

/// Bytes from one socket to the other: upward from the client to the target.
#[derive(Clone, Copy)]
struct Direction<'a> {
    relay: &'a Relay<'a>,
    upward: bool,
}

/// What a direction has read and its receiver has not taken.
enum Held {
    Nothing,
    Bytes { bytes: Vec<u8>, sent: usize },
    Pipe(Loan),
}

/// What a direction needs next.
enum Step {
    AwaitSender,
    AwaitReceiver,
    EndOfStream,
}

/// What one read brought.
enum Filled {
    Nothing,
    EndOfStream,
    /// There may be more.
    Full,
    /// The sender's socket was emptied: asking again would only say EAGAIN.
    Emptied,
}

impl<'a> Direction<'a> {
    async fn run(self) {
        let Relay { core, session, .. } = self.relay;
        match self.until_the_end().await {
            Ok(()) if session.cut_reason().is_some() => {}
            // The second end of two: closing, which follows at once, says it as well.
            Ok(()) if self.relay.one_ended.replace(true) => {}
            Ok(()) => {
                session.set_reading(false);
                self.receiver().shutdown_write();
                core.sessions.enter(session, Phase::HalfClosed);
            }
            Err(reason) => {
                // Pass a failure on as a reset, so that a cut transfer never looks complete; the abort also
                // wakes the other direction.
                self.relay.broken.set(self.relay.broken.get().or(Some(reason)));
                self.sender().abort();
                self.receiver().abort();
            }
        }
    }

    /// Waits by the ring between steps, which gives the neighbours their turn.
    async fn until_the_end(self) -> Result<(), Reason> {
        let mut pace = Pace::default();
        let mut held = Held::Nothing;
        let mut step = self.begin(&mut held);
        loop {
            match step {
                Step::AwaitSender => self.sender().readable().await.map_err(|_| self.sender_broke())?,
                Step::AwaitReceiver => {
                    self.relay.session.set_reading(false);
                    let writable = self.receiver().writable().await;
                    self.relay.session.set_reading(true);
                    writable.map_err(|_| self.receiver_broke())?;
                }
                Step::EndOfStream => return Ok(()),
            }
            step = self.advance(&mut held, &mut pace)?;
        }
    }

    /// The client's first bytes may have come with its request: upward they go before all others.
    fn begin(self, held: &mut Held) -> Step {
        let payload = if self.upward { self.relay.payload.take() } else { Vec::new() };
        if payload.is_empty() {
            return Step::AwaitSender;
        }
        self.count(payload.len());
        *held = Held::Bytes { bytes: payload, sent: 0 };
        Step::AwaitReceiver
    }

    /// Moves bytes until something must be waited for. With bytes in hand that is the receiver, never the
    /// sender: a full pipe and an empty socket both say EAGAIN, and waiting for the wrong one is for ever.
    fn advance(self, held: &mut Held, pace: &mut Pace) -> Result<Step, Reason> {
        if !self.flush(held)? {
            return Ok(Step::AwaitReceiver);
        }
        for _ in 0..ROUNDS_PER_WAKE {
            let filled = self.fill(held, pace)?;
            if !self.flush(held)? {
                return Ok(Step::AwaitReceiver);
            }
            match filled {
                Filled::Full => {}
                Filled::Nothing | Filled::Emptied => break,
                Filled::EndOfStream => return Ok(Step::EndOfStream),
            }
        }
        *held = Held::Nothing;
        Ok(Step::AwaitSender)
    }

    /// One read: into a pipe if this direction moves bulk and a pipe is to be had, else through the scratch.
    fn fill(self, held: &mut Held, pace: &mut Pace) -> Result<Filled, Reason> {
        if pace.bulk && !matches!(held, Held::Pipe(_)) {
            *held = self.relay.core.pipes.lend().map_or(Held::Nothing, Held::Pipe);
        }
        match held {
            Held::Pipe(loan) if pace.bulk => self.splice_in(loan, pace),
            _ => self.copy(held, pace),
        }
    }

    fn copy(self, held: &mut Held, pace: &mut Pace) -> Result<Filled, Reason> {
        let mut scratch = self.relay.core.scratch.borrow_mut();
        let count = match self.sender().receive(&mut scratch) {
            Ok(0) => return Ok(Filled::EndOfStream),
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Filled::Nothing),
            Err(_) => return Err(self.sender_broke()),
        };
        self.count(count);
        let sent = self.receiver().send(&scratch[..count]).map_err(|_| self.receiver_broke())?;
        *held = Held::Nothing;
        if sent < count {
            *held = Held::Bytes { bytes: scratch[sent..count].to_vec(), sent: 0 };
        }
        if pace.copied(count) {
            self.relay.core.cells.splice_starts.add(1);
        }
        Ok(if count < SCRATCH_BYTES { Filled::Emptied } else { Filled::Full })
    }

    fn splice_in(self, loan: &mut Loan, pace: &mut Pace) -> Result<Filled, Reason> {
        let Some(pipe) = loan.pipe() else { return Ok(Filled::Nothing) };
        match splice(self.sender(), None, &pipe.write_end, None, loan.capacity, SPLICE) {
            Ok(0) => Ok(Filled::EndOfStream),
            Ok(count) => {
                loan.held = count;
                self.count(count);
                pace.spliced(count);
                Ok(if count < SHORT_SPLICE_BYTES { Filled::Emptied } else { Filled::Full })
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Filled::Nothing),
            Err(_) => Err(self.sender_broke()),
        }
    }

    /// Gives the receiver what is held. False: it does not take all of it now.
    fn flush(self, held: &mut Held) -> Result<bool, Reason> {
        match held {
            Held::Nothing => Ok(true),
            Held::Bytes { bytes, sent } => {
                *sent += self.receiver().send(&bytes[*sent..]).map_err(|_| self.receiver_broke())?;
                self.touch();
                let all = *sent == bytes.len();
                if all {
                    *held = Held::Nothing;
                }
                Ok(all)
            }
            Held::Pipe(loan) => self.splice_out(loan),
        }
    }

    fn splice_out(self, loan: &mut Loan) -> Result<bool, Reason> {
        while loan.held > 0 {
            let Some(pipe) = loan.pipe() else { return Ok(true) };
            match splice(&pipe.read_end, None, self.receiver(), None, loan.held, SPLICE) {
                Ok(count) => loan.held -= count,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(_) => return Err(self.receiver_broke()),
            }
            self.touch();
        }
        Ok(true)
    }

    fn sender(self) -> &'a Ready {
        if self.upward { &self.relay.session.client } else { self.relay.target }
    }

    fn receiver(self) -> &'a Ready {
        if self.upward { self.relay.target } else { &self.relay.session.client }
    }

    /// Why the connection ends if the sender fails.
    fn sender_broke(self) -> Reason {
        if self.upward { Reason::ClientReset } else { Reason::TargetReset }
    }

    fn receiver_broke(self) -> Reason {
        if self.upward { Reason::TargetReset } else { Reason::ClientReset }
    }

    fn count(self, bytes: usize) {
        let Relay { core, session, user, .. } = self.relay;
        let (total, cell, of_user) = if self.upward {
            (&session.sent_bytes, &core.cells.sent_bytes, user.map(|user| &user.sent_bytes))
        } else {
            (&session.received_bytes, &core.cells.received_bytes, user.map(|user| &user.received_bytes))
        };
        total.set(total.get() + bytes as u64);
        cell.add(bytes as u64);
        if let Some(of_user) = of_user {
            of_user.add(bytes as u64);
        }
        self.touch();
    }

    fn touch(self) {
        self.relay.session.touch(self.relay.core.sessions.now_tick());
    }
}

const SPLICE: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// Whether a direction moves bulk, judged by its latest reads.
#[derive(Default)]
struct Pace {
    bulk: bool,
    /// Reads in a row that speak for a change.
    run: u8,
}

impl Pace {
    /// Notes a copying read. True: from now on the direction splices.
    fn copied(&mut self, count: usize) -> bool {
        if self.bulk {
            // No pipe was to be had; it stays bulk and asks again.
            return false;
        }
        self.run = if count == SCRATCH_BYTES { self.run + 1 } else { 0 };
        self.change(FULL_READS_TO_SPLICE)
    }

    /// Notes a splicing read. True: from now on the direction copies.
    fn spliced(&mut self, count: usize) -> bool {
        self.run = if count < SHORT_SPLICE_BYTES { self.run + 1 } else { 0 };
        self.change(SHORT_SPLICES_TO_COPY)
    }

    fn change(&mut self, after: u8) -> bool {
        let change = self.run >= after;
        if change {
            *self = Pace { bulk: !self.bulk, run: 0 };
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_reads_in_a_row_make_a_direction_bulk_and_short_splices_end_it() {
        let mut pace = Pace::default();
        for _ in 1..FULL_READS_TO_SPLICE {
            assert!(!pace.copied(SCRATCH_BYTES));
        }
        assert!(pace.copied(SCRATCH_BYTES) && pace.bulk);
        for _ in 1..SHORT_SPLICES_TO_COPY {
            assert!(!pace.spliced(100));
        }
        assert!(pace.spliced(100) && !pace.bulk);
    }

    #[test]
    fn one_read_of_the_other_kind_begins_the_count_anew() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            for _ in 1..FULL_READS_TO_SPLICE {
                pace.copied(SCRATCH_BYTES);
            }
            pace.copied(SCRATCH_BYTES - 1);
        }
        assert!(!pace.bulk);
    }
}
