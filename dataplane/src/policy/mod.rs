//! Verdicts: facts in, a verdict out. Law: never acts.
//!
//! `targets` judges where a client may go, `preference` in which order its addresses are tried, `auth` who it is,
//! `datagrams` who may use its UDP association.

pub mod auth;
pub mod datagrams;
pub mod preference;
pub mod recent;
pub mod targets;
