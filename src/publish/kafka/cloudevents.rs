//! From an event to a Kafka record's headers: CloudEvents 1.0, Kafka binding, binary mode.

use std::borrow::Cow;

use rdkafka::message::{Header, OwnedHeaders};

use crate::event::Event;
use crate::time;

pub(crate) fn headers(event: &Event<'_>, journal_id: &str, position: u64) -> OwnedHeaders {
    let source = format!("urn:ringback:{}", event.source);
    let kind = format!("{}.{}", event.source, string(event.kind));
    let subject = event.key.map(string);
    let received = time::rfc3339(event.received_ms);
    let position = position.to_string();
    let all = [
        ("ce_specversion", Some("1.0")),
        ("ce_id", Some(event.id)),
        ("ce_source", Some(source.as_str())),
        ("ce_type", Some(kind.as_str())),
        ("ce_subject", subject.as_deref()),
        ("ce_time", Some(received.as_str())),
        ("content-type", Some(event.content_type)),
        ("ringback_journal", Some(journal_id)),
        ("ringback_position", Some(position.as_str())),
        ("traceparent", unless_empty(event.traceparent)),
        ("tracestate", unless_empty(event.tracestate)),
    ];
    let mut headers = OwnedHeaders::new_with_capacity(all.len());
    for (key, value) in all {
        if value.is_some() {
            headers = headers.insert(Header { key, value });
        }
    }
    for (name, value) in event.carried.iter() {
        // With its prefix the name is none of the others, whatever the client has sent.
        let key = format!("http_{name}");
        headers = headers.insert(Header {
            key: &key,
            value: Some(value),
        });
    }
    headers
}

/// A sender's text as a string of CloudEvents, which has neither control characters nor noncharacters (CloudEvents 1.0.2, "Type
/// System"): each becomes U+FFFD. A consumer that makes a line of HTTP or of a log of it, makes one line.
fn string(text: &str) -> Cow<'_, str> {
    if text.contains(is_disallowed) {
        Cow::Owned(text.replace(is_disallowed, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn is_disallowed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

fn unless_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Carrying;
    use rdkafka::message::Headers as _;

    #[test]
    fn provenance_is_in_cloudevents_headers() {
        let event = Event {
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ..Event::sample(Some("abc"))
        };
        let mut carrying = Carrying::default();
        for (name, value) in [("ce_id", "mine"), ("x-a", "é"), ("x-a", "")] {
            assert!(carrying.push(name, value));
        }
        let event = Event {
            carried: carrying.carried(),
            ..event
        };
        let headers = headers(&event, "journal", 7);
        let text: Vec<_> = headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value.unwrap()).into_owned();
                format!("{}={value}", header.key)
            })
            .collect();
        assert_eq!(
            text,
            [
                "ce_specversion=1.0",
                "ce_id=0123456789abcdef0123456789abcdef",
                "ce_source=urn:ringback:retell",
                "ce_type=retell.call_ended",
                "ce_subject=abc",
                "ce_time=2024-05-02T00:07:55.945Z",
                "content-type=application/json",
                "ringback_journal=journal",
                "ringback_position=7",
                "traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "http_ce_id=mine",
                "http_x-a=é",
                "http_x-a=",
            ]
        );
    }

    #[test]
    fn what_cloudevents_has_no_place_for_is_replaced_in_its_headers() {
        let shown = |text: &str| {
            let event = Event {
                kind: text,
                ..Event::sample(Some(text))
            };
            let headers = headers(&event, "journal", 7);
            let value =
                |index| String::from_utf8(headers.get(index).value.unwrap().to_vec()).unwrap();
            assert_eq!(value(3), format!("retell.{}", value(4)));
            value(4)
        };
        for kept in ["", "a b", "東京 é\u{1f600}", "\u{2028}\u{fdf0}\u{fffd}"] {
            assert_eq!(shown(kept), kept);
        }
        assert_eq!(
            shown("a\r\nce_id: b\0"),
            "a\u{fffd}\u{fffd}ce_id: b\u{fffd}"
        );
        let disallowed = "\u{1b}\u{7f}\u{9f}\u{fdd0}\u{fdef}\u{fffe}\u{10ffff}";
        assert_eq!(shown(disallowed), "\u{fffd}".repeat(7));
    }
}
