//! The control port from its opening to its last answer.

use crate::server::{self, State};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

/// How long control requests in flight may take to be answered at the end.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// All control listeners, being served.
pub struct Ports {
    stop: watch::Sender<bool>,
    served: Vec<JoinHandle<()>>,
}

impl Ports {
    /// Serves them.
    #[must_use]
    pub fn open(listeners: Vec<TcpListener>, state: &Rc<State>) -> Ports {
        let (stop, stopped) = watch::channel(false);
        let serve = |listener| spawn_local(server::serve(listener, state.clone(), stopped.clone()));
        Ports { stop, served: listeners.into_iter().map(serve).collect() }
    }

    /// Accepts nobody any more, and waits until who was accepted is answered.
    pub async fn close(self) {
        let _ = self.stop.send(true);
        let answered = async {
            for port in self.served {
                let _ = port.await;
            }
        };
        let _ = timeout(ANSWER_PATIENCE, answered).await;
    }
}
