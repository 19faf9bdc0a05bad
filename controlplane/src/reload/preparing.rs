//! What the control plane itself keeps open for a configuration: its listeners, its log files, the quotas, the certificates it
//! watches.

use crate::access::Access;
use crate::audit::{Change, Journal, Outcome};
use crate::certificates::{CertificateFacts, Certificates};
use crate::logs::Queue;
use crate::quotas::Quotas;
use crate::server::{Ports, Prepared};
use ringway_dataplane::Workers;
use ringway_shared::config::{Config, Log};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

/// What there is of it. Others use it too.
pub struct Household {
    pub access: Rc<RefCell<Access>>,
    pub journal: Rc<Journal>,
    pub quotas: Rc<RefCell<Quotas>>,
    pub certificates: Rc<RefCell<Certificates>>,
    pub certificate_facts: Rc<Cell<CertificateFacts>>,
    pub ports: Rc<Ports>,
    pub log: Queue,
}

/// What takes its place, opened and not yet in use. Dropped, nothing has changed.
pub struct Preparing {
    /// `None`: it stays.
    access: Option<Access>,
    /// `None`: it stays.
    journal: Option<Journal>,
    /// Where the audit log goes on, if elsewhere.
    audit_moves: Option<String>,
    ports: Prepared,
}

impl Preparing {
    /// Opens whatever may refuse. The error: the key, if the text does not name it first, and why it cannot be had.
    pub fn begin(
        household: &Household,
        before: &Config,
        after: &Config,
    ) -> Result<Preparing, (&'static str, String)> {
        let ports = household.ports.prepare(&after.control).map_err(|why| ("", why))?;
        let access = if is_same(&before.log, &after.log) {
            None
        } else {
            let opened = Access::open(&after.log, household.log.clone());
            Some(opened.map_err(|why| ("log.access", why))?)
        };
        let journal = if has_same_journal(&before.log, &after.log) {
            None
        } else {
            // What it cannot open it names itself.
            Some(Journal::open(&after.log, &household.log).map_err(|why| ("log.audit", why))?)
        };
        household.quotas.borrow_mut().prepare(after).map_err(|why| ("socks5.quota_file", why))?;
        let audit_moves = (before.log.audit != after.log.audit).then(|| after.log.audit.to_string());
        Ok(Preparing { access, journal, audit_moves, ports })
    }

    /// Where the control port will be reached by TCP.
    #[must_use]
    pub fn control_addresses(&self, household: &Household) -> Vec<SocketAddr> {
        household.ports.addresses_after(&self.ports).tcp()
    }

    /// Takes it into use, as `by` wants it. The workers serve under the configuration already.
    pub fn commit(self, by: &str, config: &Config, household: &Household, workers: &Workers) {
        if let Some(access) = self.access {
            household.access.replace(access).flush();
        }
        if let Some(journal) = self.journal {
            // The request's own line goes to the new one: where the log was read so far nobody would see who ended it.
            if let Some(place) = &self.audit_moves {
                household.journal.change(&Change {
                    action: Some("log.audit"),
                    difference: Some(&format!("goes on in {place}")),
                    ..Change::inside(by, Outcome::Done)
                });
            }
            household.journal.replace(journal);
        }
        household.ports.commit(self.ports);
        // An earlier generation's texts may be older than what was shown since: certificates follow their files.
        let mut certificates = household.certificates.borrow_mut();
        certificates.follow(config, workers, |shown| household.ports.renew_certificates(shown));
        household.certificate_facts.set(certificates.facts());
    }
}

fn is_same(before: &Log, after: &Log) -> bool {
    (&before.access, before.access_format) == (&after.access, after.access_format)
}

fn has_same_journal(before: &Log, after: &Log) -> bool {
    let of = |log: &Log| (log.audit.clone(), log.control.clone(), log.access_format);
    of(before) == of(after)
}
