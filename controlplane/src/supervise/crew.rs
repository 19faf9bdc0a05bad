//! The processes there are, and what each is for.

use super::{Heard, Word};
use crate::handover::child::Heir;
use crate::handover::link::Gathering;
use rustix::process::Signal;
use std::os::fd::OwnedFd;
use std::time::Instant;
use tokio::sync::mpsc::Sender;
use tokio::task::spawn_local;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It serves, or is started to.
    Serving,
    /// It is to take over from the one that serves, once it could.
    Coming,
    /// It has handed over, and drains.
    Going,
}

/// One process.
pub struct Member {
    id: u64,
    pub heir: Heir,
    pub role: Role,
    pub since: Instant,
    /// It could serve.
    pub ready: bool,
    /// Signals that it gets then.
    pub owed: Vec<Signal>,
    /// It was told to retire, and its successor waits for its turn.
    pub handing_over: bool,
    /// When it said something last, and whether its workers lived then.
    pub heard: Instant,
    pub well: bool,
    /// It hung, and was killed; that it hangs up is heard soon.
    pub killed: bool,
    pub gathering: Gathering,
    /// Its listeners, as it told last; taken once they are kept.
    pub listeners: Option<Vec<OwnedFd>>,
}

/// All of them: at most one serves, and at most one is coming.
#[derive(Default)]
pub struct Crew {
    members: Vec<Member>,
    started: u64,
}

impl Crew {
    /// Takes a process in. What it says goes to `words`.
    pub fn add(&mut self, heir: Heir, role: Role, words: &Sender<Heard>) {
        self.started += 1;
        let (id, link, words) = (self.started, heir.link.clone(), words.clone());
        spawn_local(async move {
            loop {
                let word = match link.hear().await {
                    Ok(Some(received)) => Word::Said(received),
                    // The message was at fault, or had more descriptors than there was room for: the process lives.
                    Err(fault) if fault.raw_os_error().is_none() => Word::Garbled(fault),
                    Ok(None) | Err(_) => Word::HungUp,
                };
                let is_last = matches!(word, Word::HungUp);
                if words.send((id, word)).await.is_err() || is_last {
                    return;
                }
            }
        });
        let now = Instant::now();
        self.members.push(Member {
            id,
            heir,
            role,
            since: now,
            ready: false,
            owed: Vec::new(),
            handing_over: false,
            heard: now,
            well: false,
            killed: false,
            gathering: Gathering::default(),
            listeners: None,
        });
    }

    pub fn get(&mut self, id: u64) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    pub fn of(&mut self, role: Role) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.role == role)
    }

    pub fn of_all(&mut self, role: Role) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut().filter(move |member| member.role == role)
    }

    pub fn all(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    #[must_use]
    pub fn is_handing_over(&self) -> bool {
        self.members.iter().any(|member| member.handing_over)
    }

    /// This one serves from now on. Whoever did before, and now goes.
    pub fn succeed(&mut self, id: u64) -> Option<&mut Member> {
        let coming = self.get(id).is_some_and(|member| member.role == Role::Coming);
        if !coming {
            return None;
        }
        if let Some(before) = self.of(Role::Serving) {
            before.role = Role::Going;
            let before = before.id;
            self.promote();
            return self.get(before);
        }
        self.promote();
        None
    }

    /// The one that is coming serves from now on, if there is one.
    pub fn promote(&mut self) -> bool {
        let coming = self.of(Role::Coming);
        coming.map(|member| member.role = Role::Serving).is_some()
    }

    pub fn remove(&mut self, id: u64) -> Option<Member> {
        let index = self.members.iter().position(|member| member.id == id)?;
        Some(self.members.swap_remove(index))
    }

    /// Kills those of this role.
    pub fn dismiss(&mut self, role: Role) {
        self.members.retain(|member| member.role != role);
    }

    /// Sends all of them a signal: those that are not ready once they are, for before they catch it, it would end them.
    pub fn signal(&mut self, signal: Signal) {
        for member in &mut self.members {
            if member.ready {
                member.heir.signal(signal);
            } else if !member.owed.contains(&signal) {
                member.owed.push(signal);
            }
        }
    }
}
