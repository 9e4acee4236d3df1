//! The columns of an event's row: all of them whole in a pipe or file, as many as fit on a terminal.

use anstyle::Style;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::command::render::{printable, size};
use crate::command::terminal::{KEY_BEGINNING, shortened, shortened_key, width, wrapped};
use crate::time::now_ms;

/// The columns for a key: Retell's ids of calls have 32 characters.
const KEY: usize = 36;

/// Which columns a row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// In a pipe or file: nothing is shortened, and times have their date.
    Whole,
    Wide,
    Narrow,
    /// Without the size.
    Small,
}

impl Layout {
    /// For a terminal of so many columns; `None` for a pipe or file.
    pub fn of(columns: Option<usize>) -> Self {
        match columns {
            None => Self::Whole,
            Some(115..) => Self::Wide,
            Some(75..) => Self::Narrow,
            Some(_) => Self::Small,
        }
    }

    /// The present time on this machine's clock.
    pub fn now(self) -> String {
        self.time(now_ms(), TimeZone::system())
    }

    fn time(self, unix_ms: u64, zone: TimeZone) -> String {
        let format = match self {
            Self::Whole => "%Y-%m-%dT%H:%M:%S%.3f%:z",
            Self::Wide => "%H:%M:%S%.3f",
            Self::Narrow | Self::Small => "%H:%M:%S",
        };
        let time = Timestamp::from_millisecond(unix_ms.cast_signed()).unwrap_or_default();
        time.to_zoned_datetime(zone).strftime(format).to_string()
    }

    /// The columns of the time and of the event's name.
    fn widths(self) -> (usize, usize) {
        match self {
            Self::Whole => (29, 20),
            Self::Wide => (12, 20),
            Self::Narrow => (8, 18),
            Self::Small => (8, 14),
        }
    }
}

/// The cells of one event's row.
pub struct Row {
    time: String,
    kind: String,
    key: String,
    place: String,
    size: String,
    took: String,
}

impl Row {
    pub fn of(message: &BorrowedMessage<'_>, layout: Layout) -> Self {
        let kind = header(message, "ce_type").unwrap_or_default();
        let kind = kind.split_once('.').map_or(kind, |(_source, kind)| kind);
        let key = message.key().map_or_else(
            || String::from("(no key)"),
            |key| printable(&String::from_utf8_lossy(key)),
        );
        let posted = message.timestamp().to_millis().unwrap_or_default();
        Self {
            time: layout.now(),
            kind: printable(kind),
            key,
            place: format!("{}@{}", message.partition(), message.offset()),
            size: size(message.payload_len() as u64),
            took: format!("{} ms", now_ms().cast_signed() - posted),
        }
    }

    /// The names of the columns.
    pub fn heading(layout: Layout) -> Self {
        let [place, took] = match layout {
            Layout::Whole | Layout::Wide => ["partition@offset", "POST→Kafka"],
            Layout::Narrow | Layout::Small => ["p@offset", "to Kafka"],
        };
        let [time, kind, key, place, size, took] =
            ["time", "event", "key", place, "size", took].map(str::to_owned);
        Self {
            time,
            kind,
            key,
            place,
            size,
            took,
        }
    }

    /// The row in at most `columns`, from 36 on, with the event's name in this style: the key gets what the other cells leave,
    /// up to the length of a call's id. If that is less than its beginning, the cells right of it go below, and so does a note that does not
    /// fit beside them.
    pub fn line(&self, columns: Option<usize>, style: Style, note: Option<&str>) -> String {
        let Self {
            time,
            kind,
            key,
            place,
            size,
            took,
        } = self;
        let layout = Layout::of(columns);
        let (time_width, kind_width) = layout.widths();
        let mut right = match layout {
            Layout::Whole | Layout::Wide => format!("  {place:>16}  {size:>9}  {took:>12}"),
            Layout::Narrow => format!(" {place:>9} {size:>9} {took:>8}"),
            Layout::Small => format!(" {place:>9} {took:>8}"),
        };
        let indent = time_width + 2;
        let left = indent + kind_width + 2;
        let mut used = left + width(&right);
        let (kind, key) = match columns {
            None => (kind.clone(), padded(key, KEY)),
            Some(columns) => {
                let mut room = columns.saturating_sub(used).min(KEY);
                used += room;
                if room <= KEY_BEGINNING {
                    room = columns.saturating_sub(left);
                    let below = right.trim_start();
                    used = indent + width(below);
                    right = format!("\n{:indent$}{below}", "");
                }
                let key = shortened_key(key, room);
                (shortened(kind, kind_width), padded(&key, room))
            }
        };
        let kind = padded(&kind, kind_width);
        // The style's codes take no room on the terminal.
        let (on, off) = (style.render(), style.render_reset());
        let line = format!("{time:<time_width$}  {on}{kind}{off}  {key}{right}");
        match (note, columns) {
            (None, _) => line,
            (Some(note), Some(columns)) if used + 2 + width(note) > columns => {
                let note = wrapped(note, columns.saturating_sub(indent), 0);
                let note = note.replace('\n', &format!("\n{:indent$}", ""));
                format!("{line}\n{:indent$}{note}", "")
            }
            (Some(note), _) => format!("{line}  {note}"),
        }
    }
}

fn padded(text: &str, columns: usize) -> String {
    let padding = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(padding))
}

/// The value of a record's header.
pub fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6";

    fn row(kind: &str, key: &str, columns: Option<usize>) -> Row {
        Row {
            time: Layout::of(columns).time(0, TimeZone::UTC),
            kind: kind.into(),
            key: key.into(),
            place: "63@1048576".into(),
            size: "1023.9 KiB".into(),
            took: "86400000 ms".into(),
        }
    }

    #[test]
    fn no_line_of_a_row_is_longer_than_the_terminal_and_each_key_keeps_its_beginning() {
        const NOTE: &str = "signature is malformed: accepted without --require-signature";
        for columns in 36..200 {
            for key in ["", "(no key)", CALL, &"ü".repeat(99)] {
                for kind in ["none", "transfer_cancelled", &"x".repeat(99)] {
                    let row = row(kind, key, Some(columns));
                    for note in [None, Some(NOTE)] {
                        let text = row.line(Some(columns), Style::new(), note);
                        for line in text.lines() {
                            assert!(width(line) <= columns, "{columns}: {line}");
                        }
                        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
                        assert_eq!(words.contains(NOTE), note.is_some(), "{text}");
                        assert!(key != CALL || text.contains("  Jabr9TXY"), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_is_whole_in_a_pipe_and_as_wide_as_the_terminal_on_one() {
        let line = |columns| {
            let mut row = row("call_ended", CALL, columns);
            (row.place, row.size, row.took) = ("7@0".into(), "166 B".into(), "3 ms".into());
            row.line(columns, Style::new(), None)
        };
        assert_eq!(
            line(Some(48)),
            "00:00:00  call_ended      Jabr9TXYYJH…rdAHYHmcq6\n          7@0     3 ms"
        );
        assert_eq!(
            line(Some(60)),
            "00:00:00  call_ended      Jabr9TXY…YHmcq6       7@0     3 ms"
        );
        assert_eq!(
            line(Some(80)),
            "00:00:00  call_ended          Jabr9TXYYJ…rdAHYHmcq6       7@0     166 B     3 ms"
        );
        assert_eq!(
            line(None),
            "1970-01-01T00:00:00.000+00:00  call_ended            Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6                   \
             7@0      166 B          3 ms"
        );
    }

    #[test]
    fn times_are_this_machine_s() {
        let zone = TimeZone::posix("<+0530>-5:30").unwrap();
        let time = |layout: Layout| layout.time(1_714_608_475_945, zone.clone());
        assert_eq!(time(Layout::Whole), "2024-05-02T05:37:55.945+05:30");
        assert_eq!(time(Layout::Wide), "05:37:55.945");
        assert_eq!(time(Layout::Small), "05:37:55");
    }

    #[test]
    fn only_the_name_has_the_style() {
        let red = anstyle::AnsiColor::Red.on_default();
        let row = row("none", "k", Some(80));
        let (plain, styled) = (
            row.line(Some(80), Style::new(), None),
            row.line(Some(80), red, None),
        );
        assert!(styled.contains("  \u{1b}[31mnone "), "{styled:?}");
        assert_eq!(anstream::adapter::strip_str(&styled).to_string(), plain);
    }
}
