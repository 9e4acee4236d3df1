//! Keys that would match: the same one in another form, or another source's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;

use super::{Case, Cause, Finding, request};

const WITH_PREFIX: &str = "with the prefix whsec_ before it";

impl Case<'_> {
    /// The key as text, without its prefix, decoded, or with what a file or a shell adds.
    pub(super) fn key_in_another_form(&self) -> Option<Finding> {
        let request = request(&self.capture.headers, self.capture, &self.capture.body);
        self.keys.iter().find_map(|key| {
            let secret = key.secret.expose_secret();
            let mut forms = key_forms(secret).into_iter();
            let (how, _) = forms.find(|(_, bytes)| key.signer.would_match(bytes, &request))?;
            let detail = format!("{} holds the right key, but it signed {how}", key.origin);
            let finding = Finding::new(Cause::KeyEncoding, detail);
            Some(match how {
                WITH_PREFIX => Finding {
                    remedy: "put whsec_ before it, as the sender shows it",
                    ..finding
                },
                _ => finding,
            })
        })
    }

    /// A key of another source of the configuration, by the same scheme.
    pub(super) fn key_of_another_source(&self) -> Option<Finding> {
        let request = request(&self.capture.headers, self.capture, &self.capture.body);
        let mut strangers = self.strangers.iter();
        let source = strangers.find_map(|stranger| {
            let examined = stranger.signer.examine(&request, self.now_ms).ok()?;
            let source = stranger.source.as_ref()?;
            (stranger.verify == self.verify && examined.is_match).then_some(source)
        })?;
        let detail = format!("the signature matches a key of source {source:?}");
        Some(Finding::new(Cause::WrongKey, detail))
    }
}

/// What one secret may be taken for, with words that follow "it signed".
fn key_forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    const PREFIX: &str = "whsec_";
    let bare = secret.strip_prefix(PREFIX);
    let rest = bare.unwrap_or(secret);
    let mut forms = vec![
        ("as the text that it is, not decoded", secret.into()),
        ("with a newline at its end", format!("{secret}\n").into()),
        ("with quotes around it", format!("\"{secret}\"").into()),
    ];
    match bare {
        Some(bare) => forms.push(("without its prefix whsec_", bare.into())),
        None => forms.push((WITH_PREFIX, format!("{PREFIX}{secret}").into())),
    }
    let decoded = [
        ("decoded from base64", STANDARD.decode(rest).ok()),
        ("decoded from hexadecimal digits", hex::decode(rest).ok()),
    ];
    for (how, bytes) in decoded {
        forms.extend(bytes.map(|bytes| (how, bytes)));
    }
    forms.retain(|(_, bytes)| !bytes.is_empty());
    forms
}
