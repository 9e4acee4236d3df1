//! `verify`: the schemes, and what each knows of its sender's events.

use std::fmt;

use super::retell::KEY_HINT;
use super::retell::events::{EVENT_POINTER, KEY_POINTERS, KINDS, expects_content};
use crate::settings::{Decoder, Kind, SettingValue, Shown};

/// How a source's senders are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Not at all; the events are Retell's.
    None,
    /// By `X-Retell-Signature`.
    Retell,
}

impl Verify {
    /// The default of `key_pointers`.
    pub fn key_pointers(self) -> &'static [&'static str] {
        match self {
            Self::None | Self::Retell => &KEY_POINTERS,
        }
    }

    /// What an operator should check if no key matches a signature.
    pub(crate) fn key_hint(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Retell => Some(KEY_HINT),
        }
    }

    /// JSON pointer to the event's name.
    pub(crate) fn event_pointer(self) -> &'static str {
        match self {
            Self::None | Self::Retell => EVENT_POINTER,
        }
    }

    /// The documented names of events, each a metric label of its own.
    pub(crate) fn event_kinds(self) -> &'static [&'static str] {
        match self {
            Self::None | Self::Retell => &KINDS,
        }
    }

    /// True if the sender expects an answer with content to an event of this name, or to one without a name.
    pub(crate) fn expects_content(self, event: Option<&str>) -> bool {
        match self {
            Self::None | Self::Retell => expects_content(event),
        }
    }
}

impl SettingValue for Verify {
    fn kind() -> Kind {
        Kind::scalar(
            "scheme",
            "write how this source's requests are authenticated: verify = \"retell\", or verify = \"none\" to accept events \
             from anybody",
            r#"{"enum": ["none", "retell"]}"#,
        )
    }

    fn decode(value: toml::Value, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.one_of(&value, &[Self::None, Self::Retell])
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::quoted(self))
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none",
            Self::Retell => "retell",
        })
    }
}
