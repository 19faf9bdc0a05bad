//! What came of a reload, key by key.

use crate::running::Generation;
use crate::server::Addresses;
use ringway_dataplane::Committed;
use ringway_shared::config::{Change, Reload};
use std::net::SocketAddr;

/// What is said of a dry run that would open something.
const NOT_TRIED: &str =
    "a dry run opens nothing: whether listeners, files and source addresses can be had shows at the reload";

/// A key, and an address or path it has.
pub type Place = (&'static str, String);

/// What has changed, or would.
pub struct Outcome {
    /// The one in force now.
    pub generation: u64,
    /// Its ETag.
    pub tag: String,
    pub dry_run: bool,
    pub changed: bool,
    /// In force now, and for new connections.
    pub changes: Vec<Change>,
    /// Configured otherwise than they are in force.
    pub restart_required: Vec<Change>,
    pub opened: Vec<Place>,
    pub closed: Vec<Place>,
    pub notices: Vec<String>,
}

impl Outcome {
    #[must_use]
    pub fn of(
        before: &Generation,
        changed: bool,
        changes: &[Change],
        restart_required: Vec<Change>,
        dry_run: bool,
    ) -> Outcome {
        Outcome {
            generation: before.number,
            tag: before.tag.clone(),
            dry_run,
            changed,
            changes: changes.to_vec(),
            restart_required,
            opened: Vec::new(),
            closed: Vec::new(),
            notices: if dry_run && changed { vec![NOT_TRIED.to_owned()] } else { Vec::new() },
        }
    }

    /// It is in force: where ringway listens now, and what is to be known.
    pub fn take(&mut self, workers: Committed, before: &Addresses, after: &Addresses) {
        let (before, after) = (before.all(), after.all());
        let only = |one: &[Place], other: &[Place]| -> Vec<Place> {
            one.iter().filter(|place| !other.contains(place)).cloned().collect()
        };
        let shown = |places: Vec<(&'static str, SocketAddr)>| -> Vec<Place> {
            places.into_iter().map(|(key, address)| (key, address.to_string())).collect()
        };
        self.opened = [shown(workers.opened), only(&after, &before)].concat();
        self.closed = [shown(workers.closed), only(&before, &after)].concat();
        self.notices.extend(workers.notices);
    }

    #[must_use]
    pub fn listens_elsewhere(&self) -> bool {
        !self.opened.is_empty() || !self.closed.is_empty()
    }

    /// What is in force for everybody, listeners among it.
    pub fn applied(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.key.reload != Reload::NewConnections)
    }

    /// What holds for connections that come after.
    pub fn for_new_connections(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.key.reload == Reload::NewConnections)
    }
}
