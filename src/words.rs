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

/// A time in its two largest units, as `2h 5m`: days without minutes, hours without seconds.
pub fn about(time: Duration) -> String {
    let seconds = time.as_secs();
    let unit = match seconds {
        0..3_600 => 1,
        3_600..86_400 => 60,
        _ => 3_600,
    };
    humantime::format_duration(Duration::from_secs(seconds / unit * unit)).to_string()
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
        assert_eq!(text(2 * 86_400 + 3 * 3_600 + 59), "2days 3h");
    }
}
