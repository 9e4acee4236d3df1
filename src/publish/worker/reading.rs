//! What the worker reports about the journal: whether it can be read, and what of it is lost.

use std::time::Duration;

use super::{RETRY, Worker};
use crate::journal::{CORRUPT_RUNBOOK, Losses, ReadError, UNREADABLE_RUNBOOK};
use crate::publish::env::Env;
use crate::readiness::{Check, CheckLine};
use crate::words::count;

/// The check `journal-read`: a line for the present, and one for each kind of loss since the start.
pub(super) struct Reading {
    check: Check,
    /// Why the journal cannot be read at present.
    failure: Option<String>,
    /// As the check shows them.
    losses: Losses,
}

impl Reading {
    pub(super) fn new(check: Check) -> Self {
        Self {
            check,
            failure: None,
            losses: Losses::default(),
        }
    }

    fn set_failure(&mut self, failure: Option<String>) {
        self.failure = failure;
        self.show();
    }

    pub(super) fn set_losses(&mut self, losses: Losses) {
        if self.losses != losses {
            self.losses = losses;
            self.show();
        }
    }

    fn show(&self) {
        let now = CheckLine {
            is_failing: self.failure.is_some(),
            message: self.failure.clone().unwrap_or_else(|| String::from("ok")),
        };
        let Losses {
            corrupt,
            unreadable,
        } = self.losses;
        let corrupt = (corrupt > 0).then(|| {
            format!(
                "{} lost to damage on disk since the start; what is left: quarantine-* in journal.path; what to do: {CORRUPT_RUNBOOK}",
                count(corrupt, "event")
            )
        });
        let unreadable = (unreadable > 0).then(|| {
            format!(
                "{} passed over since the start, because the disk could not read them; kept: unreadable-* in journal.path; what to do: {UNREADABLE_RUNBOOK}",
                count(unreadable, "event")
            )
        });
        let lost = corrupt.into_iter().chain(unreadable);
        let lost = lost.map(|message| CheckLine {
            is_failing: true,
            message,
        });
        self.check.set(std::iter::once(now).chain(lost).collect());
    }
}

impl<E: Env> Worker<E> {
    /// Reports that the journal cannot be read and that publishing waits, and sets when the worker reads again.
    pub(super) fn mark_unreadable(&mut self, error: &ReadError) {
        let now = self.env.now();
        let (since, retry_at) = match error {
            ReadError::Unreadable {
                since, retry_at, ..
            } => (*since, *retry_at),
            ReadError::Io { .. } => (now, now + RETRY),
        };
        self.read_again = Some(retry_at);
        let waited = Duration::from_secs(now.duration_since(since).as_secs());
        let waited = humantime::format_duration(waited);
        let error = crate::telemetry::chain(error);
        self.reading
            .set_failure(Some(format!("{error}, for {waited}; publishing waits")));
        if let Some(permit) = self.throttle.permit("read") {
            tracing::error!(error, %waited, suppressed = permit.suppressed(), "cannot read the journal: publishing waits and tries again");
        }
    }

    pub(super) fn mark_readable(&mut self) {
        if self.read_again.take().is_some() {
            self.reading.set_failure(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::read_failure;
    use crate::readiness::{CheckKind, Readiness};

    #[test]
    fn what_is_lost_is_said_until_the_end_beside_what_cannot_be_read_at_present() {
        let readiness = Readiness::new();
        let check = readiness.check("journal-read", CheckKind::Informational, "");
        let mut reading = Reading::new(check);
        reading.set_failure(Some(String::from("cannot read a.segment at 0")));
        let failure = || read_failure(&readiness);
        assert_eq!(failure().as_deref(), Some("cannot read a.segment at 0"));
        reading.set_losses(Losses {
            corrupt: 1_024,
            unreadable: 2,
        });
        reading.set_failure(None);
        assert_eq!(failure(), None);
        assert!(readiness.is_ready());
        assert_eq!(
            readiness.verbose(),
            "[+]journal-read ok\n\
             [!]journal-read 1,024 events lost to damage on disk since the start; what is left: quarantine-* in journal.path; \
             what to do: RingbackEventsLostToDamage in docs/runbook.md\n\
             [!]journal-read 2 events passed over since the start, because the disk could not read them; kept: unreadable-* in \
             journal.path; what to do: RingbackEventsUnreadable in docs/runbook.md\n"
        );
    }
}
