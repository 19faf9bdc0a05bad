//! RFC 6455 and RFC 7692 by the row: what a client sends, and what must be seen of it. The numbers in `conformance` and
//! `utf8` are the Autobahn test suite's. Each row is read at once, in single bytes and in pieces of 2, 3 and 7, and
//! tungstenite's server must agree.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chunking;
mod conformance;
mod deflate;
mod limits;
mod play;
mod rows;
mod utf8;
