//! Shared parts of the benches: options, load, references, costs of processes, tables and JSON.
//!
//! Each bench starts its own binary again in a role (`--role NAME`) for everything whose cost is measured separately: the
//! servers under test and the load. Figures are medians over rounds, in which ringback and its reference take turns. Quote
//! only their ratios, because the machine's speed drifts.

#![allow(dead_code, reason = "each bench uses a part of it")]

pub mod bodies;
pub mod disk;
pub mod fill;
pub mod floor;
pub mod kafka;
pub mod load;
pub mod measure;
pub mod metrics;
pub mod options;
pub mod pace;
pub mod process;
pub mod report;

/// The key with which the load signs and the servers verify.
pub const KEY: &str = "key_0f5e2a9c41d84b7e9a6b";
/// The path of the load's requests.
pub const PATH: &str = "/webhook";
