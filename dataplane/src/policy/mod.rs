//! Verdicts: facts in, a verdict out. Law: never acts.
//!
//! `targets` judges where a client may go, `auth` who it is.

pub mod auth;
pub mod targets;
