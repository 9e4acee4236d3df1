//! A sample of each kind of event of each sender, with the sizes of real ones.
//!
//! Where a sender's own ids are, the samples have `SAMPLE_ID` (what the event is about, hence the record's key) and
//! `SAMPLE_MESSAGE` (the message).

use http::{HeaderName, HeaderValue};

use super::messages::Message;
use super::typed;
use crate::ingest::{Preset, Verify};

/// One event, as its sender would post it.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// As the sender calls it.
    pub event: &'static str,
    /// The header in which the sender says so, if it is not in the body alone.
    pub event_header: Option<&'static str>,
    pub content_type: &'static str,
    text: &'static str,
}

impl Sample {
    /// The body about `id`; `message` is the message's.
    pub fn body(&self, id: &str, message: &str) -> String {
        let text = self.text.replace("SAMPLE_ID", id);
        text.replace("SAMPLE_MESSAGE", message)
    }

    /// The request about `id`, without its signature; `delivery` is the message's id.
    pub fn message(&self, id: String, delivery: String) -> Message {
        let mut headers = typed(self.content_type);
        headers.extend(self.event_header.map(|name| {
            let value = HeaderValue::from_static(self.event);
            (HeaderName::from_static(name), value)
        }));
        Message {
            event: self.event.to_owned(),
            body: self.body(&id, &delivery).into(),
            id,
            delivery,
            headers,
            recorded: None,
        }
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

macro_rules! samples {
    ($name:ident, $header:expr, $($event:literal in $file:literal as $type:expr),+ $(,)?) => {
        static $name: &[Sample] = &[$(Sample {
            event: $event,
            event_header: $header,
            content_type: $type,
            text: include_str!(concat!("samples/", $file)),
        }),+];
    };
}

samples!(RETELL, None,
    "call_started" in "retell/call_started.json" as JSON,
    "transcript_updated" in "retell/transcript_updated.json" as JSON,
    "transfer_started" in "retell/transfer_started.json" as JSON,
    "transfer_bridged" in "retell/transfer_bridged.json" as JSON,
    "transfer_cancelled" in "retell/transfer_cancelled.json" as JSON,
    "transfer_ended" in "retell/transfer_ended.json" as JSON,
    "call_ended" in "retell/call_ended.json" as JSON,
    "call_analyzed" in "retell/call_analyzed.json" as JSON,
    "chat_started" in "retell/chat_started.json" as JSON,
    "chat_ended" in "retell/chat_ended.json" as JSON,
    "chat_analyzed" in "retell/chat_analyzed.json" as JSON,
    "call_inbound" in "retell/call_inbound.json" as JSON,
    "chat_inbound" in "retell/chat_inbound.json" as JSON,
);
samples!(VAPI, None,
    "status-update" in "vapi/status-update.json" as JSON,
    "end-of-call-report" in "vapi/end-of-call-report.json" as JSON,
);
samples!(STRIPE, None,
    "invoice.paid" in "stripe/invoice.paid.json" as JSON,
    "customer.subscription.updated" in "stripe/customer.subscription.updated.json" as JSON,
    "payment_intent.succeeded" in "stripe/payment_intent.succeeded.json" as JSON,
);
samples!(GITHUB, Some("x-github-event"),
    "ping" in "github/ping.json" as JSON,
    "push" in "github/push.json" as JSON,
    "issues" in "github/issues.json" as JSON,
);
samples!(SLACK, None,
    "message" in "slack/message.json" as JSON,
    "app_mention" in "slack/app_mention.json" as JSON,
    "command" in "slack/command.form" as FORM,
);
samples!(SHOPIFY, Some("x-shopify-topic"),
    "orders/create" in "shopify/orders-create.json" as JSON,
    "products/update" in "shopify/products-update.json" as JSON,
);
samples!(TWILIO, None,
    "call-status" in "twilio/call-status.form" as FORM,
    "message" in "twilio/message.form" as FORM,
);
samples!(STANDARD_WEBHOOKS, None,
    "contact.created" in "standard-webhooks/contact.created.json" as JSON,
    "invoice.paid" in "standard-webhooks/invoice.paid.json" as JSON,
);
samples!(OTHER, None,
    "example.created" in "other/example.created.json" as JSON,
);

/// The samples of a source's sender.
pub fn samples(preset: Option<&Preset>, verify: Verify) -> &'static [Sample] {
    match verify {
        _ if preset.is_some_and(|preset| preset.name == "vapi") => VAPI,
        Verify::None | Verify::Retell => RETELL,
        Verify::Stripe => STRIPE,
        Verify::Github => GITHUB,
        Verify::Slack => SLACK,
        Verify::Shopify => SHOPIFY,
        Verify::Twilio => TWILIO,
        Verify::StandardWebhooks => STANDARD_WEBHOOKS,
        Verify::Hmac | Verify::Bearer | Verify::Basic => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_event_of_retell_has_a_sample_and_each_says_what_it_is_about() {
        let events: Vec<_> = RETELL.iter().map(|sample| sample.event).collect();
        let kinds = Verify::Retell.event_kinds();
        assert_eq!(events.len(), kinds.len());
        assert!(kinds.iter().all(|kind| events.contains(kind)), "{events:?}");
        let all = [
            RETELL,
            VAPI,
            STRIPE,
            GITHUB,
            SLACK,
            SHOPIFY,
            TWILIO,
            STANDARD_WEBHOOKS,
            OTHER,
        ];
        for sample in all.concat() {
            let body = sample.body("id-1", "m-1");
            assert!(
                body.contains("id-1") && !body.contains("SAMPLE"),
                "{sample:?}"
            );
            if sample.content_type == JSON {
                let read: serde_json::Value = serde_json::from_str(&body).unwrap();
                let named =
                    sample.event_header.is_some() || read.to_string().contains(sample.event);
                assert!(named, "{sample:?}");
            }
        }
    }
}
