//! A stream whose other end must take what is written to it, sooner or later.
//!
//! TCP has a time-out of its own for that (TCP_USER_TIMEOUT), a Unix socket has none: whoever asks and never reads would hold a
//! seat for as long as they like.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Fails a write that has waited for `most`.
pub struct Patient<S> {
    stream: S,
    most: Duration,
    /// Runs while a write waits.
    over: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub fn new(stream: S, most: Duration) -> Self {
        Patient { stream, most, over: None }
    }

    /// The stream; `None`: a write waits, and what was to be written is lost with whoever buffered it.
    pub fn into_inner(self) -> Option<S> {
        self.over.is_none().then_some(self.stream)
    }

    /// Whether `outcome` has been waited for too long.
    fn judge<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.over = None;
            return outcome;
        }
        let most = self.most;
        let over = self.over.get_or_insert_with(|| Box::pin(sleep(most)));
        ready!(over.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::net::UnixStream;

    const MOST: Duration = Duration::from_millis(200);

    /// Writes without end; returns the error that ended it.
    async fn write_on(stream: UnixStream) -> io::Error {
        let mut stream = Patient::new(stream, MOST);
        loop {
            if let Err(error) = poll_fn(|context| Pin::new(&mut stream).poll_write(context, &[0; 4096])).await
            {
                return error;
            }
        }
    }

    #[tokio::test]
    async fn who_never_reads_is_given_up_and_who_reads_slowly_is_not() {
        let (silent, _held) = UnixStream::pair().unwrap();
        assert_eq!(write_on(silent).await.kind(), io::ErrorKind::TimedOut);
        let (slow, reader) = UnixStream::pair().unwrap();
        let reading = async move {
            for _ in 0..10 {
                sleep(MOST / 4).await;
                // Whatever has gathered: each time there is room again.
                while reader.try_read(&mut [0; 65_536]).is_ok_and(|read| read > 0) {}
            }
        };
        let (ended, ()) = tokio::join!(write_on(slow), reading);
        assert_eq!(ended.kind(), io::ErrorKind::BrokenPipe, "it lasts as long as there is a reader");
    }
}
