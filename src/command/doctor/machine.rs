//! What the disk and the limits of the process mean for the relay.

use std::time::Duration;

use super::super::render::{count, grouped, size};
use super::finding::{Id, Level, Report};
use crate::app::fd_limit::connections_within;
use crate::journal::Config;
use crate::journal::probe::{Probe, ProbeError};
use crate::telemetry::chain;

/// The objective of docs/runbook.md for acknowledgements is 250 ms; a commit may wait for one sync before its own.
const SLOW_SYNC: Duration = Duration::from_millis(100);

/// What the configuration asks of the disk.
pub struct Disk<'a> {
    pub journal: &'a Config,
    /// In bytes.
    pub max_body: u64,
    pub commit_timeout: Duration,
}

/// The journal's folder, its file system, its room and its syncs.
pub fn disk(report: &mut Report, wanted: &Disk<'_>, probe: &Result<Probe, ProbeError>) {
    let journal = wanted.journal.path.display();
    let probe = match probe {
        Ok(probe) => probe,
        Err(error) => {
            report.add(
                Level::Error,
                Id::JournalUnusable,
                format!("no journal can be kept in {journal}: {}", chain(error)),
                "`serve` does not start without a journal that it can write",
                "create the folder on a disk with room and give it to the user that runs ringback, or set journal.path to another",
            );
            return;
        }
    };
    match &probe.risk {
        Some(risk) => report.add(
            Level::Warning,
            Id::JournalFileSystem,
            risk.what.clone(),
            risk.why,
            risk.remedy,
        ),
        None if probe.exists => {
            report.fine(format!("the journal's folder {journal} can be written"));
        }
        None => report.fine(format!(
            "the journal's folder {journal} can be created in {}",
            probe.folder.display()
        )),
    }
    room(report, wanted, probe);
    syncs(report, wanted, probe);
}

fn room(report: &mut Report, wanted: &Disk<'_>, probe: &Probe) {
    let configured = wanted.journal.budget.as_u64();
    let segment = wanted.journal.segment_size.as_u64();
    let available = probe.space.free.saturating_add(probe.own);
    let needed = configured.saturating_add(3 * segment);
    let budget = probe.budget(wanted.journal);
    if available < segment.max(wanted.max_body) {
        report.add(
            Level::Error,
            Id::DiskFull,
            format!("the journal's disk has {} left", size(available)),
            "webhooks are answered 503 as long as not even one segment fits",
            format!(
                "free or add room: journal.budget and three segments need {}",
                size(needed)
            ),
        );
    } else if available < needed {
        report.add(
            Level::Warning,
            Id::DiskSmallerThanBudget,
            format!(
                "the journal's disk has room for {}, and journal.budget is {}",
                size(available),
                size(configured)
            ),
            format!(
                "the journal refuses events with 503 once it holds {}, sooner in an outage than the configuration says",
                size(budget)
            ),
            format!(
                "give it a disk with {} free (the budget and three segments), or lower journal.budget",
                size(needed)
            ),
        );
    } else {
        report.fine(format!(
            "the disk has room for journal.budget, {}",
            size(configured)
        ));
    }
}

fn syncs(report: &mut Report, wanted: &Disk<'_>, probe: &Probe) {
    let (median, longest) = (probe.median_sync(), probe.longest_sync());
    let measured = format!(
        "a sync takes {} in the median and {} at the longest of {}",
        milliseconds(median),
        milliseconds(longest),
        probe.syncs.len()
    );
    let why = "each answer 204 waits for a sync, and may wait for the one before it";
    if median >= wanted.commit_timeout / 2 {
        report.add(
            Level::Error,
            Id::SlowSync,
            measured,
            format!("{why}: answers take longer than listen.commit_timeout and become 503"),
            "put the journal on a faster disk",
        );
    } else if median >= SLOW_SYNC {
        report.add(
            Level::Warning,
            Id::SlowSync,
            measured,
            why,
            "put the journal on a faster disk, an SSD or a block volume with more operations per second",
        );
    } else {
        report.fine(format!(
            "{measured}: an answer 204 takes little longer than that"
        ));
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

/// Whether `max_connections` may be open at once. `limit` is of descriptors; `None` if there is none.
pub fn descriptors(report: &mut Report, max_connections: usize, limit: Option<u64>) {
    let room = limit.map_or(usize::MAX, connections_within);
    if room < max_connections {
        let limit = limit.unwrap_or_default();
        report.add(
            Level::Warning,
            Id::DescriptorLimit,
            format!(
                "the process may open {}, and listen.max_connections is {}",
                count(limit, "file"),
                grouped(max_connections as u64)
            ),
            format!("ringback serves no more than {} at once", count(room as u64, "connection")),
            "raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd, or the container's runtime), or lower \
             listen.max_connections",
        );
    } else {
        report.fine(format!(
            "the limit of open files has room for listen.max_connections, {}",
            grouped(max_connections as u64)
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use bytesize::ByteSize;

    use super::*;
    use crate::journal::disk::filesystem::Space;
    use crate::journal::disk::volume::Risk;

    const GIB: u64 = 1 << 30;

    fn probe(free: u64, sync: Duration) -> Probe {
        Probe {
            folder: PathBuf::from("/data"),
            exists: true,
            risk: None,
            space: Space {
                free,
                total: 100 * GIB,
            },
            own: 0,
            syncs: vec![sync; 3],
        }
    }

    fn names(probe: &Result<Probe, ProbeError>) -> Vec<String> {
        let journal = Config {
            budget: ByteSize::gib(8),
            ..Config::default()
        };
        let wanted = Disk {
            journal: &journal,
            max_body: 8 << 20,
            commit_timeout: Duration::from_secs(8),
        };
        let mut report = Report::default();
        disk(&mut report, &wanted, probe);
        report.names()
    }

    #[test]
    fn room_and_syncs_are_judged_by_the_budget_and_the_answer_s_time() {
        let fast = Duration::from_millis(1);
        assert_eq!(names(&Ok(probe(9 * GIB, fast))), [""; 0]);
        // The budget fits, its three segments do not.
        let tight = probe(8 * GIB + (100 << 20), fast);
        assert_eq!(names(&Ok(tight)), ["warning disk-smaller-than-budget"]);
        assert_eq!(names(&Ok(probe(1 << 20, fast))), ["error disk-full"]);
        let own = Probe {
            own: 9 * GIB,
            ..probe(0, fast)
        };
        assert_eq!(names(&Ok(own)), [""; 0], "its own files are room");
        assert_eq!(names(&Ok(probe(9 * GIB, SLOW_SYNC))), ["warning slow-sync"]);
        let slower = probe(9 * GIB, Duration::from_secs(4));
        assert_eq!(names(&Ok(slower)), ["error slow-sync"]);
        let risky = Probe {
            risk: Some(Risk {
                what: String::from("the journal is on tmpfs"),
                why: "…",
                remedy: "…",
            }),
            ..probe(9 * GIB, fast)
        };
        assert_eq!(names(&Ok(risky)), ["warning journal-file-system"]);
        let unusable = ProbeError {
            operation: "open",
            path: PathBuf::from("/data"),
            source: io::Error::from(io::ErrorKind::PermissionDenied),
        };
        assert_eq!(names(&Err(unusable)), ["error journal-unusable"]);
    }

    #[test]
    fn fewer_descriptors_than_connections_are_named() {
        let names = |limit| {
            let mut report = Report::default();
            descriptors(&mut report, 10_000, limit);
            report.names()
        };
        assert_eq!(names(None), [""; 0]);
        assert_eq!(names(Some(1 << 20)), [""; 0]);
        assert_eq!(names(Some(1_024)), ["warning descriptor-limit"]);
    }
}
