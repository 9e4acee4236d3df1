//! The sources of this process, as the inspector knows them: what their senders sign with, and samples of their events.

use serde_json::{Value, json};

use crate::command::send::samples;
use crate::command::sender::{Sender, SenderKey};
use crate::ingest::SourceConfig;

/// Every source, by its name and its paths.
#[derive(Debug)]
pub struct KnownSources(Vec<SourceConfig>);

impl KnownSources {
    pub fn new(sources: Vec<SourceConfig>) -> Self {
        Self(sources)
    }

    pub fn all(&self) -> &[SourceConfig] {
        &self.0
    }

    pub fn by_name(&self, name: &str) -> Option<&SourceConfig> {
        self.0.iter().find(|source| source.name == name)
    }

    /// What the page shows of them.
    pub fn json(&self) -> Value {
        let sources = self.0.iter().map(|source| {
            let samples = samples(source.preset, source.verify).iter().map(|sample| {
                json!({
                    "event": sample.event,
                    "content_type": sample.content_type,
                    "size": sample.body("", "").len(),
                })
            });
            json!({
                "name": source.name,
                "path": source.path.iter().next(),
                "verify": source.verify.to_string(),
                "preset": source.preset.map(|preset| preset.name),
                "signs": !keys(source).is_empty(),
                "samples": samples.collect::<Vec<_>>(),
            })
        });
        sources.collect()
    }
}

/// The source's keys, read anew, because a file may have changed; none if they cannot be read.
pub fn keys(source: &SourceConfig) -> Vec<SenderKey> {
    Sender::of(source.clone()).keys().unwrap_or_default()
}
