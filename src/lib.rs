//! ringback answers a webhook once its event is synced to disk, and delivers the event to Kafka from there.
//!
//! # Layout
//!
//! An event passes the modules in this order: [`ingest`] receives it over HTTP and appends it to the [`journal`] on disk,
//! from which [`publish`] sends it to Kafka. Ingest and publish share only the journal, so that an answer cannot depend on
//! Kafka. The module `admin` serves probes and metrics, `app` starts and stops everything, and [`command`] is the command
//! line. ARCHITECTURE.md has the map, the floors and the invariants.

#![forbid(unsafe_code)]
#![warn(clippy::pedantic, missing_docs)]
#![allow(
    clippy::module_name_repetitions,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::doc_markdown
)]

#[doc(hidden)]
pub mod admin;
mod app;
pub mod command;
pub mod config;
pub mod event;
pub mod ingest;
pub mod journal;
pub mod log_throttle;
mod outage;
pub mod publish;
pub mod readiness;
pub mod secret;
pub mod settings;
mod signal;
pub mod telemetry;
pub mod time;
mod web;
pub mod words;
