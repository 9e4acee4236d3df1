//! What a request's signature shows, in words: which key made it, how old it is, or what differs.

use std::time::Duration;

use serde_json::{Value, json};

use super::known::{KnownSources, keys};
use super::store::{Captured, Entry};
use crate::command::verify::{Capture, Case, Diagnosis, diagnose, strangers};
use crate::ingest::{SourceConfig, Verify};
use crate::words::about;

/// See the module. `text` and `remedy`, which says what to do about the cause if that is known, are in sentences; `key` is the label of
/// the key that matched.
pub fn verdict(entry: &Entry, known: &KnownSources) -> Value {
    let request = &entry.request;
    let source = entry.row.source.as_deref();
    let source = source.and_then(|name| known.by_name(name));
    let words = |text: String| json!({ "text": text, "remedy": null, "key": null, "age_s": null });
    let Some(source) = source else {
        return words("No source has this path, so nobody looked for a signature.".into());
    };
    let name = &source.name;
    match &request.signature {
        None => words("The request was refused before anybody looked at its signature.".into()),
        Some(Ok(None)) => words(format!(
            "Source \"{name}\" takes requests from anybody (verify = \"{}\").",
            Verify::None
        )),
        Some(Ok(Some(label))) => {
            let diagnosis = diagnosis(request, source, known);
            let age = diagnosis.and_then(|diagnosis| age_s(&diagnosis, request));
            let age_text = age.map_or_else(String::new, |age| format!(", {}", described(age)));
            let proof = match source.verify {
                Verify::Bearer | Verify::Basic => "The credentials are right",
                _ => "The signature is valid",
            };
            let text = format!("{proof}: key \"{label}\" of source \"{name}\"{age_text}.");
            json!({ "text": text, "remedy": null, "key": label, "age_s": age })
        }
        Some(Err(error)) if !request.is_whole => words(format!(
            "The {error}. The body is not kept whole, so more cannot be said."
        )),
        Some(Err(error)) => {
            let Some(diagnosis) = diagnosis(request, source, known) else {
                return words(format!("The {error}."));
            };
            let age = age_s(&diagnosis, request);
            let causes = &diagnosis.causes;
            let seen = causes.iter().map(|finding| sentence(&finding.detail));
            let text: Vec<_> = [format!("The {error}.")].into_iter().chain(seen).collect();
            let remedies = causes
                .iter()
                .flat_map(|finding| [Some(finding.remedy), finding.hint]);
            let remedies: Vec<_> = remedies.flatten().map(sentence).collect();
            let remedy = (!remedies.is_empty()).then(|| remedies.join(" "));
            json!({ "text": text.join(" "), "remedy": remedy, "key": null, "age_s": age })
        }
    }
}

/// `None` if the source has no keys that can be read.
fn diagnosis(request: &Captured, source: &SourceConfig, known: &KnownSources) -> Option<Diagnosis> {
    let keys = keys(source);
    if keys.is_empty() {
        return None;
    }
    let strangers = strangers(known.all(), source, &keys);
    let capture = Capture {
        headers: request.headers.to_map(),
        uri: request.target().parse().unwrap_or_default(),
        body: request.body.to_vec(),
        at_ms: None,
    };
    Some(diagnose(&Case {
        verify: source.verify,
        keys: &keys,
        strangers: &strangers,
        capture: &capture,
        now_ms: request.at_ms,
    }))
}

/// Seconds from the signature to the request's arrival; negative if the sender's clock is ahead.
fn age_s(diagnosis: &Diagnosis, request: &Captured) -> Option<i64> {
    let signed = diagnosis.signed_ms?;
    Some((request.at_ms.cast_signed() - signed.cast_signed()) / 1000)
}

fn described(age_s: i64) -> String {
    let duration = about(Duration::from_secs(age_s.unsigned_abs()));
    match age_s {
        0 => String::from("signed within the second before the request arrived"),
        1.. => format!("signed {duration} before the request arrived"),
        _ => format!("signed {duration} ahead of this machine's clock"),
    }
}

/// A clause as a sentence.
pub(super) fn sentence(clause: &str) -> String {
    let mut characters = clause.chars();
    let Some(first) = characters.next() else {
        return String::new();
    };
    let stop = if clause.ends_with('.') { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), characters.as_str())
}
