//! Verdicts: facts in, a verdict out. Law: never acts.
//!
//! `targets` and `acl` judge where a client may go, `preference` in which order a name's addresses are tried, `auth`
//! who it is, `clients` whether its address may come at all, `rate` and `quota` how fast and how much it may move,
//! `allowance` what both leave to one connection, `datagrams` who may use its UDP association, `upstreams` which
//! proxy it goes through.
//!
//! Of the WebSocket gateway: `admission` (who may open a connection, how many may come, how much each may send), with
//! `origin` (whose page), `tokens` and `jwt` (whose token), `online` (which sessions a user has) and `feed` (who may read what ringway says of itself).

pub mod acl;
pub mod admission;
pub mod allowance;
pub mod auth;
pub mod clients;
pub mod datagrams;
pub mod feed;
pub mod jwt;
pub mod online;
pub mod origin;
pub mod preference;
pub mod quota;
pub mod rate;
pub mod recent;
pub mod targets;
pub mod tokens;
pub mod upstreams;
