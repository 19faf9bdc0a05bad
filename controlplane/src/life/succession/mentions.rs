//! What the supervisor is told in passing: nothing waits for it to listen.

use super::{Holder, Succession};
use crate::handover::Message;

impl Succession {
    /// That this process lives, and whether all its workers do.
    pub fn mention_life(&self, well: bool) {
        // It is said again in a second.
        self.mention(&Message::Alive { well });
    }

    /// Asks for another process, for this one cannot go on.
    pub fn ask_for_another(&self) {
        self.mention(&Message::Upgrade);
    }

    /// That this process drains to its end, and nobody is to follow.
    pub fn mention_stopping(&self) {
        self.mention(&Message::Stopping);
    }

    fn mention(&self, message: &Message) {
        if let Some(Holder { link, keeps: true }) = &self.holder {
            let _ = link.mention(message);
        }
    }
}
