//! Who hangs is killed: nobody can ask it to stop.

use super::Supervisor;
use super::crew::Role;
use std::time::{Duration, Instant};

/// A process that serves and has said nothing for so long hangs, or its control plane does.
const SILENCE_MAX: Duration = Duration::from_secs(30);

impl Supervisor {
    /// Deadlines, and the service manager's watchdog.
    pub(super) fn look_after(&mut self) {
        let now = Instant::now();
        self.vigil.round(now);
        let well = self.crew.of(Role::Serving).is_some_and(|member| member.ready && member.well);
        // While none serves one is started, which is well enough; a process that cannot start is not restarted faster by
        // restarting its supervisor.
        self.manager.watch(well || self.restart_at.is_some(), now);
        let within = self.ready_within;
        for member in self.crew.all().filter(|member| !member.killed) {
            // One that is not ready says nothing, whatever it is for: also one that is to replace a crashed one.
            let silent = self.vigil.silence(member.heard);
            let starting = self.vigil.silence(member.since);
            let why = if member.ready && silent > SILENCE_MAX {
                format!("has said nothing for {silent:?}")
            } else if !member.ready && starting > within {
                format!("could not serve within {within:?} (workers.ready_within)")
            } else {
                continue;
            };
            tracing::error!("process {} {why}: killing it", member.heir.pid());
            member.heir.kill();
            member.killed = true;
        }
    }
}
