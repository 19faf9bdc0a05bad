//! The binary `ringway`: starts the workers, watches them, answers for them, and stops them.
//!
//! In reading order: `cli` (what was asked), `settings`, `running` and `reload` (the configuration), `life` (from start to end), `logs`,
//! `access`, `audit`, `lines`, `log_file` and `logins` (what is written), `signals`, `observe` and `system` (facts go up), `quotas` (kept over a restart), `history` (what was, minute by minute), `certificates` and `jwks` (renewed while running), `fetch` (asking other servers), `export` (to Prometheus), `feed` (live), `alerts` (what is watched, and who is told), `server` (the control port), `guard` and `throttle` (who may do what there), `ctl` (its client).
//! `doctor` looks at the host before any of this, `manual` prints what shells and man(1) want to know.

mod access;
mod acl_test;
mod alerts;
mod allocator;
mod audit;
mod calendar;
mod catalogue_docs;
mod certificates;
mod cli;
mod ctl;
mod doctor;
mod exit;
mod export;
mod feed;
mod fetch;
mod guard;
mod handover;
mod history;
mod http_facts;
mod jwks;
mod life;
mod lines;
mod log_file;
mod logins;
mod logs;
mod manual;
mod observe;
mod passwd;
mod port;
mod quotas;
mod reload;
mod rest;
mod running;
mod server;
mod settings;
mod signals;
mod supervise;
mod system;
mod systemd;
mod throttle;
mod token;
mod top;
mod vigil;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = cli::arguments();
    match cli::answer(&arguments) {
        Some(code) => code.into(),
        None if matches!(arguments.task, Some(cli::Task::Supervise)) => supervise::run(&arguments.settings),
        None => life::run(&arguments.settings).into(),
    }
}
