//! How much the journal may hold: the configured budget, or what the file system has room for if that is less.
//!
//! The room is measured in the upkeep, never for an append: after each of its steps, and each ten seconds while there are none.

use std::time::Duration;

use bytesize::ByteSize;

use super::Engine;
use super::admission::{Admission, Shortage};
use crate::journal::disk::filesystem::{FileSystem, Space};

/// The room is measured at least this often: others may fill or enlarge the volume while nothing is appended.
pub(in crate::journal) const MEASURE_INTERVAL: Duration = Duration::from_secs(10);

/// Segments for which the journal needs room beside what counts against the budget: the published part of the oldest one, the
/// unwritten part of the newest one, and the spare.
const OVERHEAD_SEGMENTS: u64 = 3;

/// Keeps the budget within what the file system can hold, and reports it.
#[derive(Debug)]
pub(super) struct Capacity {
    /// `journal.budget`, in bytes.
    configured: u64,
    /// False until the first measurement is logged.
    is_logged: bool,
    /// What was last reported.
    shortage: Option<Shortage>,
}

/// The smaller of `configured` and what a journal can hold that has `available` bytes, its own files included.
pub(in crate::journal) fn effective_budget(
    configured: u64,
    segment_size: u64,
    available: u64,
) -> u64 {
    let holds = available.saturating_sub(OVERHEAD_SEGMENTS * segment_size);
    // If not even four segments fit, the rule would refuse events for which there is room. Admission then goes by the room
    // for the next segment alone.
    configured.min(if holds < segment_size {
        available
    } else {
        holds
    })
}

impl Capacity {
    pub(super) fn new(configured: u64) -> Self {
        Self {
            configured,
            is_logged: false,
            shortage: None,
        }
    }

    /// Measures the room and reports it. `own` is what the journal's files occupy, in bytes.
    pub(super) fn measure<FS: FileSystem>(&mut self, engine: &Engine<FS>, own: u64) {
        let space = engine.fs.space();
        match &space {
            Ok(Some(space)) => {
                let available = space.free.saturating_add(own);
                let budget = effective_budget(self.configured, engine.segment_size, available);
                engine.admission.set_budget(budget);
            }
            Ok(None) => engine.admission.set_budget(self.configured),
            // The last measurement stays. A volume that is gone shows in the next write.
            Err(error) => {
                tracing::debug!(%error, "cannot measure the room of the journal's volume");
            }
        }
        if !std::mem::replace(&mut self.is_logged, true) {
            let overhead = OVERHEAD_SEGMENTS * engine.segment_size;
            self.log(engine.admission.budget(), overhead, space.ok().flatten());
        }
        self.report(engine);
    }

    /// True while appends are refused, and until it is reported that they no longer are.
    pub(super) fn is_short(&self, admission: &Admission) -> bool {
        self.shortage.is_some() || admission.shortage().is_some()
    }

    /// Logs what the journal may hold, once.
    fn log(&self, budget: u64, overhead: u64, space: Option<Space>) {
        let needed = ByteSize::b(self.configured.saturating_add(overhead));
        let (configured, budget) = (ByteSize::b(self.configured), ByteSize::b(budget));
        match space.map(|space| ByteSize::b(space.total)) {
            Some(volume) if volume < needed => tracing::warn!(
                %budget,
                %configured,
                %volume,
                "the journal's volume is smaller than journal.budget and three segments ({needed}): webhooks are refused once \
                 {budget} of events wait; enlarge the volume, or lower journal.budget or journal.segment_size"
            ),
            Some(volume) if budget < configured => tracing::warn!(
                %budget,
                %configured,
                %volume,
                "other files leave the journal less room than journal.budget and three segments ({needed}): webhooks are \
                 refused once {budget} of events wait; make room on the volume, or lower journal.budget"
            ),
            _ => tracing::info!(%budget, "the journal's volume has room for journal.budget"),
        }
    }

    fn report<FS: FileSystem>(&mut self, engine: &Engine<FS>) {
        let admission = &engine.admission;
        let budget = admission.budget();
        let shortage = admission.shortage();
        let before = std::mem::replace(&mut self.shortage, shortage);
        let shown = ByteSize::b(budget);
        let full = shortage.map(|shortage| match shortage {
            Shortage::Budget => format!("full: the budget of {shown} is used up"),
            Shortage::Disk => String::from("full: the disk has no room for the next segment"),
        });
        if let Some(report) = admission.room_report() {
            match &full {
                Some(full) => report(Err(&format!(
                    "{full}; webhooks are answered 503 until events have left for Kafka"
                ))),
                None if budget < self.configured => {
                    let configured = ByteSize::b(self.configured);
                    report(Ok(&format!(
                        "ok, but the volume has room for {shown} of the configured {configured}"
                    )));
                }
                None => report(Ok("ok")),
            }
        }
        match (before, full) {
            (None, Some(full)) => tracing::error!(
                budget,
                "the journal is {full}; events are refused until others have left for Kafka"
            ),
            (Some(_), None) => {
                tracing::info!(budget, "the journal has room again: events are accepted");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_budget_is_what_the_volume_holds_beside_three_segments_if_that_is_less_than_configured() {
        // 64 MiB of volume and segments of 1 MiB.
        assert_eq!(effective_budget(8 << 30, MIB, 64 * MIB), 61 * MIB);
        // As much as configured, exactly, and more.
        assert_eq!(effective_budget(61 * MIB, MIB, 64 * MIB), 61 * MIB);
        assert_eq!(effective_budget(61 * MIB, MIB, u64::MAX), 61 * MIB);
        // Others take room.
        assert_eq!(effective_budget(61 * MIB, MIB, 63 * MIB), 60 * MIB);
    }

    #[test]
    fn a_volume_of_less_than_four_segments_leaves_the_decision_to_the_room_for_the_next_one() {
        assert_eq!(effective_budget(8 << 30, 64 * MIB, 256 * MIB), 64 * MIB);
        assert_eq!(effective_budget(8 << 30, 64 * MIB, 255 * MIB), 255 * MIB);
        assert_eq!(effective_budget(8 << 30, 64 * MIB, 0), 0);
    }
}
