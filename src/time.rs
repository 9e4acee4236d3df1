//! The wall clock, read and written in one way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The end of the year 9999, the last that RFC 3339 can write.
const MAX_MS: u64 = 253_402_300_799_999;

/// The wall clock as the time since the Unix epoch; a clock before 1970 reads as 1970.
pub fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The wall clock in milliseconds since the Unix epoch; a clock before 1970 reads as 1970.
pub fn now_ms() -> u64 {
    as_ms(since_epoch())
}

/// Whole milliseconds of `time`.
pub fn as_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since the Unix epoch as RFC 3339 in UTC, as `2024-05-02T00:07:55.945Z`; no later than the year 9999.
pub fn rfc3339(ms: u64) -> String {
    let since = Duration::from_millis(ms.min(MAX_MS));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339_and_never_past_the_year_9999() {
        assert_eq!(rfc3339(1_714_608_475_945), "2024-05-02T00:07:55.945Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
