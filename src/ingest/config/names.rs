//! Types of a source's keys: content types, what is carried, topics by event name.

use std::collections::BTreeMap;

use http::HeaderName;
use toml::{Table, Value};

use super::SourceConfig;
use crate::settings::{Decoder, Kind, SettingValue, Shown};

/// Headers that hold a sender's credential: they must not get into the journal and the topic.
const CREDENTIALS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];
/// The longest name of a query parameter, in bytes.
const MAX_PARAMETER: usize = 128;

/// A media type without parameters, or a suffix that stands for all that have it; in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType(String);

impl ContentType {
    /// True if `media_type` (without parameters) is meant.
    pub(in crate::ingest) fn matches(&self, media_type: &str) -> bool {
        let from = if self.0.starts_with('+') {
            media_type.len().checked_sub(self.0.len())
        } else {
            Some(0)
        };
        let part = from.and_then(|from| media_type.get(from..));
        part.is_some_and(|part| part.eq_ignore_ascii_case(&self.0))
    }

    fn parse(text: &str) -> Option<Self> {
        // RFC 6838, section 4.2, allows less; what no sender has does no harm.
        let is_token = |part: &str| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
            !part.is_empty() && part.bytes().all(legal)
        };
        let is_valid = match (text.strip_prefix('+'), text.split_once('/')) {
            (Some(suffix), _) => is_token(suffix),
            (None, Some((kind, subtype))) => is_token(kind) && is_token(subtype),
            (None, None) => false,
        };
        is_valid.then(|| Self(text.to_ascii_lowercase()))
    }
}

impl SettingValue for ContentType {
    fn kind() -> Kind {
        Kind::scalar(
            "content type",
            "write media types without parameters, or suffixes, such as [\"application/json\", \"+json\"]",
            r#"{"type": "string", "pattern": "^(\\+|[^/; ]+/)[^/; ]+$"}"#,
        )
    }

    fn decode(value: Value, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.parse(&value, Self::parse)
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::quoted(&self.0))
    }
}

/// What a source carries from a request to the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarriedName {
    /// A request header.
    Header(HeaderName),
    /// A query parameter, as it is called once percent-decoded.
    Parameter(String),
}

impl SourceConfig {
    /// Headers whose values are kept although they hold a credential, each with the key that names it.
    pub(in crate::ingest) fn credentials_kept(&self) -> Vec<(&'static str, String)> {
        let token = self.bearer.as_ref().map(|bearer| bearer.header.as_str());
        let places = [
            ("event_header", self.event_header.as_ref()),
            ("key_header", self.key_header.as_ref()),
            ("id_header", self.id_header.as_ref()),
        ];
        let places = places
            .into_iter()
            .filter_map(|(key, header)| Some((key, header?)));
        let carried = self.carry.iter().filter_map(|name| match name {
            CarriedName::Header(header) => Some(("carry", header)),
            CarriedName::Parameter(_) => None,
        });
        let all = places
            .chain(carried)
            .map(|(key, header)| (key, header.as_str()));
        let is_credential = |header: &str| {
            CREDENTIALS.contains(&header)
                || token.is_some_and(|token| token.eq_ignore_ascii_case(header))
        };
        let kept = all.filter(|(_, header)| is_credential(header));
        kept.map(|(key, header)| (key, header.to_owned())).collect()
    }
}

impl CarriedName {
    /// The name as the record has it behind `http_`.
    pub fn name(&self) -> &str {
        match self {
            Self::Header(name) => name.as_str(),
            Self::Parameter(name) => name,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let Some(name) = text.strip_prefix('?') else {
            let name: HeaderName = text.parse().ok()?;
            return (!CREDENTIALS.contains(&name.as_str())).then_some(Self::Header(name));
        };
        let legal = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        let fits = (1..=MAX_PARAMETER).contains(&name.len()) && name.bytes().all(legal);
        fits.then(|| Self::Parameter(name.to_owned()))
    }
}

impl SettingValue for CarriedName {
    fn kind() -> Kind {
        Kind::scalar(
            "carried name",
            "write names of request headers, and of query parameters after a \"?\", such as [\"X-Account\", \"?region\"]; \
             headers that hold a credential (Authorization, Cookie) cannot be carried",
            r#"{"type": "string", "minLength": 1}"#,
        )
    }

    fn decode(value: Value, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.parse(&value, Self::parse)
    }

    fn show(&self) -> Option<Shown> {
        Some(match self {
            Self::Header(name) => Shown::quoted(name),
            Self::Parameter(name) => Shown::quoted(&format!("?{name}")),
        })
    }
}

/// Topics by the exact names of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventTopics(pub BTreeMap<String, String>);

impl EventTopics {
    /// An unquoted `invoice.paid = "…"` is a table in a table to TOML: such names are put together again.
    fn read(&mut self, prefix: &str, table: Table, decoder: &mut Decoder<'_>) -> Option<()> {
        let mut is_read = Some(());
        for (key, value) in table {
            let name = if prefix.is_empty() {
                key.clone()
            } else {
                format!("{prefix}.{key}")
            };
            let read = decoder.at(&key, |decoder| match value {
                Value::Table(inner) => self.read(&name, inner, decoder),
                value => {
                    let topic = String::decode(value, decoder)?;
                    self.0.insert(name, topic);
                    Some(())
                }
            });
            is_read = is_read.and(read);
        }
        is_read
    }
}

impl SettingValue for EventTopics {
    fn kind() -> Kind {
        Kind::scalar(
            "topics",
            "write a table of event names and topics, such as { \"invoice.paid\" = \"invoices\" }",
            r#"{"type": "object", "additionalProperties": {"type": ["string", "object"]}}"#,
        )
    }

    fn decode(value: Value, decoder: &mut Decoder<'_>) -> Option<Self> {
        let table = decoder.table::<Self>(value)?;
        let mut topics = Self::default();
        topics.read("", table, decoder)?;
        Some(topics)
    }

    fn show(&self) -> Option<Shown> {
        let topics = self.0.iter();
        let topics =
            topics.map(|(event, topic)| (Shown::quoted(event).to_string(), Shown::quoted(topic)));
        (!self.0.is_empty()).then(|| Shown::Table(topics.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_compared_without_case_and_a_suffix_stands_for_all_that_have_it() {
        let matches =
            |written: &str, sent: &str| ContentType::parse(written).unwrap().matches(sent);
        assert!(matches("application/JSON", "Application/json"));
        assert!(!matches("application/json", "application/json5"));
        assert!(matches("+json", "application/cloudevents+JSON"));
        assert!(!matches("+json", "application/json"));
        assert!(!matches("+json", "é+jso"));
        for wrong in [
            "",
            "json",
            "+",
            "a/",
            "a/b; charset=utf-8",
            "a b/c",
            "/b",
            "a/b/c",
        ] {
            assert_eq!(ContentType::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_carried_is_a_header_or_a_parameter_and_no_credential() {
        let name = |text: &str| CarriedName::parse(text).map(|name| name.name().to_owned());
        assert_eq!(name("X-Account").as_deref(), Some("x-account"));
        assert_eq!(name("?Region").as_deref(), Some("Region"));
        for wrong in [
            "",
            "?",
            "a b",
            "a:b",
            "?a:b",
            "?a b",
            "?é",
            "Authorization",
            "cookie",
        ] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }
}
