//! From the client to its targets.

use super::batch::{Incoming, Outgoing, Tally};
use super::destinations::Found;
use super::{Direction, Relay};
use crate::proto::udp::{Datagram, Fragment, Reassembly};
use ringway_shared::config::Fragments;
use ringway_shared::datagram::Drop as Dropped;
use std::net::SocketAddr;
use std::rc::Rc;

/// The datagrams of one batch on their way out.
struct Upward<'a, 'b> {
    relay: &'a Rc<Relay>,
    outgoing: &'a mut Outgoing<'b>,
    tally: &'a mut Tally,
}

impl Relay {
    /// Takes the client's datagrams to where they are addressed.
    pub(super) fn forward(self: &Rc<Self>, incoming: Incoming, outgoing: &mut Outgoing, tally: &mut Tally) {
        let mut upward = Upward { relay: self, outgoing, tally };
        // Equal addresses in a row are looked up once.
        let mut last: Option<(&[u8], SocketAddr)> = None;
        for (from, bytes) in incoming.datagrams() {
            upward.tally.seen += 1;
            let outcome = upward.take(from, bytes, &mut last);
            if let Err(why) = outcome {
                self.count_dropped(why, 1);
            }
        }
    }

    /// Sends what has waited for a name.
    pub(super) fn forward_waiting(self: &Rc<Self>, destination: SocketAddr, waiting: &[Box<[u8]>]) {
        let mut buffers = self.core.udp.borrow_mut();
        let Some(buffers) = buffers.as_deref_mut() else { return };
        let (mut outgoing, mut tally) = (buffers.outgoing(), Tally::default());
        let mut upward = Upward { relay: self, outgoing: &mut outgoing, tally: &mut tally };
        for payload in waiting {
            if let Err(why) = upward.send(destination, payload) {
                self.count_dropped(why, 1);
            }
        }
        outgoing.flush(&mut tally);
        self.settle(Direction::Up, &tally);
    }

    fn expect_source(&self, from: SocketAddr) -> Result<(), Dropped> {
        self.source.get().admits(from).then_some(()).ok_or(Dropped::ForeignSource)
    }

    /// Who has said something sensible is the client from now on.
    fn latch_source(&self, from: SocketAddr) {
        let mut source = self.source.get();
        if source.latched().is_none() {
            source.latch(from);
            self.source.set(source);
        }
    }
}

impl Upward<'_, '_> {
    fn take<'d>(
        &mut self,
        from: SocketAddr,
        bytes: &'d [u8],
        last: &mut Option<(&'d [u8], SocketAddr)>,
    ) -> Result<(), Dropped> {
        self.relay.expect_source(from)?;
        let datagram = Datagram::read(bytes).ok_or(Dropped::Malformed)?;
        self.relay.latch_source(from);
        if datagram.fragment != Fragment::Whole {
            return self.take_fragment(&datagram);
        }
        self.end_sequence(&datagram);
        let destination = match *last {
            Some((address, destination)) if address == datagram.address => destination,
            _ => match self.relay.find(datagram.address, datagram.payload)? {
                Found::At(destination) => destination,
                Found::Later => return Ok(()),
            },
        };
        *last = Some((datagram.address, destination));
        self.send(destination, datagram.payload)
    }

    fn take_fragment(&mut self, fragment: &Datagram) -> Result<(), Dropped> {
        let socks5 = &self.relay.session.service.config.socks5;
        if socks5.udp.fragments == Fragments::Drop {
            // "An implementation that does not support fragmentation MUST drop any datagram whose FRAG field is
            // other than X'00'."
            return Err(Dropped::Fragment);
        }
        let mut reassembly = self.relay.reassembly.borrow_mut();
        let reassembly =
            reassembly.get_or_insert_with(|| Box::new(Reassembly::new(socks5.timeouts.fragments)));
        let taken = reassembly.receive(fragment, self.relay.core.now_ns());
        self.relay.count_dropped(Dropped::Fragment, taken.abandoned);
        let Some(whole) = taken.whole else { return Ok(()) };
        match self.relay.find(&whole.address, &whole.payload)? {
            Found::At(destination) => self.send(destination, &whole.payload),
            Found::Later => Ok(()),
        }
    }

    /// A datagram that stands for itself ends a sequence under way.
    fn end_sequence(&mut self, datagram: &Datagram) {
        let mut reassembly = self.relay.reassembly.borrow_mut();
        // Hardly any client sends fragments.
        let Some(reassembly) = reassembly.as_deref_mut() else { return };
        let taken = reassembly.receive(datagram, self.relay.core.now_ns());
        self.relay.count_dropped(Dropped::Fragment, taken.abandoned);
    }

    fn send(&mut self, destination: SocketAddr, payload: &[u8]) -> Result<(), Dropped> {
        let socket = self.relay.outside(destination.is_ipv6())?;
        self.relay.admit(Direction::Up, payload)?;
        self.relay.peers.borrow_mut().note(destination);
        self.outgoing.push((socket, destination), &[], payload, self.tally);
        Ok(())
    }
}
