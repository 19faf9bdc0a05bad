//! Readers of the live feed: who may subscribe, what they are told first, and when they have to go.

use super::State;
use crate::core::Core;
use crate::policy::feed;
use crate::proto::pubsub_json;
use crate::proto::websocket::Data;
use crate::service::Service;
use ringway_shared::closing::Closing;
use ringway_shared::feed::Feed;
use std::rc::Rc;

impl State {
    /// Whether a connection may subscribe to a topic, as far as the feed has a word in it.
    ///
    /// # Errors
    /// What it is told.
    pub(super) fn may_subscribe(
        &mut self,
        core: &Core,
        conn: u32,
        topic: &str,
        own_wish: bool,
    ) -> Result<(), feed::Refused> {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return Ok(()) };
        let about = &mut slot.about;
        let readers = &core.service().readers;
        readers.may_subscribe(topic, about.way_now(readers), own_wish)?;
        about.reads_feed |= feed::is_reserved(topic);
        Ok(())
    }

    /// Who reads the feed from now on gets what stands there, however long it is until the next.
    pub(super) fn show_board(&mut self, core: &Core, conn: u32, topic: &str) {
        let Some(data) = Feed::of(topic).and_then(|feed| core.wiring.board.latest(feed)) else { return };
        let service = core.service();
        let websocket = &service.config.websocket;
        let bits = self.slots.get(conn as usize).and_then(|slot| slot.about.deflate);
        let bits = bits.filter(|_| data.len() >= websocket.compression.threshold_bytes);
        let mut text = Vec::with_capacity(data.len() + 64);
        pubsub_json::message(topic, &data, None, &mut text);
        self.letter_to(conn);
        let frames = &mut self.letter.frames;
        self.encoder.frame(Data::Text, &text, bits, websocket.compression.level, frames);
        self.count_text_to(core, conn);
        self.post_long_letter();
    }

    /// Whether what let this connection read the feed holds no more.
    pub(super) fn has_lost_leave(&self, service: &Service, conn: u32) -> Option<Lost> {
        let about = &self.slots.get(conn as usize)?.about;
        match about.grant() {
            Some(grant) => grant.is_revoked().then_some(Lost::Connection),
            None if !about.reads_feed => None,
            None => {
                let may = service.readers.let_in(about.way_now(&service.readers));
                (!may).then_some(Lost::Subscriptions)
            }
        }
    }

    /// Ends what the leave was for.
    pub(super) fn act_on_lost_leave(&mut self, core: &Rc<Core>, conn: u32, lost: Lost) {
        match lost {
            Lost::Connection => {
                let closing = Closing::LeaveRevoked;
                self.close(core, conn, closing, closing.text());
            }
            Lost::Subscriptions => {
                if let Some(slot) = self.slots.get_mut(conn as usize) {
                    slot.about.reads_feed = false;
                }
                for feed in Feed::ALL {
                    self.send_away(core, conn, Some(feed.topic()));
                }
            }
        }
    }
}

/// What a connection loses with its leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// All it came for.
    Connection,
    /// Its subscriptions to the feed.
    Subscriptions,
}
