//! Many sends by one system call, and the data plane's other unsafe line (docs/decisions/0031).

use io_uring::{IoUring, opcode, types};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sends of one call. More take several.
pub const SENDS_MAX: usize = 64;

/// A ring for sends alone. None is ever under way but within [`Sends::send_all`].
pub struct Sends {
    ring: IoUring,
}

impl Sends {
    /// Errors: the kernel refuses io_uring, or no descriptor is left.
    pub fn new() -> io::Result<Sends> {
        Ok(Sends { ring: IoUring::new(SENDS_MAX as u32)? })
    }

    /// Sends of each as much as its socket takes now, like send(2) with MSG_DONTWAIT and MSG_NOSIGNAL; what that said, in the same order.
    pub fn send_all<'a>(
        &mut self,
        sends: impl Iterator<Item = (BorrowedFd<'a>, &'a [u8])>,
        outcomes: &mut Vec<rustix::io::Result<usize>>,
    ) {
        outcomes.clear();
        let mut queued = 0;
        for (socket, bytes) in sends {
            self.queue(outcomes.len(), socket, bytes);
            outcomes.push(Err(Errno::AGAIN));
            queued += 1;
            if queued == SENDS_MAX {
                self.finish(queued, outcomes);
                queued = 0;
            }
        }
        self.finish(queued, outcomes);
    }

    #[allow(unsafe_code)]
    fn queue(&mut self, index: usize, socket: BorrowedFd<'_>, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let flags = (SendFlags::DONTWAIT | SendFlags::NOSIGNAL).bits().cast_signed();
        let send = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), length).flags(flags);
        let entry = send.build().user_data(index as u64);
        // SAFETY: the kernel reads `bytes` and uses `socket` until the send is completed. `send_all`, which borrows both for longer than its own
        // call, returns only when `finish` has seen the completion of each send that was queued. The ring is private to this module.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        debug_assert!(pushed.is_ok(), "the queue is emptied when it is full");
    }

    /// Submits all that is queued and takes in as many completions. With MSG_DONTWAIT the kernel completes each while it is submitted; should it ever not,
    /// this waits.
    fn finish(&mut self, queued: usize, outcomes: &mut [rustix::io::Result<usize>]) {
        let mut due = queued;
        while due > 0 {
            if let Err(error) = self.ring.submit_and_wait(due)
                && !matches!(Errno::from_io_error(&error), Some(Errno::INTR | Errno::AGAIN | Errno::BUSY))
            {
                // Nobody may touch what the kernel might still read, and there is no way to learn that it does not.
                std::process::abort();
            }
            for completion in self.ring.completion() {
                due -= 1;
                let result = completion.result();
                if let Some(outcome) = outcomes.get_mut(completion.user_data() as usize) {
                    *outcome = match usize::try_from(result) {
                        Ok(count) => Ok(count),
                        Err(_) => Err(Errno::from_raw_os_error(-result)),
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    fn send(sends: &mut Sends, to: &[(&UnixStream, &[u8])]) -> Vec<rustix::io::Result<usize>> {
        let mut outcomes = Vec::new();
        sends.send_all(to.iter().map(|(socket, bytes)| (socket.as_fd(), *bytes)), &mut outcomes);
        outcomes
    }

    /// More than the ring has room for, none, one: each has its own outcome and its own bytes.
    #[test]
    fn each_of_any_number_is_sent_whole_and_once() {
        let mut sends = Sends::new().unwrap();
        for count in [0, 1, SENDS_MAX - 1, SENDS_MAX, SENDS_MAX + 1, 3 * SENDS_MAX + 7] {
            let pairs: Vec<_> = (0..count).map(|_| pair()).collect();
            let texts: Vec<_> = (0..count).map(|number| vec![number as u8; 1 + number]).collect();
            let to: Vec<_> = pairs.iter().zip(&texts).map(|((ours, _), text)| (ours, &text[..])).collect();
            let expected: Vec<_> = texts.iter().map(|text| Ok(text.len())).collect();
            assert_eq!(send(&mut sends, &to), expected);
            for ((ours, mut theirs), text) in pairs.into_iter().zip(texts) {
                drop(ours);
                let mut heard = Vec::new();
                theirs.read_to_end(&mut heard).unwrap();
                assert_eq!(heard, text);
            }
        }
    }

    /// A full socket takes a part, then nothing; a closed one is an error, and no signal; their neighbours do not notice.
    #[test]
    fn a_full_and_a_closed_socket_say_so() {
        let mut sends = Sends::new().unwrap();
        let (full, mut reader) = pair();
        let (closed, gone) = pair();
        let (fine, _other) = pair();
        drop(gone);
        let much = vec![7; 8 << 20];
        let mut taken = 0;
        let last = loop {
            let outcomes = send(&mut sends, &[(&full, &much), (&closed, b"x"), (&fine, b"x")]);
            assert_eq!(outcomes[1..], [Err(Errno::PIPE), Ok(1)]);
            match outcomes[0] {
                Ok(count) => taken += count,
                Err(error) => break error,
            }
        };
        assert_eq!(last, Errno::AGAIN);
        assert!(0 < taken && taken < much.len());
        drop(full);
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), taken);
    }
}
