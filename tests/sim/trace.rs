//! The trace of a history: the simulator's own lines and ringback's log, in one order.
//!
//! It is printed (`SIM_TRACE=1`), kept to compare two runs of a seed, and searched for the branches that a history has
//! reached.

use std::cell::RefCell;
use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::coverage;
use crate::losses;

/// Where the lines of this thread's histories go.
#[derive(Debug, Default)]
pub enum Sink {
    #[default]
    Nowhere,
    Print,
    Keep(String),
}

thread_local! {
    static SINK: RefCell<Sink> = const { RefCell::new(Sink::Nowhere) };
}

/// Sends the lines of this thread there from now on; returns where they went before.
pub fn send_to(sink: Sink) -> Sink {
    SINK.replace(sink)
}

/// The sink that `SIM_TRACE` selects.
pub fn sink_from_environment() -> Sink {
    match std::env::var_os("SIM_TRACE") {
        Some(_) => Sink::Print,
        None => Sink::Nowhere,
    }
}

/// Writes one line to this thread's sink.
pub fn log(words: impl FnOnce() -> String) {
    SINK.with_borrow_mut(|sink| match sink {
        Sink::Nowhere => {}
        Sink::Print => println!("{}", words()),
        Sink::Keep(lines) => {
            lines.push_str(&words());
            lines.push('\n');
        }
    });
}

/// Subscribes to ringback's log.
pub fn subscribe() {
    // Fails only if there is a subscriber already.
    let _ = tracing::subscriber::set_global_default(LogSubscriber);
}

struct LogSubscriber;

impl Subscriber for LogSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        coverage::logged(&line.message);
        losses::logged(&line.message, &line.numbers);
        log(|| {
            let level = event.metadata().level();
            format!("             {level} {}{}", line.message, line.fields)
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    numbers: Vec<(&'static str, u64)>,
    fields: String,
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.numbers.push((field.name(), value));
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, ", {}: {value:?}", field.name())
        };
    }
}
