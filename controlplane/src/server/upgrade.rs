//! `POST /admin/upgrade`: a hot restart, as SIGUSR2 begins one.

use super::answer::Answer;
use super::asked::Asked;
use super::route::{Route, ServedBy, Waiting, json, ok, said};
use super::state::State;
use crate::guard::Scope;
use crate::handover::desk::Outcome;
use serde_json::json;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the answer may wait for the new process; after that the log tells.
const WAIT_MAX: Duration = Duration::from_secs(8);

pub const ROUTES: &[Route] = &[Route::post(
    "/admin/upgrade",
    Scope::Admin,
    ServedBy::Task(upgrade),
    "Starts a new process, which takes over the listeners; this one drains. One that does not come to serve changes nothing.",
    &[
        ok("Another process serves from now on.", json("Upgrade")),
        said(202, "The new process is still starting; the log will tell.", json("Upgrade")),
    ],
)];

fn upgrade(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move {
        tracing::info!("{} asks for a hot restart", asked.by.name);
        match timeout(WAIT_MAX, state.upgrades.ask()).await {
            Ok(Outcome::HandedOver(process)) => {
                Answer::json(200, &json!({"state": "handed_over", "process": process})).audited(
                    process.map_or("handed over".to_owned(), |pid| format!("handed over to process {pid}")),
                )
            }
            Ok(Outcome::Refused(why)) => {
                Answer::error(409, &format!("no hot restart: {why}"), "try again later")
            }
            Ok(Outcome::Failed(why)) => {
                let detail = format!("the new process {why}; this one goes on serving");
                Answer::error(422, &detail, "the log has what it said")
            }
            Err(_) => Answer::json(202, &json!({"state": "starting", "process": null})),
        }
    })
}
