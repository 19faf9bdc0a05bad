//! Verdicts: facts in, a verdict out. Law: never acts.
//!
//! `targets` judges where a client may go, `preference` in which order its addresses are tried, `auth` who it is.

pub mod auth;
pub mod preference;
pub mod targets;
