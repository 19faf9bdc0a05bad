//! Datagrams by the batch: many with one system call, both ways. The door to quinn-udp.
//!
//! Coming in, recvmmsg(2) fills several slots, and in each the kernel may have lined up datagrams of one sender
//! (UDP_GRO). Going out, consecutive datagrams of one size to one destination make a train: one send that the
//! kernel cuts (UDP_SEGMENT).

use super::DATAGRAMS_PER_WAKE;
use super::socket::Socket;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use ringway_shared::datagram::Drop as Dropped;
use rustix::io::Errno;
use rustix::net::{SendFlags, sendto};
use std::cell::{RefCell, RefMut};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;

/// Slots filled by one system call, and the bytes of each: the largest datagram, or what the kernel lines up.
const SLOTS: usize = 16;
const SLOT_BYTES: usize = 64 * 1024;
/// Datagrams of a train: older kernels cut into no more (UDP_MAX_SEGMENTS). And its bytes: for the kernel it is one
/// datagram until it is cut.
const TRAIN_DATAGRAMS_MAX: usize = 64;
const TRAIN_BYTES_MAX: usize = 65_507;
/// A datagram larger than this travels alone: a train's must fit into a packet each, and this does on Ethernet, of IPv6 too.
const CAR_BYTES_MAX: usize = 1_452;

const _: () = assert!(SLOTS <= quinn_udp::BATCH_SIZE);

/// A core's buffers, made when its first association is.
#[derive(Default)]
pub struct Shared(RefCell<Option<Box<Buffers>>>);

impl Shared {
    pub(super) fn prepare(&self) -> io::Result<()> {
        let mut buffers = self.0.borrow_mut();
        if buffers.is_none() {
            *buffers = Some(Box::new(Buffers::new()?));
        }
        Ok(())
    }

    pub(super) fn borrow_mut(&self) -> RefMut<'_, Option<Box<Buffers>>> {
        self.0.borrow_mut()
    }
}

/// What datagrams pass through; borrowed only between two waits.
pub(super) struct Buffers {
    state: UdpSocketState,
    slots: Box<[u8]>,
    metas: [RecvMeta; SLOTS],
    train: Train,
}

/// What one system call brought, and where what becomes of it goes.
pub(super) struct Batch<'a> {
    pub(super) incoming: Incoming<'a>,
    pub(super) outgoing: Outgoing<'a>,
    /// Every slot shown was filled: the socket may hold more.
    pub(super) may_be_more: bool,
}

impl Buffers {
    fn new() -> io::Result<Buffers> {
        // quinn-udp sets its own options on the socket it is shown, among them those against fragmentation. So it
        // is shown one that is never used; the state is that of the kernel, not of the socket.
        let unused = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"))?;
        Ok(Buffers {
            state: UdpSocketState::new(UdpSockRef::from(&unused))?,
            slots: vec![0; SLOTS * SLOT_BYTES].into_boxed_slice(),
            metas: [RecvMeta::default(); SLOTS],
            train: Train::default(),
        })
    }

    /// Receives what is there; never waits (`WouldBlock`).
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<Batch<'_>> {
        let mut slots = self.slots.chunks_exact_mut(SLOT_BYTES);
        let mut slots: [IoSliceMut; SLOTS] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        let shown = slots_for(socket.lined_up.get());
        let filled =
            self.state.recv(UdpSockRef::from(&socket.ready), &mut slots[..shown], &mut self.metas)?;
        let most = self.metas[..filled].iter().map(|meta| meta.len.div_ceil(meta.stride.max(1))).max();
        socket.lined_up.set(lately(socket.lined_up.get(), most.unwrap_or_default()));
        Ok(Batch {
            incoming: Incoming { slots: &self.slots, metas: &self.metas[..filled] },
            outgoing: Outgoing { state: &self.state, train: &mut self.train },
            may_be_more: filled == shown,
        })
    }

    /// For what is sent without having been received just now.
    pub(super) fn outgoing(&mut self) -> Outgoing<'_> {
        Outgoing { state: &self.state, train: &mut self.train }
    }
}

/// Slots to show the kernel on a socket in each of which it has lined up so many datagrams lately: a batch is not to
/// hold many more of them than a wake may take.
fn slots_for(lined_up: usize) -> usize {
    (DATAGRAMS_PER_WAKE as usize / lined_up.max(1)).clamp(1, SLOTS)
}

/// Forgets by halves: or every other batch could be a full one.
fn lately(before: usize, most: usize) -> usize {
    most.max(before / 2)
}

/// Received datagrams with their senders.
pub(super) struct Incoming<'a> {
    slots: &'a [u8],
    metas: &'a [RecvMeta],
}

impl<'a> Incoming<'a> {
    pub(super) fn datagrams(self) -> impl Iterator<Item = (SocketAddr, &'a [u8])> {
        let slots = self.metas.iter().zip(self.slots.chunks_exact(SLOT_BYTES));
        slots.flat_map(|(meta, slot)| {
            let lined_up = slot[..meta.len].chunks(meta.stride.max(1));
            // An empty datagram is one as well.
            let empty = (meta.len == 0).then_some(&slot[..0]);
            lined_up.chain(empty).map(|datagram| (meta.addr, datagram))
        })
    }
}

/// What has been received and sent.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Taken from the socket, whatever became of them.
    pub(super) seen: u64,
    pub(super) datagrams: u64,
    pub(super) payload_bytes: u64,
}

impl Tally {
    fn count(&mut self, datagrams: usize, payload_bytes: usize) {
        self.datagrams += datagrams as u64;
        self.payload_bytes += payload_bytes as u64;
    }
}

/// Consecutive datagrams of one size to one destination, the last of which may be smaller.
#[derive(Default)]
struct Train {
    /// `None`: it is empty.
    route: Option<(Rc<Socket>, SocketAddr)>,
    bytes: Vec<u8>,
    cars: usize,
    /// The bytes of each but the last.
    car_bytes: usize,
    /// How many of them are a header.
    header_bytes: usize,
}

impl Train {
    /// Whether a datagram can be hung on. A smaller one ends the train: nothing fits behind it.
    fn takes(&self, socket: &Rc<Socket>, destination: SocketAddr, header_bytes: usize, bytes: usize) -> bool {
        let same_way =
            self.route.as_ref().is_some_and(|(ours, to)| Rc::ptr_eq(ours, socket) && *to == destination);
        same_way
            && socket.segments.get()
            && self.header_bytes == header_bytes
            && self.car_bytes <= CAR_BYTES_MAX
            && (1..=self.car_bytes).contains(&bytes)
            && self.bytes.len() == self.cars * self.car_bytes
            && self.bytes.len() + bytes <= TRAIN_BYTES_MAX
            && self.cars < TRAIN_DATAGRAMS_MAX
    }

    fn cars(&self) -> impl Iterator<Item = &[u8]> {
        let empty = self.bytes.is_empty().then_some(&self.bytes[..]);
        self.bytes.chunks(self.car_bytes.max(1)).chain(empty)
    }
}

/// Sends datagrams, as many at once as it can.
pub(super) struct Outgoing<'a> {
    state: &'a UdpSocketState,
    train: &'a mut Train,
}

impl Outgoing<'_> {
    /// Sends a datagram, now or with those that follow: [`flush`](Self::flush) when there are no more.
    pub(super) fn push(
        &mut self,
        (socket, destination): (&Rc<Socket>, SocketAddr),
        header: &[u8],
        payload: &[u8],
        tally: &mut Tally,
    ) {
        let bytes = header.len() + payload.len();
        if !self.train.takes(socket, destination, header.len(), bytes) {
            self.flush(tally);
            self.train.route = Some((socket.clone(), destination));
            (self.train.car_bytes, self.train.header_bytes) = (bytes, header.len());
        }
        self.train.bytes.extend_from_slice(header);
        self.train.bytes.extend_from_slice(payload);
        self.train.cars += 1;
    }

    /// Sends what is still held.
    pub(super) fn flush(&mut self, tally: &mut Tally) {
        let Some((socket, destination)) = self.train.route.take() else { return };
        let train = &*self.train;
        if train.cars > 1 {
            match self.send_train(&socket, destination) {
                Ok(()) => tally.count(train.cars, train.bytes.len() - train.cars * train.header_bytes),
                Err(Errno::INVAL | Errno::MSGSIZE | Errno::IO) => {
                    // The interface cannot cut, or its packets are smaller than ours: from now on each on its own.
                    socket.segments.set(false);
                    train.cars().for_each(|car| send(&socket, destination, car, train.header_bytes, tally));
                }
                Err(error) => socket.count_dropped(reason_of(error), train.cars as u64),
            }
        } else {
            send(&socket, destination, &train.bytes, train.header_bytes, tally);
        }
        self.train.bytes.clear();
        self.train.cars = 0;
    }

    fn send_train(&self, socket: &Socket, destination: SocketAddr) -> Result<(), Errno> {
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: &self.train.bytes,
            segment_size: Some(self.train.car_bytes),
            src_ip: None,
        };
        let sent = self.state.try_send(UdpSockRef::from(&socket.ready), &transmit);
        sent.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

fn send(socket: &Socket, destination: SocketAddr, datagram: &[u8], header_bytes: usize, tally: &mut Tally) {
    let attempt = || sendto(&socket.ready, datagram, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &destination);
    let sent = match attempt() {
        // What ICMP said of an earlier datagram is told in place of sending this one.
        Err(Errno::CONNREFUSED | Errno::INTR) => attempt(),
        outcome => outcome,
    };
    match sent {
        Ok(_) => tally.count(1, datagram.len() - header_bytes),
        Err(error) => socket.count_dropped(reason_of(error), 1),
    }
}

fn reason_of(error: Errno) -> Dropped {
    match error {
        Errno::AGAIN | Errno::NOBUFS => Dropped::SendBufferFull,
        Errno::MSGSIZE => Dropped::TooLarge,
        _ => Dropped::SendFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_slots_come_full_few_are_shown() {
        assert_eq!([0, 1, 8, 16, 45, 64, 1000].map(slots_for), [16, 16, 16, 8, 2, 2, 1]);
        let mut lined_up = lately(1, 64);
        assert_eq!(slots_for(lined_up), 2);
        let batches = std::iter::from_fn(|| {
            lined_up = lately(lined_up, 1);
            Some(slots_for(lined_up))
        });
        assert_eq!(batches.take(3).collect::<Vec<_>>(), [4, 8, 16], "single ones bring the slots back");
    }
}
