//! Beginning a hot restart, and giving it up. Meanwhile the configuration stays as it is: the next process reads it for itself, and
//! what changed here after that would be lost, or a listener closed that is the next one's already.

use super::{Holder, Life, Succession};
use crate::handover::Message;
use crate::handover::desk::Outcome;
use crate::handover::upgrade::{self, Successor};
use crate::life::ending::Ending;
use rustix::process::Signal;

impl Succession {
    /// Whether a hot restart has begun and nothing has come of it yet.
    fn is_under_way(&self) -> bool {
        self.waiting.is_some() || self.starting.is_some() || self.asked
    }
}

impl Life {
    /// Begins a hot restart, or says why not.
    pub fn upgrade(&self, succession: &mut Succession, ending: Option<&Ending>) -> Result<(), String> {
        let why = if ending.is_some() {
            "this process is draining"
        } else if succession.is_under_way() {
            "another one is under way"
        } else {
            self.reloader.pause();
            let reloader = self.reloader.clone();
            succession.waiting = Some(Box::pin(async move { reloader.idle().await }));
            return Ok(());
        };
        tracing::warn!("no hot restart: {why}");
        Err(why.into())
    }

    /// No reload is under way any more: what this process listens on is what it hands over.
    pub(super) fn start_next(&self, succession: &mut Succession) {
        if let Err(why) = self.try_start_next(succession) {
            tracing::warn!("no hot restart: {why}");
            succession.told(&Outcome::Refused(why));
            self.go_on(succession);
        }
    }

    fn try_start_next(&self, succession: &mut Succession) -> Result<(), String> {
        if let Some(Holder { link, keeps: true }) = &succession.holder {
            let asked = link.mention(&Message::Upgrade);
            asked.map_err(|error| format!("the supervisor cannot be asked: {error}"))?;
            succession.asked = true;
            tracing::info!("asked the supervisor for a hot restart");
            return Ok(());
        }
        let listeners = self.listeners()?;
        let patience = self.running.config().workers.ready_within;
        let start = upgrade::start(succession.recipe.clone(), false, listeners, patience);
        succession.starting = Some(Box::pin(start));
        Ok(())
    }

    /// Nothing came of it: all is as before, and what was put off is done now.
    pub(super) fn go_on(&self, succession: &mut Succession) {
        succession.asked = false;
        self.unshare_listeners(succession.is_kept());
        if self.reloader.resume() && !self.state.draining.get() {
            self.reload();
        }
    }

    /// Has the next process do what was put off: it may have read the configuration before that changed.
    pub(super) fn pass_reload_on(&self, successor: &Successor) {
        // A supervisor has told it already.
        if let (true, Successor::Child(heir)) = (self.reloader.resume(), successor) {
            heir.signal(Signal::HUP);
        }
    }

    /// Gives up starting a process, for this one ends: one that has been started is killed.
    pub fn abandon(&self, succession: &mut Succession) {
        if !succession.is_under_way() {
            return;
        }
        (succession.waiting, succession.starting) = (None, None);
        tracing::warn!("the hot restart is abandoned: this process is to end");
        succession.told(&Outcome::Refused("this process is to end".into()));
        succession.asked = false;
        self.unshare_listeners(succession.is_kept());
    }
}
