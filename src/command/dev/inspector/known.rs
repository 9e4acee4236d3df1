//! The sources of this process, as the inspector knows them: what their senders sign with, and samples of their events.

use serde_json::{Value, json};

use super::sending::delivery;
use crate::command::RETELL_KEY;
use crate::command::send::samples;
use crate::command::sender::{Sender, SenderKey};
use crate::ingest::{SourceConfig, Verify};

/// Every source, by its name and its paths.
#[derive(Debug)]
pub struct KnownSources {
    all: Vec<SourceConfig>,
    /// True if they are those of the user's file.
    are_own: bool,
}

impl KnownSources {
    pub fn new(all: Vec<SourceConfig>, are_own: bool) -> Self {
        Self { all, are_own }
    }

    pub fn all(&self) -> &[SourceConfig] {
        &self.all
    }

    pub fn by_name(&self, name: &str) -> Option<&SourceConfig> {
        self.all.iter().find(|source| source.name == name)
    }

    /// What the page shows of them.
    pub fn json(&self) -> Value {
        // As long as the ids that samples are sent with.
        let id = delivery();
        let sources = self.all.iter().map(|source| {
            let samples = samples(source.preset, source.verify).iter().map(|sample| {
                json!({
                    "event": sample.event,
                    "content_type": sample.content_type,
                    "size": sample.body(&id, &id).len(),
                })
            });
            let is_signed = !keys(source).is_empty();
            json!({
                "name": source.name,
                "path": source.path.iter().next(),
                "verify": source.verify.to_string(),
                "preset": source.preset.map(|preset| preset.name),
                "signs": is_signed,
                "unsigned": (!is_signed).then(|| self.unsigned(source)),
                "samples": samples.collect::<Vec<_>>(),
            })
        });
        sources.collect()
    }

    /// Why samples of this source are not signed, and what to do, in sentences.
    fn unsigned(&self, source: &SourceConfig) -> String {
        match source.verify {
            Verify::None if self.are_own => String::from(
                "This source takes requests from anybody (verify = \"none\"). Choose another source for a signed sample.",
            ),
            Verify::None => format!(
                "No key is known for this source. Set {RETELL_KEY} and start ringback dev again, or choose another source for a \
                 signed sample."
            ),
            _ => String::from(
                "No key of this source can be read here. Choose another source for a signed sample.",
            ),
        }
    }
}

/// The source's keys, read each time because a file may have changed; empty if they cannot be read.
pub fn keys(source: &SourceConfig) -> Vec<SenderKey> {
    Sender::of(source.clone()).keys().unwrap_or_default()
}
