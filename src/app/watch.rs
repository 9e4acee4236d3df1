//! ringback checks files with keys, credentials and certificates every few seconds, and reads a changed Secret again
//! without a signal.

use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Config;

/// How often the files are checked. A Kubernetes Secret takes up to a minute to reach a pod's volume anyway.
const INTERVAL: Duration = Duration::from_secs(5);

/// The files, with what was last seen of them.
pub(super) struct WatchedFiles {
    /// With the sources' keys.
    keys: Vec<WatchedFile>,
    /// With what a Kafka producer is built from.
    credentials: Vec<WatchedFile>,
    /// The listener's certificate and its key.
    certificate: Vec<WatchedFile>,
    /// The admin listener's.
    token: Vec<WatchedFile>,
}

struct WatchedFile {
    path: PathBuf,
    seen: Option<FileStamp>,
}

/// Inode, length, and the time of the last change of content or metadata, which no program can set back.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// Which files have changed; at least one flag is set when [`WatchedFiles::changed`] returns it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each combination can occur")]
pub(super) struct ChangedFiles {
    pub(super) keys: bool,
    pub(super) credentials: bool,
    pub(super) certificate: bool,
    pub(super) token: bool,
}

impl WatchedFiles {
    /// Every file that the configuration names, as it is now.
    pub(super) fn new(config: &Config) -> Self {
        let keys = config.source.iter().flat_map(|source| &source.keys);
        let keys = keys.filter_map(|key| key.file.clone());
        let credentials = config.kafka.client.files().into_iter();
        let tls = config.listen.tls.iter();
        let certificate = tls.flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]);
        let token = config.admin.token.iter();
        let token = token.filter_map(|token| token.file.clone());
        Self {
            keys: keys.map(WatchedFile::new).collect(),
            credentials: credentials.map(WatchedFile::new).collect(),
            certificate: certificate.map(WatchedFile::new).collect(),
            token: token.map(WatchedFile::new).collect(),
        }
    }

    /// Resolves when a file has changed; never if there is none to watch. If `is_certificate_due`, the certificate counts as
    /// changed at the next check.
    pub(super) async fn changed(&mut self, is_certificate_due: bool) -> ChangedFiles {
        let Self {
            keys,
            credentials,
            certificate,
            token,
        } = self;
        let lists = [&*keys, &*credentials, &*certificate, &*token];
        if lists.iter().all(|list| list.is_empty()) {
            return pending().await;
        }
        loop {
            tokio::time::sleep(INTERVAL).await;
            let changed = self.check(is_certificate_due);
            if changed != ChangedFiles::default() {
                return changed;
            }
        }
    }

    fn check(&mut self, is_certificate_due: bool) -> ChangedFiles {
        // Each file is checked, also after one that has changed. Their readers report what they cannot read.
        let any = |files: &mut Vec<WatchedFile>| {
            let changed = files.iter_mut().filter_map(WatchedFile::check);
            changed.count() > 0
        };
        let keys = any(&mut self.keys);
        let certificate = any(&mut self.certificate) || is_certificate_due;
        let token = any(&mut self.token);
        let mut credentials = false;
        for watched in &mut self.credentials {
            match watched.check() {
                None => {}
                Some(Some(stamp)) if stamp.length > 0 => credentials = true,
                // The present producer has its credentials: replacing it would gain nothing.
                Some(_) => {
                    let file = watched.path.display();
                    tracing::error!(%file, "a file of [kafka.client] is missing or empty; its last content stays in use");
                }
            }
        }
        ChangedFiles {
            keys,
            credentials,
            certificate,
            token,
        }
    }
}

impl WatchedFile {
    fn new(path: PathBuf) -> Self {
        Self {
            seen: stamp(&path),
            path,
        }
    }

    /// `Some` if the file has changed since the last check; the inner value is `None` if it is gone.
    #[allow(clippy::option_option, reason = "changed or not; a file or none")]
    fn check(&mut self) -> Option<Option<FileStamp>> {
        let now = stamp(&self.path);
        let before = std::mem::replace(&mut self.seen, now);
        (now != before).then_some(now)
    }
}

fn stamp(path: &Path) -> Option<FileStamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(FileStamp {
        inode: metadata.ino(),
        length: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_reported_once_and_a_missing_or_empty_file_is_no_new_credential() {
        let folder = tempfile::tempdir().unwrap();
        let (key, password) = (folder.path().join("key"), folder.path().join("password"));
        std::fs::write(&key, "1").unwrap();
        std::fs::write(&password, "1").unwrap();
        let mut files = WatchedFiles {
            keys: vec![WatchedFile::new(key.clone())],
            credentials: vec![
                WatchedFile::new(password.clone()),
                WatchedFile::new(folder.path().join("probe")),
            ],
            certificate: Vec::new(),
            token: Vec::new(),
        };
        let mut check = || {
            let changed = files.check(false);
            (changed.keys, changed.credentials)
        };
        assert_eq!(check(), (false, false));
        std::fs::write(&password, "22").unwrap();
        assert_eq!(check(), (false, true));
        assert_eq!(check(), (false, false));
        std::fs::write(&password, "").unwrap();
        std::fs::remove_file(&key).unwrap();
        assert_eq!(check(), (true, false));
        std::fs::remove_file(&password).unwrap();
        assert_eq!(check(), (false, false));
        std::fs::write(&password, "22").unwrap();
        std::fs::write(&key, "1").unwrap();
        assert_eq!(check(), (true, true));
    }

    #[test]
    fn certificate_and_token_have_flags_of_their_own_and_an_unusable_certificate_stays_due() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["crt", "key", "token"].map(|name| folder.path().join(name));
        let [certificate, key, token] = paths.clone().map(WatchedFile::new);
        let mut files = WatchedFiles {
            keys: Vec::new(),
            credentials: Vec::new(),
            certificate: vec![certificate, key],
            token: vec![token],
        };
        let none = ChangedFiles::default();
        let certificate = ChangedFiles {
            certificate: true,
            ..none
        };
        let token = ChangedFiles {
            token: true,
            ..none
        };
        assert_eq!(files.check(false), none);
        for (path, flags) in paths.iter().zip([certificate, certificate, token]) {
            std::fs::write(path, "1").unwrap();
            assert_eq!(files.check(false), flags);
        }
        assert_eq!(files.check(false), none);
        assert_eq!(files.check(true), certificate);
    }
}
