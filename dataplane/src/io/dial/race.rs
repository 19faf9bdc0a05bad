//! Several addresses at once: each gets a head start over the next, the first to stand wins (RFC 8305 section 5).

use crate::core::Core;
use crate::io::dial::attempt::{Attempt, Counted, Failure, Stands};
use crate::io::sessions::{Session, TICK};
use crate::policy::targets::Permit;
use crate::rt;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use ringway_shared::reason::Reason;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

/// An attempt's head start over the next: the Connection Attempt Delay of RFC 8305 section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// Races connects to `permits`, in their order, until `deadline`. The losers are closed before it returns, and
/// their count is given back; so is the winner's, which is the caller's to count.
pub(super) async fn race(
    core: &Core,
    session: &Session,
    permits: &[Permit],
    deadline: Instant,
) -> Result<(Stands, SocketAddr), Failure> {
    let mut runners = FuturesUnordered::new();
    let mut on_the_line = permits.iter();
    let mut failure = Failure::from(Reason::NetworkUnreachable);
    let mut next_start = Instant::now();
    loop {
        let now = Instant::now();
        if session.cut_reason().is_some() || now >= deadline {
            return Err(failure.or_more_telling(Reason::ConnectTimeout.into()));
        }
        if now >= next_start
            && let Some(permit) = on_the_line.next()
        {
            match start(core, session, *permit) {
                Ok(runner) => {
                    runners.push(run(runner));
                    next_start = now + HEAD_START;
                }
                // Nothing to wait for: it is the next one's turn.
                Err(fell) => failure = failure.or_more_telling(fell),
            }
            continue;
        }
        if runners.is_empty() {
            return Err(failure);
        }
        let pause = if on_the_line.len() > 0 { next_start } else { deadline };
        // A cut finds no socket of this session to abort, so it is asked for once a tick.
        let pause = pause.saturating_duration_since(now).min(TICK);
        match select(runners.next(), pin!(rt::sleep(pause))).await {
            Either::Left((Some(Ok(winner)), _)) => return Ok(winner),
            Either::Left((Some(Err(fell)), _)) => {
                failure = failure.or_more_telling(fell);
                next_start = now;
            }
            Either::Left((None, _)) | Either::Right(_) => {}
        }
    }
}

fn start<'a>(core: &'a Core, session: &Session, permit: Permit) -> Result<(Attempt, Counted<'a>), Failure> {
    let counted = Counted::one(core)?;
    Ok((Attempt::of(session, permit, &[])?, counted))
}

async fn run((attempt, _counted): (Attempt, Counted<'_>)) -> Result<(Stands, SocketAddr), Failure> {
    let address = attempt.permit.address();
    attempt.settle().await?;
    Ok((attempt.outcome()?, address))
}
