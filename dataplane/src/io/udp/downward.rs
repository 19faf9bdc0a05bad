//! From the peers back to the client.

use super::batch::{Incoming, Outgoing, Tally};
use super::{Direction, Relay};
use crate::proto::udp::Header;
use ringway_shared::datagram::Drop as Dropped;
use std::net::SocketAddr;

impl Relay {
    /// Brings the client what peers have sent, each datagram behind a header that says whose it is.
    pub(super) fn bring_back(&self, incoming: Incoming, outgoing: &mut Outgoing, tally: &mut Tally) {
        // Peers in a row are judged once.
        let mut last = None;
        for (from, payload) in incoming.datagrams() {
            tally.seen += 1;
            let judged = match last {
                Some((peer, judged)) if peer == from => judged,
                _ => self.judge_peer(from),
            };
            last = Some((from, judged));
            match judged.and_then(|way| self.admit(Direction::Down, payload).map(|()| way)) {
                Ok((client, header)) => {
                    outgoing.push((&self.client_side, client), header.bytes(), payload, tally);
                }
                Err(why) => self.count_dropped(why, 1),
            }
        }
    }

    /// Where a peer's datagram goes, and what before it.
    fn judge_peer(&self, from: SocketAddr) -> Result<(SocketAddr, Header), Dropped> {
        let client = self.source.get().latched().ok_or(Dropped::NoClientYet)?;
        self.peers.borrow().admit(from).then_some((client, Header::of(from))).ok_or(Dropped::Filtered)
    }
}
