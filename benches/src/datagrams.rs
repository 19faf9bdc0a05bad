//! Datagrams by the batch: recvmmsg(2) and sendmmsg(2), or trains that the kernel cuts (UDP_SEGMENT).

use crate::failure::Failure;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Bytes of a slot that holds one datagram, and of one that holds what the kernel lines up (UDP_GRO).
const SLOT_BYTES: usize = 2_048;
const LINED_UP_BYTES: usize = 64 * 1024;
/// What the kernel is asked to hold for a socket, each way.
const KERNEL_BUFFER_BYTES: usize = 1 << 20;

/// A socket that does not block, with large kernel buffers.
pub fn open(address: SocketAddr) -> Result<UdpSocket, Failure> {
    let open = || -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        set_socket_recv_buffer_size(&socket, KERNEL_BUFFER_BYTES)?;
        set_socket_send_buffer_size(&socket, KERNEL_BUFFER_BYTES)?;
        Ok(socket)
    };
    open().map_err(Failure::own("opening a UDP socket"))
}

/// Waits until one of the sockets can be read, at most for `patience`; which can.
pub fn wait<const N: usize>(sockets: [&UdpSocket; N], patience: Duration) -> Result<[bool; N], Failure> {
    let mut polled = sockets.map(|socket| PollFd::new(socket, PollFlags::IN));
    let patience =
        Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    match poll(&mut polled, Some(&patience)) {
        Ok(_) | Err(Errno::INTR) => Ok(polled.map(|polled| !polled.revents().is_empty())),
        Err(error) => Err(error.into()),
    }
}

/// Sends many datagrams with one call.
pub struct Sender {
    /// Datagrams of a train; 1: none, each is sent on its own.
    train: usize,
    state: UdpSocketState,
}

impl Sender {
    pub fn new(train: usize) -> Result<Sender, Failure> {
        Ok(Sender { train, state: state()? })
    }

    /// Sends the datagrams of `size` bytes that stand in `bytes`, and tells how many the kernel took.
    pub fn send(&self, socket: &UdpSocket, to: SocketAddr, bytes: &[u8], size: usize) -> usize {
        if self.train > 1 {
            let trains = bytes.chunks(self.train * size);
            return trains.map(|train| self.send_train(socket, to, train, size)).sum();
        }
        let datagrams: Vec<_> = bytes.chunks(size).map(|datagram| (to, [datagram, &[]])).collect();
        send_each(socket, &datagrams)
    }

    fn send_train(&self, socket: &UdpSocket, to: SocketAddr, train: &[u8], size: usize) -> usize {
        let transmit =
            Transmit { destination: to, ecn: None, contents: train, segment_size: Some(size), src_ip: None };
        let sent = self.state.try_send(UdpSockRef::from(socket), &transmit);
        if sent.is_ok() { train.len().div_ceil(size) } else { 0 }
    }
}

/// Sends each datagram, in two parts, to its own destination with one call; how many the kernel took.
pub fn send_each(socket: &UdpSocket, datagrams: &[(SocketAddr, [&[u8]; 2])]) -> usize {
    let slices: Vec<_> = datagrams.iter().map(|(_, parts)| parts.map(IoSlice::new)).collect();
    let addresses: Vec<_> = datagrams.iter().map(|(to, _)| SocketAddrAny::from(*to)).collect();
    let mut controls: Vec<_> = datagrams.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let messages = addresses.iter().zip(&slices).zip(&mut controls);
    let mut messages: Vec<_> =
        messages.map(|((to, slice), control)| MMsgHdr::new_with_addr(to, slice, control)).collect();
    sendmmsg(socket, &mut messages, SendFlags::DONTWAIT).unwrap_or(0)
}

/// Receives many datagrams with one call.
pub struct Receiver {
    state: UdpSocketState,
    slots: Vec<u8>,
    slot_bytes: usize,
    metas: [RecvMeta; BATCH_SIZE],
}

impl Receiver {
    pub fn new() -> Result<Receiver, Failure> {
        Ok(Receiver {
            state: state()?,
            slots: vec![0; SLOT_BYTES * BATCH_SIZE],
            slot_bytes: SLOT_BYTES,
            metas: [RecvMeta::default(); BATCH_SIZE],
        })
    }

    /// One for a socket whose datagrams the kernel may line up.
    pub fn lined_up(socket: &UdpSocket) -> Result<Receiver, Failure> {
        let state = UdpSocketState::new(socket.into()).map_err(Failure::own("asking for UDP_GRO"))?;
        Ok(Receiver {
            state,
            slots: vec![0; LINED_UP_BYTES * BATCH_SIZE],
            slot_bytes: LINED_UP_BYTES,
            metas: [RecvMeta::default(); BATCH_SIZE],
        })
    }

    /// What is there now, each datagram with its sender; nothing: the socket is empty.
    pub fn receive(&mut self, socket: &UdpSocket) -> impl Iterator<Item = (SocketAddr, &mut [u8])> {
        let mut slices: Vec<_> = self.slots.chunks_exact_mut(self.slot_bytes).map(IoSliceMut::new).collect();
        let filled = self.state.recv(socket.into(), &mut slices, &mut self.metas).unwrap_or(0);
        let slots = self.slots.chunks_exact_mut(self.slot_bytes).zip(&self.metas[..filled]);
        slots.flat_map(|(slot, meta)| {
            slot[..meta.len].chunks_mut(meta.stride.max(1)).map(|datagram| (meta.addr, datagram))
        })
    }
}

/// quinn-udp sets its options on the socket it is shown: here one that is never used.
fn state() -> Result<UdpSocketState, Failure> {
    let unused = UdpSocket::bind("127.0.0.1:0");
    unused
        .and_then(|unused| UdpSocketState::new((&unused).into()))
        .map_err(Failure::own("asking the kernel for batches"))
}
