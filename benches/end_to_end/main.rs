//! From request to Kafka: the release binary with a real Kafka, beside a bare hyper server and a raw write-and-sync loop.
//!
//! ```text
//! cargo bench --bench end_to_end                          everything; some minutes
//! cargo bench --bench end_to_end -- --short               at most load and at 1,000 events/s, a minute
//! cargo bench --bench end_to_end -- --only load,idle     also sizes, memory
//! RINGBACK_BINARY=target/release/ringback cargo bench --bench end_to_end      another build of the relay
//! ```
//!
//! Kafka runs on the same cores, with its data in memory. Without Java and Maven, librdkafka's mock stands in.

mod at_rest;
mod loaded;
#[path = "../support/mod.rs"]
mod support;

use std::io;

use support::options::{self, Options};
use support::report::Report;
use support::{floor, load, process};

fn main() -> io::Result<()> {
    match options::role() {
        Some((role, _)) if role == "floor" => {
            process::end_with_the_parent();
            return floor::run();
        }
        Some((_, parameters)) => return load::run(&parameters),
        None => {}
    }
    let options = Options::read();
    let mut report = Report::new("end_to_end");
    let kafka = support::kafka::Kafka::start();
    if options.wants("load") {
        loaded::at_most_and_at_a_rate(&options, &kafka, &mut report);
    }
    if options.wants("sizes") && !options.short {
        loaded::sizes(&options, &kafka, &mut report);
    }
    if options.wants("idle") {
        at_rest::idle(&options, &kafka, &mut report);
    }
    if options.wants("memory") && !options.short {
        at_rest::outage(&options, &mut report);
    }
    drop(kafka);
    report.finish(&options);
    Ok(())
}
