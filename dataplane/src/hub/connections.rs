//! Connections and what is written to them.

use super::Hub;
use super::outbox::Sent;
use super::values::{Client, Effect, Format};
use std::rc::Rc;
use std::sync::Arc;

impl Hub {
    /// A connection is there, under the caller's number for it: a small one, as a table of that length is kept.
    pub fn join(&mut self, conn: u32, format: Format) {
        self.leave(conn);
        self.local.join(conn, format);
    }

    /// Says who a connection is: before it subscribes where [`Hub::wants_identity`]. Others need not cost that.
    pub fn identify(&mut self, conn: u32, client: Arc<Client>) {
        self.local.identify(conn, client);
    }

    /// Whether subscribers of a topic are to be known to others.
    #[must_use]
    pub fn wants_identity(&self, conn: u32, topic: &str) -> bool {
        self.namespaces.of(topic).presence && self.local.client(conn).is_none()
    }

    /// A connection is gone: its number is free, what it has queued is dropped and counted.
    pub fn leave(&mut self, conn: u32) {
        self.unsubscribe_all(conn);
        self.local.leave(conn);
        if !self.effects.is_empty() {
            self.effects.retain(|effect| effect.conn() != Some(conn));
        }
    }

    /// Queues a frame that is one connection's alone, behind what is queued. If there is no room it is
    /// [`Effect::TooSlow`]; after [`Hub::push_last`] it is dropped.
    pub fn push_own(&mut self, conn: u32, frame: Rc<[u8]>) {
        let Some((outbox, queues)) = self.local.outbox(conn) else { return };
        if !queues.push_own(conn, outbox, frame) {
            self.effects.push_back(Effect::TooSlow { conn });
        }
    }

    /// Queues a connection's last frame, a close frame. Its subscriptions end; what is queued before it goes out first.
    pub fn push_last(&mut self, conn: u32, frame: Rc<[u8]>) {
        self.unsubscribe_all(conn);
        if let Some((outbox, queues)) = self.local.outbox(conn) {
            queues.push_last(conn, outbox, frame);
        }
    }

    /// The next connection that has something to write to a socket that may take it.
    pub fn poll_dirty(&mut self) -> Option<u32> {
        while let Some(conn) = self.local.queues.poll_dirty() {
            if let Some((outbox, queues)) = self.local.outbox(conn)
                && queues.take_dirty(outbox)
            {
                return Some(conn);
            }
        }
        None
    }

    /// Whether [`Hub::poll_dirty`] may have one.
    #[must_use]
    pub fn has_dirty(&self) -> bool {
        self.local.queues.has_dirty()
    }

    /// How many connections [`Hub::poll_dirty`] has in line, some of which may have ended meanwhile.
    #[must_use]
    pub fn dirty_len(&self) -> usize {
        self.local.queues.dirty_len()
    }

    /// What a connection has to write, frame by frame. Of the first one only what is not written yet.
    pub fn frames(&self, conn: u32) -> impl Iterator<Item = &[u8]> {
        self.local.frames(conn)
    }

    /// The socket took so many bytes of [`Hub::frames`]. `each` is told when each publication that is now wholly sent had
    /// arrived (`at_ns`). With something left the connection is dirty again, unless [`Hub::blocked`].
    pub fn sent(&mut self, conn: u32, bytes: usize, each: impl FnMut(u64)) -> Sent {
        let Some((outbox, queues)) = self.local.outbox(conn) else { return Sent::default() };
        queues.sent(conn, outbox, bytes, each)
    }

    /// The socket takes no more for now: the connection is not dirty until it is [`Hub::writable`].
    pub fn blocked(&mut self, conn: u32) {
        if let Some((outbox, queues)) = self.local.outbox(conn) {
            queues.block(outbox);
        }
    }

    pub fn writable(&mut self, conn: u32) {
        if let Some((outbox, queues)) = self.local.outbox(conn) {
            queues.unblock(conn, outbox);
        }
    }

    /// Frames and bytes that a connection has queued.
    #[must_use]
    pub fn queued(&self, conn: u32) -> (u32, u32) {
        self.local.queued(conn)
    }
}

impl Effect {
    /// The connection that it is about.
    fn conn(&self) -> Option<u32> {
        match self {
            Effect::Subscribed { conn, .. }
            | Effect::SubscribeRefused { conn, .. }
            | Effect::TooSlow { conn } => Some(*conn),
            Effect::Answer { .. } => None,
        }
    }
}
