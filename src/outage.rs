//! How long an outage of Kafka a journal can hold.

use std::time::Duration;

use crate::words::about;

/// What the journal takes of its budget for an event of 7 KB that is synced alone.
pub const EVENT_BYTES: u32 = 8192;

/// Until a journal that takes so many bytes a second has used up `room` bytes. At most a thousand years.
pub fn held(room: u64, bytes_per_second: f64) -> Duration {
    const LONGEST: f64 = 1_000.0 * 365.0 * 86_400.0;
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = room as f64 / bytes_per_second.max(f64::MIN_POSITIVE);
    Duration::from_secs_f64(seconds.min(LONGEST))
}

/// As [`held`], at so many events of 8 KiB a second.
pub fn held_at(room: u64, events_per_second: u32) -> Duration {
    held(room, f64::from(EVENT_BYTES) * f64::from(events_per_second))
}

/// A duration as people say it: `1 day 5h`, `2h 54m`, `40s`. Longer than a year is not worth a number.
pub fn words(duration: Duration) -> String {
    const YEAR: u64 = 365 * 86_400;
    let seconds = duration.as_secs();
    if seconds > YEAR {
        return String::from("more than a year");
    }
    let precision = match seconds {
        172_800.. => 86_400,
        86_400.. => 3_600,
        600.. => 60,
        _ => 1,
    };
    let rounded = Duration::from_secs(seconds - seconds % precision);
    about(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_the_room_by_the_rate() {
        assert_eq!(held_at(8 << 30, 10), Duration::from_secs_f64(104_857.6));
        assert_eq!(held(100, 10.0), Duration::from_secs(10));
        assert_eq!(held(0, 10.0), Duration::ZERO);
        // Without events there is no end.
        assert_eq!(held(1, 0.0).as_secs(), 1_000 * 365 * 86_400);
    }

    #[test]
    fn words_have_no_more_precision_than_the_estimate() {
        assert_eq!(words(held_at(8 << 30, 10)), "1 day 5h");
        assert_eq!(words(held_at(8 << 30, 100)), "2h 54m");
        assert_eq!(words(Duration::from_secs(41)), "41s");
        assert_eq!(words(Duration::from_secs(20 * 86_400 + 5)), "20 days");
        assert_eq!(words(held(8 << 30, 1.0)), "more than a year");
    }
}
