//! `preset`: what is known of a sender, as a row of data that fills in what its source leaves out.
//!
//! A preset only writes keys that the user could have written, so `ringback check` prints its effect, and everything behind
//! the configuration knows nothing of presets.

use std::fmt;

use toml::{Table, Value};

use super::verify::Verify;
use crate::settings::{Decoder, Kind, SettingValue, Shown};

/// Where a sender has something: each is a key of `[[source]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It has none, or what `verify` does is enough.
    Nowhere,
    /// JSON pointers into the body, of which the first that leads to a string wins; an event and an id have one.
    Pointers(&'static [&'static str]),
    /// A header of the request.
    Header(&'static str),
}

/// A sender.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// As in `preset = "…"`.
    pub name: &'static str,
    /// How it proves who it is.
    pub verify: Verify,
    /// The event's name.
    pub event: Place,
    /// What orders its events.
    pub keys: Place,
    /// The id of the message, which each retry repeats. Nowhere if the scheme signs it: then it is taken as it was signed.
    pub id: Place,
    /// The content types of those of its bodies that are JSON, if others are not: these are published as they are.
    pub content_types: &'static [&'static str],
}

/// For senders that post forms too.
const JSON: &[&str] = &["application/json", "+json"];

/// Every preset, by name.
pub static PRESETS: [Preset; 9] = [
    Preset {
        name: "retell",
        verify: Verify::Retell,
        event: Place::Pointers(&["/event"]),
        keys: Place::Pointers(&super::retell::events::KEY_POINTERS),
        id: Place::Nowhere,
        content_types: &[],
    },
    // https://docs.vapi.ai/server-url/events
    Preset {
        name: "vapi",
        verify: Verify::Bearer,
        event: Place::Pointers(&["/message/type"]),
        keys: Place::Pointers(&["/message/call/id", "/message/chat/id"]),
        id: Place::Nowhere,
        content_types: &[],
    },
    // https://docs.stripe.com/api/events/object: the object that an event is about, such as a subscription.
    Preset {
        name: "stripe",
        verify: Verify::Stripe,
        event: Place::Pointers(&["/type"]),
        keys: Place::Pointers(&["/data/object/id", "/related_object/id"]),
        id: Place::Pointers(&["/id"]),
        content_types: &[],
    },
    // https://docs.github.com/en/webhooks/webhook-events-and-payloads
    Preset {
        name: "github",
        verify: Verify::Github,
        event: Place::Header("X-GitHub-Event"),
        keys: Place::Pointers(&["/repository/full_name", "/organization/login"]),
        id: Place::Header("X-GitHub-Delivery"),
        content_types: JSON,
    },
    // https://docs.slack.dev/apis/events-api: commands and buttons come as forms.
    Preset {
        name: "slack",
        verify: Verify::Slack,
        event: Place::Pointers(&["/event/type"]),
        keys: Place::Pointers(&[
            "/event/channel",
            "/event/channel/id",
            "/event/item/channel",
            "/team_id",
        ]),
        id: Place::Pointers(&["/event_id"]),
        content_types: JSON,
    },
    // https://shopify.dev/docs/apps/build/webhooks: the global id, because `id` is a number.
    Preset {
        name: "shopify",
        verify: Verify::Shopify,
        event: Place::Header("X-Shopify-Topic"),
        keys: Place::Pointers(&["/admin_graphql_api_id"]),
        id: Place::Header("X-Shopify-Webhook-Id"),
        content_types: &[],
    },
    // https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
    Preset {
        name: "twilio",
        verify: Verify::Twilio,
        event: Place::Nowhere,
        keys: Place::Nowhere,
        id: Place::Header("I-Twilio-Idempotency-Token"),
        content_types: JSON,
    },
    // https://docs.svix.com/receiving/verifying-payloads/how-manual
    Preset {
        name: "svix",
        verify: Verify::StandardWebhooks,
        event: Place::Pointers(&["/type"]),
        keys: Place::Nowhere,
        id: Place::Nowhere,
        content_types: &[],
    },
    // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    Preset {
        name: "standard-webhooks",
        verify: Verify::StandardWebhooks,
        event: Place::Pointers(&["/type"]),
        keys: Place::Nowhere,
        id: Place::Nowhere,
        content_types: &[],
    },
];

/// Writes into the table of a `[[source]]` what its preset knows and it leaves out, and which bodies are JSON if its scheme's
/// sender posts forms too. An unknown preset writes nothing: reading the key reports it.
pub(crate) fn fill(source: &mut Table) {
    let list = |texts: &[&str]| Value::from(texts.to_vec());
    // A pointer stands in the place of a header, and a header in that of a pointer.
    let write = |source: &mut Table, keys: &[&str], key: &str, value: Value| {
        if !keys.iter().any(|key| source.contains_key(*key)) {
            source.insert(key.to_owned(), value);
        }
    };
    let name = source.get("preset").and_then(Value::as_str);
    let preset = name.and_then(|name| PRESETS.iter().find(|preset| preset.name == name));
    if let Some(preset) = preset {
        let verify = Value::from(preset.verify.to_string());
        write(source, &["verify"], "verify", verify);
        for (place, [pointer, header], is_list) in [
            (preset.event, ["event_pointer", "event_header"], false),
            (preset.keys, ["key_pointers", "key_header"], true),
            (preset.id, ["id_pointer", "id_header"], false),
        ] {
            let (key, value) = match place {
                Place::Pointers(pointers) if is_list => (pointer, list(pointers)),
                Place::Pointers(pointers) => (pointer, Value::from(pointers[0])),
                Place::Header(name) => (header, Value::from(name)),
                Place::Nowhere => continue,
            };
            write(source, &[pointer, header], key, value);
        }
    }
    let verify = source.get("verify").and_then(Value::as_str);
    let verify = Verify::ALL
        .into_iter()
        .find(|known| verify == Some(&known.to_string()));
    let by_scheme = if verify.is_some_and(Verify::sends_forms) {
        JSON
    } else {
        &[]
    };
    let content_types = preset.map_or(by_scheme, |preset| preset.content_types);
    if !content_types.is_empty() {
        write(
            source,
            &["content_types"],
            "content_types",
            list(content_types),
        );
    }
}

impl SettingValue for &'static Preset {
    fn kind() -> Kind {
        Kind::scalar(
            "sender",
            "write the name of a known sender, such as \"stripe\"; docs/senders.md has all",
            r#"{"enum": ["retell", "vapi", "stripe", "github", "slack", "shopify", "twilio", "svix", "standard-webhooks"]}"#,
        )
    }

    fn decode(value: Value, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.one_of(&value, &PRESETS.each_ref())
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::quoted(self))
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(source: &str) -> Table {
        let mut source: Table = source.parse().unwrap();
        fill(&mut source);
        source
    }

    #[test]
    fn a_preset_s_places_become_keys_unless_the_source_has_one_for_the_same() {
        let github = filled("preset = \"github\"");
        let expected = "preset = \"github\"\nverify = \"github\"\nevent_header = \"X-GitHub-Event\"\n\
             key_pointers = [\"/repository/full_name\", \"/organization/login\"]\n\
             id_header = \"X-GitHub-Delivery\"\ncontent_types = [\"application/json\", \"+json\"]";
        assert_eq!(github, expected.parse().unwrap());
        let own = "preset = \"github\"\nverify = \"none\"\nevent_pointer = \"/a\"\nkey_header = \"X-Key\"\n\
             id_pointer = \"/id\"\ncontent_types = []";
        assert_eq!(filled(own), own.parse().unwrap());
        let stripe = filled("preset = \"stripe\"");
        assert_eq!(stripe["id_pointer"].as_str(), Some("/id"));
        assert!(!stripe.contains_key("content_types"));
    }

    #[test]
    fn the_schemas_have_every_preset_and_every_scheme() {
        let names = |kind: Kind| {
            let schema: serde_json::Value = serde_json::from_str(kind.schema).unwrap();
            let names = schema["enum"].as_array().unwrap().iter();
            names
                .map(|name| name.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let presets = PRESETS.each_ref().map(ToString::to_string);
        assert_eq!(names(<&'static Preset>::kind()), presets);
        let schemes = Verify::ALL.map(|verify| verify.to_string());
        assert_eq!(names(Verify::kind()), schemes);
    }

    #[test]
    fn without_a_preset_only_senders_of_forms_have_something_filled_in() {
        for (verify, is_filled) in [
            ("twilio", true),
            ("slack", true),
            ("stripe", false),
            ("?", false),
        ] {
            let source = filled(&format!("verify = \"{verify}\""));
            assert_eq!(source.contains_key("content_types"), is_filled, "{verify}");
            assert_eq!(source.len(), 1 + usize::from(is_filled), "{verify}");
        }
        assert_eq!(filled("preset = \"none of them\"").len(), 1);
    }
}
