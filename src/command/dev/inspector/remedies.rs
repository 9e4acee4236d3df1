//! What a developer can do about each reason for which requests are refused.

/// A sentence for the metric's label of a refusal.
pub fn remedy(reason: &str) -> &'static str {
    match reason {
        "unknown_path" => {
            "Post to the path of a source; the sources are listed with their paths. A query does not matter, nor one slash at the end."
        }
        "address_not_allowed" => {
            "Add the client's network to the source's allow, or the proxy's to listen.trusted_proxies if one stands in between."
        }
        "method_not_allowed" => "Have the sender use POST, as webhooks do.",
        "content_encoding" => {
            "Have the sender, or the proxy in between, leave the body uncompressed."
        }
        "transfer_encoding" => {
            "Have the sender, or the proxy in between, send a Content-Length or plain chunks."
        }
        "too_many_headers" => "Have the sender, or the proxy in between, add fewer headers.",
        "body_too_large" => {
            "Raise the source's max_body, or listen.max_body, if such events are meant to come."
        }
        "body_timeout" | "body_stalled" => {
            "Look for what slows the sender's body down; listen.body_timeout says how long it may take."
        }
        "body_broken" => {
            "Look for what cuts the body short: the sender, or a proxy with a limit of its own."
        }
        "memory_exhausted" => "Send fewer large bodies at once, or raise listen.max_in_flight.",
        "rate_limited" => {
            "Wait for as long as Retry-After says, or raise the source's rate_limit or client_rate_limit."
        }
        "signature_missing" => {
            "Send a signed sample from here, or sign the request: ringback send does. A proxy in between must pass the header on."
        }
        "signature_malformed" => {
            "Write the header as the sender documents it: once, whole, without quotes or spaces around it."
        }
        "signature_stale" => {
            "Sign the request again before it is sent, and set the clocks of both machines (NTP)."
        }
        "signature_mismatch" => {
            "Give the source the key that the sender signs with, and have nothing in between change the body; the signature's section says what differs."
        }
        "not_json" => {
            "Send one JSON document; for bodies that are none, such as forms, list the JSON ones in the source's content_types."
        }
        "no_event" => {
            "Send an event's name where the source looks for one: its event_pointer or event_header says where."
        }
        "journal_full" | "journal_overloaded" | "commit_timeout" => {
            "Send it again, more slowly: the journal is written as fast as this machine's disk allows."
        }
        "journal_poisoned" | "journal_closed" | "unpublishable" | "panic" => {
            "Look at the terminal for the reason, and start ringback again."
        }
        "client_gone" => {
            "Have the sender wait longer for its answer. An event that was accepted is stored all the same."
        }
        _ => "The answer says what is to be fixed.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::refusal_labels;

    #[test]
    fn each_reason_that_a_sender_is_answered_has_a_remedy() {
        let labels: Vec<_> = refusal_labels().collect();
        assert!(labels.contains(&"client_gone"), "{labels:?}");
        for label in labels {
            assert_ne!(remedy(label), remedy("none of them"), "{label}");
        }
    }
}
