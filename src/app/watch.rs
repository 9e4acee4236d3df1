//! ringback checks files with keys and credentials every few seconds, and reads a changed Secret again without a signal.

use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Config;

/// How often the files are looked at; a Kubernetes Secret reaches a pod's volume within a minute anyway.
const POLL: Duration = Duration::from_secs(5);

/// The files and how they last looked.
pub(super) struct KeyFiles {
    /// The sources' keys.
    keys: Vec<Watched>,
    /// What a Kafka producer is made of.
    credentials: Vec<Watched>,
}

struct Watched {
    file: PathBuf,
    seen: Option<Stamp>,
}

/// Inode, length, and the time of the last change of content or metadata, which nobody can set back.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// Whose files have changed; at least one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed {
    /// The sources' keys.
    pub(super) keys: bool,
    /// Kafka's credentials.
    pub(super) credentials: bool,
}

impl KeyFiles {
    /// As they look now.
    pub(super) fn watch(config: &Config) -> Self {
        let keys = config.source.iter().flat_map(|source| &source.keys);
        let keys = keys.filter_map(|key| key.file.clone());
        let credentials = config.kafka.files().into_iter();
        Self {
            keys: keys.map(Watched::new).collect(),
            credentials: credentials.map(Watched::new).collect(),
        }
    }

    /// Resolves once a file looks different; never where there is none to watch.
    pub(super) async fn changed(&mut self) -> Changed {
        if self.keys.is_empty() && self.credentials.is_empty() {
            return pending().await;
        }
        loop {
            tokio::time::sleep(POLL).await;
            let changed = self.look();
            if changed.keys || changed.credentials {
                return changed;
            }
        }
    }

    fn look(&mut self) -> Changed {
        // Each is looked at, also behind one that has changed. Keys that cannot be read are their reader's to complain of.
        let keys = self.keys.iter_mut().filter_map(Watched::look).count() > 0;
        let mut credentials = false;
        for watched in &mut self.credentials {
            match watched.look() {
                None => {}
                Some(Some(stamp)) if stamp.length > 0 => credentials = true,
                // The present producer has what it needs: it is not given up for nothing.
                Some(_) => {
                    let file = watched.file.display();
                    tracing::error!(%file, "a file of [kafka.client] is gone or empty; what was read of it stays");
                }
            }
        }
        Changed { keys, credentials }
    }
}

impl Watched {
    fn new(file: PathBuf) -> Self {
        Self {
            seen: stamp(&file),
            file,
        }
    }

    /// How it looks now, where that is another look than before.
    #[allow(
        clippy::option_option,
        reason = "another look, or none; a file, or none"
    )]
    fn look(&mut self) -> Option<Option<Stamp>> {
        let now = stamp(&self.file);
        let before = std::mem::replace(&mut self.seen, now);
        (now != before).then_some(now)
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        length: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_seen_once_and_one_that_is_gone_or_empty_is_no_new_credential() {
        let folder = tempfile::tempdir().unwrap();
        let (key, password) = (folder.path().join("key"), folder.path().join("password"));
        std::fs::write(&key, "1").unwrap();
        std::fs::write(&password, "1").unwrap();
        let mut files = KeyFiles {
            keys: vec![Watched::new(key.clone())],
            credentials: vec![
                Watched::new(password.clone()),
                Watched::new(folder.path().join("probe")),
            ],
        };
        let mut look = || {
            let Changed { keys, credentials } = files.look();
            (keys, credentials)
        };
        assert_eq!(look(), (false, false));
        std::fs::write(&password, "22").unwrap();
        assert_eq!(look(), (false, true));
        assert_eq!(look(), (false, false));
        std::fs::write(&password, "").unwrap();
        std::fs::remove_file(&key).unwrap();
        assert_eq!(look(), (true, false));
        std::fs::remove_file(&password).unwrap();
        assert_eq!(look(), (false, false));
        std::fs::write(&password, "22").unwrap();
        std::fs::write(&key, "1").unwrap();
        assert_eq!(look(), (true, true));
    }
}
