//! What a request says of its event: its name, key and id, from the body or from headers.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};

use super::IngestError;
use crate::ingest::config::{ContentType, SourceConfig};
use crate::ingest::payload::pointers::{Pointers, Role};
use crate::ingest::payload::{EventFields, NotJson, validate};
use crate::ingest::provenance::visible_text;

/// The media type of a body without `Content-Type`.
const JSON: &str = "application/json";

/// Where one source's requests say it.
#[derive(Debug)]
pub(in crate::ingest) struct Reading {
    pointers: Pointers,
    event_header: Option<HeaderName>,
    key_header: Option<HeaderName>,
    id_header: Option<HeaderName>,
    /// The bodies that are JSON; `None`: all.
    json_types: Option<Vec<ContentType>>,
    /// True if the event's name is where the scheme's sender has it.
    has_sender_s_names: bool,
}

impl Reading {
    /// Compiles the pointers.
    pub(super) fn new(config: &SourceConfig) -> Result<Self, IngestError> {
        let pointers = pointers(config);
        let pointers = Pointers::compile(&pointers).map_err(|(index, source)| {
            let (role, pointer) = pointers[index];
            IngestError::Pointer {
                name: config.name.clone(),
                role,
                pointer: pointer.to_owned(),
                source,
            }
        })?;
        Ok(Self {
            pointers,
            event_header: config.event_header.clone(),
            key_header: config.key_header.clone(),
            id_header: config.id_header.clone(),
            json_types: config.content_types.clone(),
            has_sender_s_names: config.has_sender_s_names(),
        })
    }

    /// Reads what the request says. A body that is no JSON by its `Content-Type` is not looked into.
    pub(in crate::ingest) fn read<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &'a [u8],
    ) -> Result<EventFields<'a>, NotJson> {
        let mut fields = if self.is_json(headers) {
            validate(body, &self.pointers)?
        } else {
            EventFields::default()
        };
        let text = |name: &Option<HeaderName>| only_text(headers, name.as_ref()?);
        if let Some(kind) = text(&self.event_header) {
            fields.set_kind(Cow::Borrowed(kind));
        }
        if let Some(key) = text(&self.key_header) {
            fields.set_key(Cow::Borrowed(key));
        }
        if let Some(id) = text(&self.id_header) {
            fields.set_id(Cow::Borrowed(id));
        }
        Ok(fields)
    }

    /// True if an event must have a name, because there is a place for it.
    pub(in crate::ingest) fn expects_name(&self, fields: &EventFields<'_>) -> bool {
        fields.is_json || self.event_header.is_some()
    }

    /// True if the event's name is where the scheme's sender has it.
    pub(in crate::ingest) fn has_sender_s_names(&self) -> bool {
        self.has_sender_s_names
    }

    fn is_json(&self, headers: &HeaderMap) -> bool {
        let Some(types) = &self.json_types else {
            return true;
        };
        let sent = headers
            .get(CONTENT_TYPE)
            .map_or(JSON.as_bytes(), |value| value.as_bytes());
        let media_type = sent.split(|byte| *byte == b';').next().unwrap_or_default();
        let media_type = std::str::from_utf8(media_type.trim_ascii()).unwrap_or_default();
        types.iter().any(|known| known.matches(media_type))
    }
}

/// Every pointer of a source with what it leads to; the scheme's own where the source has none.
pub(super) fn pointers(config: &SourceConfig) -> Vec<(Role, &str)> {
    let mut pointers = Vec::new();
    if config.event_header.is_none() {
        let given = config.event_pointer.as_deref();
        let event = given.unwrap_or_else(|| config.verify.event_pointer());
        pointers.push((Role::Event, event));
    }
    pointers.extend(config.id_pointer.as_deref().map(|id| (Role::Id, id)));
    if config.key_header.is_none() {
        match &config.key_pointers {
            Some(keys) => pointers.extend(keys.iter().map(|key| (Role::Key, key.as_str()))),
            None => pointers.extend(
                config
                    .verify
                    .key_pointers()
                    .iter()
                    .map(|key| (Role::Key, *key)),
            ),
        }
    }
    pointers
}

/// The header's value, if it was sent once, is not empty and is visible text.
fn only_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => visible_text(value.as_bytes()).filter(|text| !text.is_empty()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(toml: &str) -> Reading {
        let text = format!("name = \"s\"\npath = \"/\"\nverify = \"none\"\n{toml}");
        let none = std::collections::BTreeMap::new();
        let (config, errors) =
            crate::settings::decode::<SourceConfig>(text.parse().unwrap(), &none, &none);
        assert!(errors.is_empty(), "{errors:?}");
        Reading::new(&config).unwrap()
    }

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    /// Name, key and id.
    fn read(reading: &Reading, headers: &HeaderMap, body: &str) -> [Option<String>; 3] {
        let fields = reading.read(headers, body.as_bytes()).unwrap();
        [fields.kind, fields.key, fields.id].map(|text| text.map(Cow::into_owned))
    }

    fn texts<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
        texts.map(|text| Some(text.to_owned()).filter(|text| text != "-"))
    }

    #[test]
    fn each_is_found_by_its_pointer_or_in_its_header() {
        let stripe = reading(
            "event_pointer = \"/type\"\nkey_pointers = [\"/data/object/id\"]\nid_pointer = \"/id\"",
        );
        let body = r#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"id":"in_1"}}}"#;
        let none = HeaderMap::new();
        assert_eq!(
            read(&stripe, &none, body),
            texts(["invoice.paid", "in_1", "evt_1"])
        );
        let github = reading(
            "event_header = \"X-GitHub-Event\"\nkey_header = \"X-GitHub-Hook-ID\"\nid_header = \"X-GitHub-Delivery\"",
        );
        let sent: [(&str, &[u8]); 3] = [
            ("x-github-event", b"push"),
            ("x-github-hook-id", b"7"),
            ("x-github-delivery", b"72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ];
        let found = texts(["push", "7", "72d3162e-cc78-11e3-81ab-4c9367dc0958"]);
        assert_eq!(read(&github, &headers(&sent), body), found);
        assert_eq!(read(&github, &none, body), texts(["-", "-", "-"]));
    }

    #[test]
    fn a_header_that_is_doubled_empty_or_no_visible_text_is_none() {
        let by_header = reading("event_header = \"e\"");
        let kind = |lines: &[(&'static str, &[u8])]| {
            let [kind, ..] = read(&by_header, &headers(lines), "{}");
            kind
        };
        assert_eq!(kind(&[("e", "é".as_bytes())]).as_deref(), Some("é"));
        for bad in [&b""[..], b"a\tb", b"\xFF", "\u{85}".as_bytes()] {
            assert_eq!(kind(&[("e", bad)]), None, "{bad:?}");
        }
        assert_eq!(kind(&[("e", b"a"), ("e", b"a")]), None);
    }

    #[test]
    fn a_message_id_that_does_not_fit_into_a_header_is_none() {
        let by_pointer = reading("id_pointer = \"/id\"");
        let id = |id: &str| {
            let body = serde_json::json!({ "id": id }).to_string();
            let [.., id] = read(&by_pointer, &HeaderMap::new(), &body);
            id
        };
        let longest = "x".repeat(256);
        assert_eq!(id(&longest), Some(longest.clone()));
        for bad in ["", "a b", "é", "a\n", &format!("{longest}x")] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_json_by_its_content_type_is_not_looked_into() {
        let json = reading(
            "event_header = \"e\"\nkey_pointers = [\"/k\"]\ncontent_types = [\"application/json\", \"+json\"]",
        );
        let with = |content_type: &'static [u8], body: &'static [u8]| {
            let headers = headers(&[("content-type", content_type), ("e", b"sms")]);
            let fields = json.read(&headers, body);
            fields.map(|fields| (fields.is_json, fields.kind.is_some(), fields.key.is_some()))
        };
        let body = br#"{"k":"v"}"#;
        assert_eq!(
            with(b"application/json; charset=utf-8", body),
            Ok((true, true, true))
        );
        assert_eq!(
            with(b"application/cloudevents+json", body),
            Ok((true, true, true))
        );
        let form = with(b"application/x-www-form-urlencoded", b"From=%2B1&Body=hi");
        assert_eq!(form, Ok((false, true, false)));
        assert_eq!(with(b"\xFF", body), Ok((false, true, false)));
        assert!(with(b"application/json", b"From=1").is_err());
        let without = HeaderMap::new();
        assert!(
            json.read(&without, body).unwrap().is_json,
            "as the record says"
        );
        assert!(
            reading("")
                .read(&headers(&[("content-type", b"text/plain")]), b"x")
                .is_err()
        );
    }
}
