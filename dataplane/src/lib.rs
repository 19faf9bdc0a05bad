//! The data plane: one thread per core, each with its own io_uring, listeners and connections.
//!
//! The control plane sees one handle, [`Workers`]. In reading order: `workers` (starting them), `worker` (the life
//! of one core), `core` (what its connections share), `service` (what a configuration means to them), `preparation` (how all take over another one, or none), `rt` (the runtime's door), `proto` (bytes to events),
//! `policy` (facts to verdicts), `hub` (publish and subscribe), `io` (sockets and clocks), `board` (the feed's latest), `explain` (policy asked without a connection), `needs` (what all this asks of the host).

mod board;
mod core;
pub mod explain;
pub mod hub;
pub mod io;
mod needs;
pub mod policy;
mod preparation;
pub mod proto;
pub mod rt;
pub mod service;
mod worker;
mod workers;

pub use board::Board;
pub use io::gateway::Arrival;
pub use needs::{Needs, connections_carried, egress_fault};
pub use preparation::Readiness;
pub use rt::probe::{Attempt, Refusal, probe, wanted_entries};
pub use workers::{Busy, ClientFacts, Committed, Plan, Prepared, StartError, WorkerState, Workers, start};
