//! Key files are looked at now and then, so that a changed Secret is read anew without a signal.

use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use crate::config::Config;

/// How often key files are looked at; a Kubernetes Secret reaches a pod's volume within a minute anyway.
const KEY_POLL: Duration = Duration::from_secs(5);

/// The key files and how they last looked.
pub(super) struct KeyFiles {
    seen: Vec<(std::path::PathBuf, Option<Stamp>)>,
}

/// Inode, length, and the time of the last change of content or metadata, which nobody can set back.
type Stamp = (u64, u64, i64, i64);

impl KeyFiles {
    /// As they look now.
    pub(super) fn watch(config: &Config) -> Self {
        let files = config.source.iter().flat_map(|source| &source.keys);
        let files = files.filter_map(|key| key.file.clone());
        Self {
            seen: files.map(|file| (file.clone(), stamp(&file))).collect(),
        }
    }

    /// Resolves once a file looks different; never where there is none to watch.
    pub(super) async fn changed(&mut self) {
        if self.seen.is_empty() {
            return pending().await;
        }
        loop {
            tokio::time::sleep(KEY_POLL).await;
            let mut changed = false;
            for (file, seen) in &mut self.seen {
                let now = stamp(file);
                changed |= now != *seen;
                *seen = now;
            }
            if changed {
                return;
            }
        }
    }
}

fn stamp(file: &std::path::Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((
        metadata.ino(),
        metadata.len(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ))
}
