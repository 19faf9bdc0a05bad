//! A hot restart as the old process lives it: start the heir, wait until it could serve, hand over.

use super::child::{Heir, Recipe, told};
use super::link::Link;
use super::{Count, Message};
use crate::history::Bequest;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How often the heir is told what connections that drain have moved.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// How long the heir may leave what it is told unread.
const TELLING_MAX: Duration = Duration::from_secs(5);

/// Starts the heir and waits until it could serve. The error says what became of it; then it is gone.
pub async fn start(
    recipe: Recipe,
    keeps: bool,
    listeners: Vec<OwnedFd>,
    patience: Duration,
) -> Result<Heir, String> {
    let sockets: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
    let mut heir = Heir::start(&recipe, keeps, &sockets)
        .await
        .map_err(|error| format!("cannot be started from {}: {error}", recipe.program.display()))?;
    tracing::info!("started process {} to take over", heir.pid());
    match timeout(patience, ready(&heir.link)).await {
        Ok(Ok(())) => Ok(heir),
        Ok(Err(None)) => Err(heir.hung_up().await),
        Ok(Err(Some(error))) => {
            heir.kill();
            Err(format!("said what is not understood ({error}), and was killed"))
        }
        Err(_) => {
            heir.kill();
            Err(format!("could not serve within {patience:?} (workers.ready_within), and was killed"))
        }
    }
}

async fn ready(link: &Link) -> Result<(), Option<io::Error>> {
    loop {
        match link.hear().await {
            Ok(Some((Message::Ready, _))) => return Ok(()),
            // Its listeners are ours as well.
            Ok(Some(_)) => {}
            Ok(None) => return Err(None),
            Err(error) => return Err(Some(error)),
        }
    }
}

/// What has been counted since it was last told.
#[derive(Default)]
pub struct News {
    pub counters: Vec<(String, Count)>,
    /// Bytes of quotas, by user.
    pub quotas: Vec<(String, u64)>,
    /// Since the file of the history was let go of.
    pub history: Vec<Bequest>,
    /// What is left of alerts: the first time alone.
    pub alerts: Vec<(String, ())>,
}

/// Who takes over: our own child, or somebody whom the supervisor started and passes it all on to.
pub enum Successor {
    Child(Heir),
    Unknown(Link),
}

impl Successor {
    fn link(&self) -> &Link {
        match self {
            Successor::Child(heir) => &heir.link,
            Successor::Unknown(link) => link,
        }
    }

    async fn tell(&self, news: News) -> io::Result<()> {
        let link = self.link();
        link.say_rows(&news.counters, |rows| Message::Counters { rows }).await?;
        link.say_rows(&news.quotas, |used| Message::Quotas { used }).await?;
        link.say_rows(&news.history, |rows| Message::History { rows }).await?;
        link.say_rows(&news.alerts, |rows| Message::Alerts { rows }).await
    }
}

/// Hands over. `closed`: nobody is answered at the control port any more, so that what is told then can only grow
/// where it is published next. Ends with the last news, which are told when `last` asks for them.
pub async fn hand_over(
    mut successor: Successor,
    closed: impl Future<Output = ()>,
    mut news: impl FnMut() -> News,
    last: Rc<Notify>,
) {
    if let Successor::Child(heir) = &mut successor {
        heir.release();
    }
    closed.await;
    let begin = async {
        successor.tell(news()).await?;
        successor.link().say(&Message::YourTurn).await
    };
    let mut heard = matches!(timeout(TELLING_MAX, begin).await, Ok(Ok(())));
    let mut is_last = false;
    while heard && !is_last {
        is_last = tokio::select! {
            () = sleep(TOLD_EVERY) => false,
            () = last.notified() => true,
        };
        heard = matches!(timeout(TELLING_MAX, successor.tell(news())).await, Ok(Ok(())));
    }
    if let (false, Successor::Child(heir)) = (heard, &mut successor) {
        let status = heir.ended();
        // It may have handed over in its turn.
        if !status.is_some_and(|status| status.success()) {
            let became = status.map_or("does not listen".into(), told);
            tracing::error!(
                "process {} took over and {became}: if nothing serves now, start ringway anew",
                heir.pid()
            );
        }
    }
}
