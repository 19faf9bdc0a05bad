//! What this process was given by the one that started it.

use super::link::{Gathering, Link, Received};
use super::{BY_STDIN, Message, VARIABLE, VERSION};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::time::timeout;

/// How long the holder may take to say all it has to say at first.
const GREETING_MAX: Duration = Duration::from_secs(10);

/// The holder, and the listeners it gave.
pub struct Inheritance {
    pub link: Link,
    /// The holder stays: it is told of changes and of life.
    pub keeps: bool,
    pub listeners: Vec<OwnedFd>,
}

/// Takes over what there is to take over: nothing, if nobody hands over to this process. The error is for the operator.
pub async fn receive() -> Result<Option<Inheritance>, String> {
    let Some(value) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let explain = |why: &dyn std::fmt::Display| {
        format!("cannot take over from the process that started this one: {why}")
    };
    if value != BY_STDIN {
        return Err(explain(&format!(
            "{VARIABLE} is not {BY_STDIN:?}; it is set by ringway itself, for its children"
        )));
    }
    let remedy = format!("{VARIABLE} is set, and standard input is not what ringway gives its children");
    let link = own_link().map_err(|error| explain(&format!("{error}; {remedy}")))?;
    match timeout(GREETING_MAX, greeting(link)).await {
        Ok(heard) => heard.map(Some).map_err(|error| explain(&error)),
        Err(_) => Err(explain(&"it says nothing")),
    }
}

/// The link, taken off standard input, so that the other end is told of our end alone by closing ours.
fn own_link() -> io::Result<Link> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    let link = Link::of(stdin)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(link)
}

async fn greeting(link: Link) -> io::Result<Inheritance> {
    let gone = || io::Error::other("it has gone");
    let (message, _) = link.hear().await?.ok_or_else(gone)?;
    let keeps = match message {
        Message::Welcome { version: VERSION, keeps } => keeps,
        Message::Welcome { version, .. } => {
            let why = format!(
                "it speaks version {version} of the handover, this build version {VERSION}: stop it and start this one"
            );
            return Err(io::Error::other(why));
        }
        other => return Err(io::Error::other(format!("it does not begin by a welcome, but by {other:?}"))),
    };
    let mut gathering = Gathering::default();
    loop {
        let (message, part): Received = link.hear().await?.ok_or_else(gone)?;
        let Message::Listeners { left } = message else { continue };
        if let Some(listeners) = gathering.take(left, part)? {
            return Ok(Inheritance { link, keeps, listeners });
        }
    }
}
