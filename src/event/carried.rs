//! Request headers and query parameters that travel with an event, because its source lists them.

/// The most that one event carries.
const MAX_VALUES: usize = 32;
/// The most bytes that one event carries, names included. They are part of the record's size beside its body.
const MAX_BYTES: usize = 8 * 1024;

/// What an event carries: lines of a name, a colon and a value. Neither part has a control character.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried<'a>(&'a str);

impl<'a> Carried<'a> {
    /// As the envelope has it.
    pub(super) fn of_envelope(text: &'a str) -> Self {
        Self(text)
    }

    pub(super) fn text(self) -> &'a str {
        self.0
    }

    /// True if the event carries nothing.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Each name with its value, in the order of the source's list; a name that was sent several times comes several times.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.split('\n').filter_map(|line| line.split_once(':'))
    }
}

/// Collects what one event carries. Allocates nothing before the first value.
#[derive(Debug, Default)]
pub struct Carrying {
    text: String,
    values: usize,
}

impl Carrying {
    /// Adds a value. Returns false if it is left out: it has a control character, or there is no room (32 values, 8 KiB with
    /// the names).
    pub fn push(&mut self, name: &str, value: &str) -> bool {
        debug_assert!(
            !name.contains(':') && !name.chars().any(char::is_control),
            "the configuration refuses such names"
        );
        let length = self.text.len() + name.len() + value.len() + 2;
        if self.values == MAX_VALUES || length > MAX_BYTES || value.chars().any(char::is_control) {
            return false;
        }
        if self.values > 0 {
            self.text.push('\n');
        }
        self.text.push_str(name);
        self.text.push(':');
        self.text.push_str(value);
        self.values += 1;
        true
    }

    /// What was added so far.
    pub fn carried(&self) -> Carried<'_> {
        Carried(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_comes_back_in_its_order_and_with_its_repetitions() {
        let mut carrying = Carrying::default();
        assert!(carrying.carried().is_empty());
        assert_eq!(carrying.carried().iter().next(), None);
        let pairs = [("a", "1: é"), ("b", ""), ("a", ":2")];
        for (name, value) in pairs {
            assert!(carrying.push(name, value));
        }
        assert!(carrying.carried().iter().eq(pairs));
    }

    #[test]
    fn a_value_that_could_begin_another_line_and_what_is_beyond_the_bounds_is_left_out() {
        let mut carrying = Carrying::default();
        for value in ["a\nb:c", "\0", "\r", "\t", "\u{7f}", "\u{85}"] {
            assert!(!carrying.push("x", value), "{value:?}");
        }
        let half = "v".repeat(MAX_BYTES / 2);
        assert!(carrying.push("x", &half));
        assert!(!carrying.push("x", &half), "with the names it is too much");
        for _ in 1..MAX_VALUES {
            assert!(carrying.push("x", "v"));
        }
        assert!(!carrying.push("x", "v"));
        assert_eq!(carrying.carried().iter().count(), MAX_VALUES);
    }
}
