//! Verdicts: facts in, a verdict out. Law: never acts.
//!
//! `targets` judges where a client may go, `auth` who it is; `preference` puts a target's addresses in order.

pub mod auth;
pub mod preference;
pub mod targets;
