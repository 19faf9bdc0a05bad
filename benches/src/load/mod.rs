//! The loads, one module each: `run` makes its targets, its connections and its report.

pub mod idle;
pub mod integrity;
pub mod latency;
pub mod rate;
pub mod scrape;
pub mod silent;
pub mod smooth;
pub mod throughput;
pub mod udp;
pub mod wwr;

use crate::report::Report;
use crate::route::Route;

/// What all loads have in common.
#[derive(Clone)]
pub struct Setting {
    pub route: Route,
    /// The port of our own target; 0 takes a free one.
    pub target_port: u16,
    /// The measured server's process, for its CPU time and memory.
    pub server_pid: Option<u32>,
}

impl Setting {
    /// A report that says which load it is of, and over which route.
    #[must_use]
    pub fn report(&self, load: &str) -> Report {
        let mut report = Report::new(load);
        report.text("route", &self.route.describe());
        report
    }
}
