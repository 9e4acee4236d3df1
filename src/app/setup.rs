//! What the admin listener's status page shows of the configuration.

use crate::admin::{Setup, SourceSetup};
use crate::config::Config;
use crate::ingest::{self, SourceConfig};
use crate::publish::Ack;

/// Of this configuration, without anything that is secret.
pub(super) fn setup(config: &Config) -> Setup {
    Setup {
        keeps_on_disk: config.ack == Ack::Disk,
        sources: config.source.iter().map(source).collect(),
        advice: ingest::advice,
    }
}

fn source(source: &SourceConfig) -> SourceSetup {
    SourceSetup {
        name: source.name.clone(),
        paths: source.path.iter().map(str::to_owned).collect(),
        verify: source.verify.to_string(),
        keys: source.key_labels().collect(),
        key_hint: source.verify.key_hint(),
    }
}
