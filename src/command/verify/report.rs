//! What was found, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::causes::Finding;
use crate::ingest::Verify;
use crate::time;

/// What was found.
#[derive(Debug)]
pub struct Diagnosis {
    pub verify: Verify,
    /// When the request is looked at, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// When it says that it was signed, in milliseconds since the Unix epoch.
    pub signed_ms: Option<u64>,
    /// Where the key that matches was read.
    pub key: Option<String>,
    /// The first is why the request is refused; empty if it is authentic.
    pub causes: Vec<Finding>,
}

impl Diagnosis {
    pub fn new(verify: Verify, now_ms: u64) -> Self {
        Self {
            verify,
            now_ms,
            signed_ms: None,
            key: None,
            causes: Vec::new(),
        }
    }

    pub fn text(&self, style: anstyle::Style) -> String {
        let mut text = String::new();
        let Self { verify, .. } = self;
        let (on, off) = (style.render(), style.render_reset());
        if self.causes.is_empty() {
            let key = self.key.as_deref().unwrap_or("no key");
            let _ = write!(text, "authentic: verify = \"{verify}\", by {key}");
            if let Some(signed) = self.signed_ms {
                let _ = write!(text, ", signed at {}", time::rfc3339(signed));
            }
            return text;
        }
        let _ = write!(text, "{on}refused{off}: verify = \"{verify}\"");
        for finding in &self.causes {
            let remedy = finding.remedy;
            let _ = write!(
                text,
                "\n\ncause   {}: {}\nremedy  {remedy}",
                finding.cause.name(),
                finding.detail
            );
            if let Some(hint) = finding.hint {
                let _ = write!(text, "\nhint    {hint}");
            }
        }
        if self.key.is_some() {
            text.push_str("\n\nThe signature itself matches the key.");
        }
        text
    }

    pub fn json(&self) -> Value {
        let causes = self.causes.iter().map(|finding| {
            json!({
                "cause": finding.cause.name(),
                "detail": finding.detail,
                "remedy": finding.remedy,
                "hint": finding.hint,
            })
        });
        json!({
            "authentic": self.causes.is_empty(),
            "verify": self.verify.to_string(),
            "key": self.key,
            "signed": self.signed_ms.map(time::rfc3339),
            "at": time::rfc3339(self.now_ms),
            "causes": causes.collect::<Vec<_>>(),
        })
    }
}
