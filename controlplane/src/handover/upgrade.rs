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
/// How long it may leave alerts unread: without them it can do.
const ALERTS_MAX: Duration = Duration::from_secs(2);

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
    pub alerts: Vec<String>,
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

    /// Tells what has been counted, then what is left of alerts.
    async fn tell(&self, news: News) -> io::Result<()> {
        let News { counters, quotas, history, alerts } = news;
        let link = self.link();
        let counts = async {
            link.say_rows("counters", counters, |rows| Message::Counters { rows }).await?;
            link.say_rows("quotas", quotas, |used| Message::Quotas { used }).await?;
            link.say_rows("history", history, |rows| Message::History { rows }).await
        };
        timeout(TELLING_MAX, counts).await??;
        let alerts = link.say_rows("alerts", alerts, |rows| Message::Alerts { rows });
        // What comes after them matters more than they do.
        match timeout(ALERTS_MAX, alerts).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!("not all alerts and silences are handed over: {error}"),
            Err(_) => tracing::warn!("not all alerts and silences are handed over: they are not read"),
        }
        Ok(())
    }

    async fn give_way(&self) -> io::Result<()> {
        timeout(TELLING_MAX, self.link().say(&Message::YourTurn)).await?
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
    let mut heard = successor.tell(news()).await.is_ok() && successor.give_way().await.is_ok();
    let mut is_last = false;
    while heard && !is_last {
        is_last = tokio::select! {
            () = sleep(TOLD_EVERY) => false,
            () = last.notified() => true,
        };
        heard = successor.tell(news()).await.is_ok();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_that_cannot_be_told_cost_nothing_else() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let heard = runtime.block_on(async {
            let (ours, theirs) = Link::pair().unwrap();
            let heir = Link::of(theirs).unwrap();
            let mut alerts = Some(vec!["one".to_owned(), "\u{1}".repeat(57_000), "two".to_owned()]);
            let news = move || News {
                counters: vec![("counted".to_owned(), Count::Whole(1))],
                alerts: alerts.take().unwrap_or_default(),
                ..News::default()
            };
            let last = Rc::new(Notify::new());
            last.notify_one();
            let saying = hand_over(Successor::Unknown(ours), async {}, news, last);
            let hearing = async {
                let mut heard = Vec::new();
                while let Some((message, _)) = heir.hear().await.unwrap() {
                    heard.push(message);
                }
                heard
            };
            tokio::join!(saying, hearing).1
        });
        let counters = Message::Counters { rows: vec![("counted".to_owned(), Count::Whole(1))] };
        let alerts = Message::Alerts { rows: vec!["one".to_owned(), "two".to_owned()] };
        assert_eq!(heard, [counters.clone(), alerts, Message::YourTurn, counters]);
    }
}
