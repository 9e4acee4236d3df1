//! ringback answers a webhook once its event is synced to disk, and puts it through to Kafka from there.
//!
//! # Layout
//!
//! An event's way is the order of the modules: [`ingest`] (HTTP in) appends to the [`journal`] (disk), from which
//! [`publish`] (Kafka out) reads. The two ends never see each other; they meet only in the journal, so an answer
//! cannot come to depend on Kafka. [`admin`] tells how it goes, [`app`] builds and ends it all, [`command`] is the
//! command line. ARCHITECTURE.md has the map, the floors and the invariants.

#![forbid(unsafe_code)]
#![warn(clippy::pedantic, missing_docs)]
#![allow(
    clippy::module_name_repetitions,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::doc_markdown
)]

pub mod admin;
pub mod app;
pub mod command;
pub mod config;
pub mod event;
pub mod ingest;
pub mod journal;
pub mod log_throttle;
pub mod publish;
pub mod readiness;
pub mod signal;
pub mod telemetry;
pub mod time;
