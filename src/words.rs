//! Numbers, sizes and times as text for people.

use std::time::Duration;

/// A size as `1.2 MiB`.
pub fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).to_string()
}

/// A count with its noun, as `1 event` or `1,024 events`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// A number in groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in its two largest units, as `2h 5m`, `1 day 5h` or `2 months 29 days`.
pub fn about(time: Duration) -> String {
    // A year of 365.25 days, a month of a twelfth of it, rounded to hours.
    const UNITS: [(u64, &str); 6] = [
        (8_766 * 3_600, " year"),
        (730 * 3_600, " month"),
        (86_400, " day"),
        (3_600, "h"),
        (60, "m"),
        (1, "s"),
    ];
    let seconds = time.as_secs();
    let largest = UNITS.iter().position(|(unit, _)| seconds >= *unit);
    let largest = largest.unwrap_or(UNITS.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, name) in UNITS.into_iter().skip(largest).take(2) {
        let number = rest / unit;
        rest %= unit;
        if number > 0 || seconds == 0 {
            let plural = if name.starts_with(' ') && number > 1 {
                "s"
            } else {
                ""
            };
            parts.push(format!("{number}{name}{plural}"));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_counted() {
        assert_eq!(count(1, "event"), "1 event");
        assert_eq!(count(0, "event"), "0 events");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn a_time_has_its_two_largest_units() {
        let text = |seconds| about(Duration::from_secs(seconds));
        assert_eq!(text(0), "0s");
        assert_eq!(text(125), "2m 5s");
        assert_eq!(text(7_559), "2h 5m");
        assert_eq!(text(2 * 86_400 + 3 * 3_600 + 59), "2 days 3h");
        assert_eq!(text(86_400), "1 day");
        assert_eq!(text(89 * 86_400 + 45_000), "2 months 28 days");
        assert_eq!(text(400 * 86_400), "1 year 1 month");
    }
}
