//! Logs accepted events for which an operator has to change something: the first of each source and fault at once, then one
//! line a minute with the number since.
//!
//! Senders decide how many such events come, so one without a line costs a clock reading and two atomics.

use std::time::{Duration, Instant};

use super::payload::{EventFields, EventKind, NotJson};
use super::refusal_log::{INTERVAL, QUIET};
use super::source::Source;
use crate::log_throttle::LineThrottle;

/// When each line may be logged again.
#[derive(Debug)]
pub(super) struct ContentLog {
    start: Instant,
    /// By source.
    sources: Vec<SourceLines>,
}

#[derive(Debug)]
struct SourceLines {
    name: String,
    /// Of bodies that are not JSON.
    unparsed: LineThrottle,
    /// Of events whose sender may wait for an answer with content, by the event's name.
    answered: Vec<(EventKind<'static>, LineThrottle)>,
}

impl ContentLog {
    pub(super) fn new(sources: &[Source]) -> Self {
        let sources = sources.iter().map(|source| {
            let named = source.authenticator.event_kinds().iter();
            let kinds = named.map(|name| EventKind::Named(name));
            let kinds = kinds.chain([EventKind::Unnamed]);
            let answered = kinds.filter(|kind| expects_content(source, *kind));
            SourceLines {
                name: source.name.clone(),
                unparsed: LineThrottle::default(),
                answered: answered
                    .map(|kind| (kind, LineThrottle::default()))
                    .collect(),
            }
        });
        Self {
            start: Instant::now(),
            sources: sources.collect(),
        }
    }

    /// Logs an event of the source at `index` if it is a genuine body that is not JSON, or a request whose sender waits
    /// for an answer that ringback cannot give, and if the line may be logged.
    pub(super) fn event(&self, index: usize, id: &str, content: &Result<EventFields<'_>, NotJson>) {
        let lines = &self.sources[index];
        let source = &lines.name;
        let kind = EventKind::of(content);
        let permit = |throttle: &LineThrottle| {
            let suppressed = throttle.permit(self.start.elapsed(), INTERVAL)?;
            Some(suppressed + 1)
        };
        if let Err(error) = content {
            if let Some(count) = permit(&lines.unparsed) {
                tracing::warn!(
                    source,
                    id,
                    %error,
                    count,
                    "a signed body is not one JSON document; if it is accepted, it is a dead letter"
                );
            }
            return;
        }
        let is_json = content.as_ref().is_ok_and(|fields| fields.is_json);
        let mut answered = lines.answered.iter().filter(|_| is_json);
        if let Some((_, throttle)) = answered.find(|(answered, _)| *answered == kind)
            && let Some(count) = permit(throttle)
        {
            tracing::warn!(
                source,
                kind = kind.name(),
                id,
                count,
                "the sender may wait for an answer with content to this event, which ringback cannot give; \
                 point the inbound webhook or the custom function at the service that answers"
            );
        }
    }

    /// Logs how many such events came since the last line of each source and fault, once that line's minute is over.
    pub(super) fn log_overdue(&self) {
        self.log_unreported(self.start.elapsed().saturating_sub(QUIET));
    }

    /// Logs how many such events came since the last line of each source and fault: the process ends.
    pub(super) fn log_rest(&self) {
        self.log_unreported(self.start.elapsed() + INTERVAL);
    }

    fn log_unreported(&self, now: Duration) {
        for lines in &self.sources {
            let source = &lines.name;
            if let Some(count) = lines.unparsed.overdue(now, INTERVAL) {
                tracing::warn!(
                    source,
                    count,
                    "more signed bodies were not one JSON document since the last line; those accepted are dead letters"
                );
            }
            for (kind, throttle) in &lines.answered {
                if let Some(count) = throttle.overdue(now, INTERVAL) {
                    tracing::warn!(
                        source,
                        kind = kind.name(),
                        count,
                        "more events came since the last line to which the sender may wait for an answer with content"
                    );
                }
            }
        }
    }
}

/// True if the sender may wait for an answer with content to an event of this kind.
fn expects_content(source: &Source, kind: EventKind<'_>) -> bool {
    match kind {
        // Another sender's events, or names that stand elsewhere, say nothing about that.
        _ if !source.reading.has_sender_s_names() => false,
        EventKind::Named(name) => source.authenticator.expects_content(Some(name)),
        EventKind::Unnamed => source.authenticator.expects_content(None),
        EventKind::Unparsed => false,
    }
}
