//! Messages with descriptors over a socket pair that keeps their bounds (SEQPACKET).

use super::{LISTENERS_MAX, Message};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
};
use serde::Serialize;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// Bytes of one message; the kernel's buffer takes three of them.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the rows in one message, as they are encoded; a longer row goes by itself.
const ROWS_BYTES: usize = 32 * 1024;
/// Bytes of a row that still fits into a message; the rest is for what is around rows.
const ROW_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 64;
/// SCM_MAX_FD of the kernel.
const DESCRIPTORS_PER_MESSAGE: usize = 253;
const CONTROL_BYTES: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE));

/// A message, and the descriptors that came with it.
pub type Received = (Message, Vec<OwnedFd>);

/// One end. It never blocks the thread; dropping a future of its loses no message.
pub struct Link(UnixDatagram);

impl Link {
    /// A new pair: our end, and the other process's.
    pub fn pair() -> io::Result<(Link, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Link(registered(ours)?), theirs))
    }

    /// The end that this process was given. An error: it is no such socket.
    pub fn of(socket: OwnedFd) -> io::Result<Link> {
        if sockopt::socket_type(&socket)? != SocketType::SEQPACKET
            || sockopt::socket_domain(&socket)? != AddressFamily::UNIX
        {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is another kind of socket"));
        }
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Link(registered(socket)?))
    }

    /// Says something. It waits while the other end does not read: bound it in time.
    pub async fn say(&self, message: &Message) -> io::Result<()> {
        self.send(message, &[]).await
    }

    /// Says which listeners there are.
    pub async fn say_listeners(&self, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut left = sockets.len();
        let none = sockets.is_empty().then_some(&[][..]);
        for part in none.into_iter().chain(sockets.chunks(DESCRIPTORS_PER_MESSAGE)) {
            left -= part.len();
            self.send(&Message::Listeners { left }, part).await?;
        }
        Ok(())
    }

    /// Says a long list in messages of a size. A row that fits into none is left out with a warning that names the
    /// rows' `kind`: it must not cost what follows it. How many were left out.
    pub async fn say_rows<T: Serialize>(
        &self,
        kind: &str,
        rows: Vec<T>,
        message: impl Fn(Vec<T>) -> Message,
    ) -> io::Result<usize> {
        let (mut part, mut bytes, mut left_out) = (Vec::new(), 0, 0);
        for row in rows {
            let Some(more) = row_bytes(&row) else {
                left_out += 1;
                continue;
            };
            if bytes + more > ROWS_BYTES && !part.is_empty() {
                self.say(&message(std::mem::take(&mut part))).await?;
                bytes = 0;
            }
            bytes += more;
            part.push(row);
        }
        if !part.is_empty() {
            self.say(&message(part)).await?;
        }
        if left_out > 0 {
            tracing::warn!("{kind}: {left_out} rows are too long to be handed over, and are left out");
        }
        Ok(left_out)
    }

    /// Says something if the other end has room for it; what is repeated anyway can be lost.
    pub fn mention(&self, message: &Message) -> io::Result<()> {
        send_now(&self.0, &encoded(message)?, &[])
    }

    async fn send(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = encoded(message)?;
        self.0.async_io(Interest::WRITABLE, || send_now(&self.0, &text, descriptors)).await
    }

    /// What the other end says next. `None`: it has gone.
    pub async fn hear(&self) -> io::Result<Option<Received>> {
        match self.0.async_io(Interest::READABLE, || receive_now(&self.0)).await {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::CONNRESET) => Ok(None),
            heard => heard,
        }
    }
}

/// Known to the runtime. It is no datagram socket; but all that is asked of it here is to say when it is ready.
fn registered(socket: OwnedFd) -> io::Result<UnixDatagram> {
    UnixDatagram::from_std(socket.into())
}

/// What a row takes in a message, with what parts it from the next. `None`: it fits into none, or cannot be encoded.
fn row_bytes(row: &impl Serialize) -> Option<usize> {
    // Nothing less tells it: what is escaped takes up to six times its bytes.
    let bytes = serde_json::to_vec(row).ok()?.len() + 1;
    (bytes <= ROW_BYTES_MAX).then_some(bytes)
}

fn encoded(message: &Message) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(message)?;
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(ErrorKind::InvalidData, "a message is too long"));
    }
    Ok(text)
}

fn send_now(socket: &UnixDatagram, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(text)], &mut control, flags)?;
    Ok(())
}

fn receive_now(socket: &UnixDatagram) -> io::Result<Option<Received>> {
    let mut text = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        let left = match serde_json::from_slice(&text[..received.bytes]) {
            Ok(Message::Listeners { left }) => left,
            _ => 0,
        };
        return Err(io::Error::other(Lost { left }));
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(ErrorKind::InvalidData, "a message is too long"));
    }
    let message = serde_json::from_slice(&text[..received.bytes])?;
    Ok(Some((message, descriptors)))
}

/// Descriptors of a message that this process had no room for. The link goes on.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// As in [`Message::Listeners`].
    pub left: usize,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not all descriptors could be taken over: raise `ulimit -n`")
    }
}

impl std::error::Error for Lost {}

/// Puts a set of listeners together that comes in parts.
#[derive(Default)]
pub struct Gathering {
    parts: Vec<OwnedFd>,
    /// A part was lost: what is left of this set is of no use.
    spoiled: bool,
}

impl Gathering {
    /// Takes a part in. The set, once it is whole.
    pub fn take(&mut self, left: usize, part: Vec<OwnedFd>) -> io::Result<Option<Vec<OwnedFd>>> {
        if self.spoiled {
            self.spoiled = left > 0;
            return Ok(None);
        }
        self.parts.extend(part);
        if self.parts.len().saturating_add(left) > LISTENERS_MAX {
            self.lose(left);
            return Err(io::Error::new(ErrorKind::InvalidData, "too many listeners"));
        }
        Ok((left == 0).then(|| std::mem::take(&mut self.parts)))
    }

    /// A part could not be taken in.
    pub fn lose(&mut self, left: usize) {
        self.parts.clear();
        self.spoiled = left > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::Count;
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    /// Runs a test of both ends of a link.
    fn between<F: Future<Output = ()>>(test: impl FnOnce(Link, Link) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (one, other) = Link::pair().unwrap();
            test(one, Link::of(other).unwrap()).await;
        });
    }

    #[test]
    fn more_listeners_than_one_message_carries_arrive_all() {
        between(|holder, heir| async move {
            let sockets: Vec<_> = (0..600).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            let sent: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            holder.say_listeners(&sent).await.unwrap();
            let mut gathering = Gathering::default();
            let set = loop {
                let (message, part) = heir.hear().await.unwrap().unwrap();
                let Message::Listeners { left } = message else { panic!("{message:?}") };
                if let Some(set) = gathering.take(left, part).unwrap() {
                    break set;
                }
            };
            let ports = set.into_iter().map(|socket| TcpListener::from(socket).local_addr().unwrap());
            let expected = sockets.iter().map(|socket| socket.local_addr().unwrap());
            assert!(ports.eq(expected));
        });
    }

    #[test]
    fn a_set_without_a_listener_is_whole_at_once() {
        between(|holder, heir| async move {
            holder.say_listeners(&[]).await.unwrap();
            let (message, part) = heir.hear().await.unwrap().unwrap();
            assert_eq!(message, Message::Listeners { left: 0 });
            assert_eq!(Gathering::default().take(0, part).unwrap().map(|set| set.len()), Some(0));
        });
    }

    #[test]
    fn a_set_has_a_bound() {
        assert!(Gathering::default().take(LISTENERS_MAX + 1, Vec::new()).is_err());
    }

    #[test]
    fn a_set_that_lost_a_part_is_left_out_and_the_next_one_is_whole() {
        let part = || vec![OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap())];
        let count = |set: io::Result<Option<Vec<OwnedFd>>>| set.unwrap().map(|set| set.len());
        let mut gathering = Gathering::default();
        assert_eq!(count(gathering.take(2, part())), None);
        gathering.lose(1);
        assert_eq!(count(gathering.take(0, part())), None);
        assert_eq!(count(gathering.take(0, part())), Some(1));
        assert_eq!(count(gathering.take(1, part())), None);
        // The last part: nothing of this set follows.
        gathering.lose(0);
        assert_eq!(count(gathering.take(0, part())), Some(1));
    }

    #[test]
    fn long_lists_come_in_several_messages_and_whole_numbers_stay_whole() {
        between(|old, heir| async move {
            let count = |row: u64| if row == 0 { Count::Real(0.5) } else { Count::Whole(u64::MAX - row) };
            let rows: Vec<_> =
                (0..5_000).map(|row| (format!("name_{row}{{label=\"v\"}}"), count(row))).collect();
            let sent = rows.clone();
            let saying = async {
                old.say_rows("counters", sent, |rows| Message::Counters { rows }).await.unwrap();
                old.say(&Message::YourTurn).await.unwrap();
            };
            let hearing = async {
                let (mut heard, mut messages) = (Vec::new(), 0);
                while let (Message::Counters { rows }, _) = heir.hear().await.unwrap().unwrap() {
                    heard.extend(rows);
                    messages += 1;
                }
                (heard, messages)
            };
            let ((), (heard, messages)) = tokio::join!(saying, hearing);
            assert_eq!(heard, rows);
            assert!(messages > 1);
        });
    }

    /// The lengths of the rows that arrive, message by message, and how many were left out.
    fn arriving(rows: Vec<String>) -> (Vec<Vec<usize>>, usize) {
        let mut told = (Vec::new(), 0);
        let result = &mut told;
        between(|old, heir| async move {
            let saying = async {
                let left_out = old.say_rows("alerts", rows, |rows| Message::Alerts { rows }).await.unwrap();
                old.say(&Message::YourTurn).await.unwrap();
                left_out
            };
            let hearing = async {
                let mut heard = Vec::new();
                while let (Message::Alerts { rows }, _) = heir.hear().await.unwrap().unwrap() {
                    heard.push(rows.iter().map(String::len).collect());
                }
                heard
            };
            let (left_out, heard) = tokio::join!(saying, hearing);
            *result = (heard, left_out);
        });
        told
    }

    #[test]
    fn rows_are_measured_as_they_are_encoded() {
        // Six bytes each in JSON: two of these rows are more than a message, let alone more of them.
        let escaped = || "\u{1}".repeat(6_000);
        let (heard, left_out) = arriving(vec![escaped(); 4]);
        assert_eq!((heard, left_out), (vec![vec![6_000]; 4], 0));
        // A text of JSON in JSON: a message of it would be twice as long as the texts.
        let quoted = || "\"".repeat(1_000);
        let (heard, left_out) = arriving(vec![quoted(); 60]);
        assert_eq!((heard.concat(), left_out), (vec![1_000; 60], 0));
        assert!(heard.len() > 2, "{heard:?}");
    }

    #[test]
    fn a_row_that_fits_into_no_message_is_left_out_alone() {
        // Two quotes and a comma.
        let longest = ROW_BYTES_MAX - 3;
        let rows = [1, longest, longest + 1, MESSAGE_BYTES_MAX * 5, 2].map(|bytes| "x".repeat(bytes));
        assert_eq!(arriving(rows.to_vec()), (vec![vec![1], vec![longest], vec![2]], 2));
        let (heard, left_out) = arriving(vec!["\u{1}".repeat(12_000), "y".into()]);
        assert_eq!((heard, left_out), (vec![vec![1]], 1));
        assert_eq!(arriving(Vec::new()), (Vec::new(), 0));
    }

    #[test]
    fn the_end_of_the_other_is_heard_after_its_last_words() {
        between(|holder, heir| async move {
            holder.say(&Message::Retire).await.unwrap();
            drop(holder);
            assert_eq!(heir.hear().await.unwrap().map(|(message, _)| message), Some(Message::Retire));
            assert!(heir.hear().await.unwrap().is_none());
            assert!(heir.say(&Message::Alive { well: true }).await.is_err());
        });
    }

    #[test]
    fn what_is_not_in_the_protocol_is_refused() {
        for text in [&b"{\"say\":\"obey\"}"[..], b"{\"say\":\"listeners\",\"left\":0,\"now\":1}", b"retire"] {
            between(|holder, heir| async move {
                rustix::net::send(&holder.0, text, SendFlags::empty()).unwrap();
                assert!(heir.hear().await.is_err());
            });
        }
        between(|holder, heir| async move {
            rustix::net::send(&holder.0, &vec![b' '; MESSAGE_BYTES_MAX + 1], SendFlags::empty()).unwrap();
            assert!(heir.hear().await.unwrap_err().to_string().contains("too long"));
        });
    }

    #[test]
    fn another_kind_of_descriptor_is_no_link() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        assert!(Link::of(TcpListener::bind("127.0.0.1:0").unwrap().into()).is_err());
        assert!(Link::of(std::fs::File::open("/dev/null").unwrap().into()).is_err());
    }
}
