//! Moves bytes between a client and its target until both directions have ended.
//!
//! A direction copies through the core's one scratch buffer; one that fills it several times in a row
//! changes to splice(2) through a pooled pipe, and back when its reads get small. What the receiver does
//! not take at once is held by the direction, which then stops reading: that is the back-pressure. While it
//! waits for its sender a direction holds nothing, neither buffer nor pipe.
//!
//! A user with limits reads in slices and pauses between them, by what `policy/allowance.rs` says.

mod ends;
mod limited;
mod opening;
mod pace;

pub use opening::Opening;

use crate::core::{Core, SCRATCH_BYTES};
use crate::io::pipes::Loan;
use crate::io::sessions::{Phase, Session};
use crate::policy::allowance::{Allowance, Way};
use crate::rt::Ready;
use futures_util::FutureExt;
use futures_util::future::join;
use limited::Pause;
use pace::{Pace, SHORT_SPLICE_BYTES};
use ringway_shared::account::Account;
use ringway_shared::reason::Reason;
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use std::cell::Cell;

/// Reads for one wake, so that a fast sender does not starve its neighbours.
const ROUNDS_PER_WAKE: usize = 4;

/// Relays until both directions have ended, or one broke, or the session was cut.
pub async fn relay(core: &Core, session: &Session, target: &Ready, opening: Option<Box<Opening>>) -> Reason {
    core.sessions.enter(session, Phase::Relay);
    let account = session.account();
    let allowance = account.as_ref().and_then(Allowance::of).map(Box::new);
    let relay = Relay {
        core,
        session,
        target,
        account,
        allowance,
        opening: Cell::new(opening),
        broken: Cell::new(None),
        one_ended: Cell::new(false),
    };
    let up = Direction { relay: &relay, way: Way::Up };
    let down = Direction { relay: &relay, way: Way::Down };
    join(up.until_the_end().map(|ended| up.end(ended)), down.until_the_end().map(|ended| down.end(ended)))
        .await;
    session.cut_reason().or(relay.broken.get()).unwrap_or(Reason::Finished)
}

/// What both directions share.
struct Relay<'a> {
    core: &'a Core,
    session: &'a Session,
    target: &'a Ready,
    account: Option<Account>,
    /// `None`: nothing limits this user.
    allowance: Option<Box<Allowance>>,
    /// Until the directions take it.
    opening: Cell<Option<Box<Opening>>>,
    /// The first failure.
    broken: Cell<Option<Reason>>,
    /// One direction has reached its end.
    one_ended: Cell<bool>,
}

/// Bytes from one socket to the other.
#[derive(Clone, Copy)]
struct Direction<'a> {
    relay: &'a Relay<'a>,
    way: Way,
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
    /// The user's rate wants it to.
    Pause,
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
    /// What follows from this direction's end for the other one and for the sockets.
    ///
    /// Not a part of `until_the_end`'s future, nor one around it: an idle connection would pay for its room.
    fn end(self, ended: Result<(), Reason>) {
        let Relay { core, session, .. } = self.relay;
        match ended {
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
    async fn until_the_end(&self) -> Result<(), Reason> {
        let mut pace = Pace::default();
        let mut held = Held::Nothing;
        let mut step = self.begin(&mut held)?;
        loop {
            match step {
                Step::AwaitSender if self.sender_has_news() => {}
                Step::AwaitSender => self.sender().readable().await.map_err(|_| self.sender_broke())?,
                Step::AwaitReceiver => {
                    self.relay.session.set_reading(false);
                    let writable = self.receiver().writable().await;
                    self.relay.session.set_reading(true);
                    writable.map_err(|_| self.receiver_broke())?;
                }
                // Boxed: a timer is large, and few connections ever pause.
                Step::Pause => {
                    if Box::pin(self.pause()).await? == Pause::SenderEnded {
                        return Ok(());
                    }
                }
                // Boxed: few clients are spoken to in TLS.
                Step::EndOfStream if self.receiver_is_secured() => return Box::pin(self.say_the_end()).await,
                Step::EndOfStream => return Ok(()),
            }
            step = self.advance(&mut held, &mut pace)?;
        }
    }

    /// A sender's first bytes may be in hand already: they go before all others.
    fn begin(self, held: &mut Held) -> Result<Step, Reason> {
        let Some(mut opening) = self.relay.opening.take() else { return Ok(Step::AwaitSender) };
        let (bytes, sent) = match self.way {
            Way::Up => (std::mem::take(&mut opening.payload), opening.sent),
            Way::Down => (std::mem::take(&mut opening.early), 0),
        };
        self.relay.opening.set(opening.if_left());
        if bytes.is_empty() {
            return Ok(Step::AwaitSender);
        }
        if let Some(allowance) = &self.relay.allowance
            && !allowance.charge(self.way, bytes.len(), self.relay.core.now_ns())
        {
            return Err(Reason::QuotaExhausted);
        }
        self.count(bytes.len());
        *held = Held::Bytes { bytes, sent };
        Ok(Step::AwaitReceiver)
    }

    /// Moves bytes until something must be waited for. With bytes in hand that is the receiver, never the
    /// sender: a full pipe and an empty socket both say EAGAIN, and waiting for the wrong one is for ever.
    fn advance(self, held: &mut Held, pace: &mut Pace) -> Result<Step, Reason> {
        if !self.flush(held)? {
            return Ok(Step::AwaitReceiver);
        }
        for _ in 0..ROUNDS_PER_WAKE {
            if self.pause_ns() > 0 {
                *held = Held::Nothing;
                return Ok(Step::Pause);
            }
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

    /// One read, within what the user may still move.
    fn fill(self, held: &mut Held, pace: &mut Pace) -> Result<Filled, Reason> {
        match &self.relay.allowance {
            None => self.read(held, pace, usize::MAX),
            Some(allowance) => self.read_allowed(allowance, held, pace),
        }
    }

    /// One read of at most `most` bytes: into a pipe if this direction moves bulk and a pipe is to be had, else
    /// through the scratch.
    fn read(self, held: &mut Held, pace: &mut Pace, most: usize) -> Result<Filled, Reason> {
        if pace.bulk && !matches!(held, Held::Pipe(_)) {
            *held = self.relay.core.pipes.lend().map_or(Held::Nothing, Held::Pipe);
        }
        match held {
            Held::Pipe(loan) if pace.bulk => self.splice_in(loan, pace, most),
            _ => self.copy(held, pace, most),
        }
    }

    fn copy(self, held: &mut Held, pace: &mut Pace, most: usize) -> Result<Filled, Reason> {
        let mut scratch = self.relay.core.scratch.borrow_mut();
        let most = most.min(SCRATCH_BYTES);
        let count = match self.receive(&mut scratch[..most]) {
            Ok(0) => return Ok(Filled::EndOfStream),
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Filled::Nothing),
            Err(_) => return Err(self.sender_broke()),
        };
        self.count(count);
        let sent = self.send(&scratch[..count])?;
        *held = Held::Nothing;
        if sent < count {
            *held = Held::Bytes { bytes: scratch[sent..count].to_vec(), sent: 0 };
        }
        // What is encrypted goes through our hands: it cannot be spliced.
        if !self.relay.session.client.is_secured() && pace.copied(count) {
            self.relay.core.cells.splice_starts.add(1);
        }
        Ok(if count < most { Filled::Emptied } else { Filled::Full })
    }

    fn splice_in(self, loan: &mut Loan, pace: &mut Pace, most: usize) -> Result<Filled, Reason> {
        let Some(pipe) = loan.pipe() else { return Ok(Filled::Nothing) };
        let most = most.min(loan.capacity());
        match splice(self.sender(), None, &pipe.write_end, None, most, SPLICE) {
            Ok(0) => Ok(Filled::EndOfStream),
            Ok(count) => {
                loan.held = count;
                self.count(count);
                pace.spliced(count);
                Ok(if count < SHORT_SPLICE_BYTES.min(most) { Filled::Emptied } else { Filled::Full })
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Filled::Nothing),
            Err(_) => Err(self.sender_broke()),
        }
    }

    /// Gives the receiver what is held. False: it does not take all of it now.
    fn flush(self, held: &mut Held) -> Result<bool, Reason> {
        match held {
            Held::Nothing => self.flush_receiver(),
            Held::Bytes { bytes, sent } => {
                *sent += self.send(&bytes[*sent..])?;
                self.touch();
                if *sent < bytes.len() {
                    return Ok(false);
                }
                *held = Held::Nothing;
                self.flush_receiver()
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
        match self.way {
            Way::Up => self.relay.session.client.socket(),
            Way::Down => self.relay.target,
        }
    }

    fn receiver(self) -> &'a Ready {
        match self.way {
            Way::Up => self.relay.target,
            Way::Down => self.relay.session.client.socket(),
        }
    }

    /// Why the connection ends if the sender fails.
    fn sender_broke(self) -> Reason {
        match self.way {
            Way::Up => Reason::ClientReset,
            Way::Down => Reason::TargetReset,
        }
    }

    fn receiver_broke(self) -> Reason {
        match self.way {
            Way::Up => Reason::TargetReset,
            Way::Down => Reason::ClientReset,
        }
    }

    /// What this direction has moved so far.
    fn total(self) -> &'a Cell<u64> {
        match self.way {
            Way::Up => &self.relay.session.sent_bytes,
            Way::Down => &self.relay.session.received_bytes,
        }
    }

    fn count(self, bytes: usize) {
        let Relay { core, session, account, .. } = self.relay;
        core.count_bytes(session, account.as_ref(), self.way, bytes as u64);
        self.touch();
    }

    fn touch(self) {
        self.relay.session.touch(self.relay.core.sessions.now_tick());
    }
}

const SPLICE: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
