//! tokio-tungstenite as a peer: a current_thread runtime, `/echo` sends back what comes, `/broadcast` sends each message to
//! all that are connected there. A message is stored once for all; what waits for a connection leaves in one flush.

use futures_util::{SinkExt, StreamExt};
use std::cell::RefCell;
use std::rc::Rc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

type Crowd = Rc<RefCell<Vec<(u64, UnboundedSender<Message>)>>>;

fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("usage: ... PORT");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, serve(port));
}

async fn serve(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    let crowd = Crowd::default();
    let mut next = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        next += 1;
        tokio::task::spawn_local(connection(stream, next, crowd.clone()));
    }
}

async fn connection(stream: TcpStream, number: u64, crowd: Crowd) {
    let _ = stream.set_nodelay(true);
    let mut is_echo = false;
    let path = |request: &Request, response: Response| {
        is_echo = request.uri().path() == "/echo";
        Ok(response)
    };
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, path).await else { return };
    if is_echo {
        let _ = echo(socket).await;
    } else {
        let _ = broadcast(socket, number, &crowd).await;
        crowd.borrow_mut().retain(|(of, _)| *of != number);
    }
}

/// Flushes when no further message has come already: pipelined messages share a write.
async fn echo(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.feed(message).await?;
        }
        while let Some(Some(message)) = now(socket.next()).await {
            let message = message?;
            if message.is_text() || message.is_binary() {
                socket.feed(message).await?;
            }
        }
        socket.flush().await?;
    }
    Ok(())
}

async fn broadcast(socket: WebSocketStream<TcpStream>, number: u64, crowd: &Crowd) -> Result<(), Error> {
    let (sender, mut waiting) = unbounded_channel();
    crowd.borrow_mut().push((number, sender));
    let (mut to, mut from) = socket.split();
    let write = async {
        while let Some(message) = waiting.recv().await {
            to.feed(message).await?;
            while let Ok(message) = waiting.try_recv() {
                to.feed(message).await?;
            }
            to.flush().await?;
        }
        Ok::<(), Error>(())
    };
    let read = async {
        while let Some(message) = from.next().await {
            let message = message?;
            if message.is_text() || message.is_binary() {
                crowd.borrow().iter().for_each(|(_, sender)| _ = sender.send(message.clone()));
            }
        }
        Ok::<(), Error>(())
    };
    tokio::select! { ended = write => ended, ended = read => ended }
}

/// What the future has ready at once.
async fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
