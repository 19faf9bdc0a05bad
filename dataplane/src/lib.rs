//! The data plane: one thread per core, each with its own io_uring, listeners and connections.
//!
//! The control plane sees one handle, [`Workers`]. In reading order: `worker` (the life of one core),
//! `rt` (the runtime's door), `proto` (bytes to events), `policy` (facts to verdicts), `io` (sockets and clocks).

pub mod io;
pub mod policy;
pub mod proto;
mod workers;

pub use workers::{StartError, WorkerState, Workers, start};
