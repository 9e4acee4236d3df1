//! What the benches share: options, load, references, what a process costs, tables and JSON.
//!
//! Each bench is its own parent process and starts itself again under a role (`--role NAME`) for everything whose cost is
//! to be told apart: the servers under test and the load. A bench's figures are medians over rounds, in which the thing and
//! its reference take turns, and only their ratios are worth quoting: the machine's speed drifts.

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

/// The key by which the load signs and the servers verify.
pub const KEY: &str = "key_0f5e2a9c41d84b7e9a6b";
/// The path that the load posts to.
pub const PATH: &str = "/webhook";
