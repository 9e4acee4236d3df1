//! Which of the configuration's file and the files with keys, credentials and certificates have changed, so that what has
//! changed in a `ConfigMap` or Secret is taken without a signal.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// The files, with what was last seen of them.
pub(super) struct WatchedFiles {
    /// The configuration itself; `None` if it is in no file.
    configuration: Option<WatchedFile>,
    /// With the sources' keys.
    keys: Vec<WatchedFile>,
    /// With what a Kafka producer is built from.
    credentials: Vec<WatchedFile>,
    /// The listener's certificate and its key.
    certificate: Vec<WatchedFile>,
    /// The admin listener's.
    token: Vec<WatchedFile>,
}

pub(super) struct WatchedFile {
    path: PathBuf,
    seen: Option<FileStamp>,
    /// It had changed at the last check.
    has_changed: bool,
}

/// Two are equal if they watch the same path.
impl PartialEq for WatchedFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

/// Inode, length, and the time of the last change of content or metadata, which no program can set back.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// Which files have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each combination can occur")]
pub(super) struct ChangedFiles {
    pub(super) configuration: bool,
    pub(super) keys: bool,
    pub(super) credentials: bool,
    pub(super) certificate: bool,
    pub(super) token: bool,
}

impl WatchedFiles {
    /// The file of the configuration, and every file that it names, as it is now: a change counts from here on, so this precedes
    /// their reading.
    pub(super) fn new(config: &Config, configuration: Option<WatchedFile>) -> Self {
        let keys = config.source.iter().flat_map(|source| &source.keys);
        let keys = keys.filter_map(|key| key.file.clone());
        let credentials = config.kafka.client.files().into_iter();
        let tls = config.listen.tls.iter();
        let certificate = tls.flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]);
        let token = config.admin.token.iter();
        let token = token.filter_map(|token| token.file.clone());
        Self {
            configuration,
            keys: keys.map(WatchedFile::new).collect(),
            credentials: credentials.map(WatchedFile::new).collect(),
            certificate: certificate.map(WatchedFile::new).collect(),
            token: token.map(WatchedFile::new).collect(),
        }
    }

    /// Watches these files from now on, and the configuration's as before. True if the certificate is in other files.
    pub(super) fn watch(&mut self, files: Self) -> bool {
        let mut before = std::mem::replace(self, files);
        self.configuration = before.configuration.take();
        let is_elsewhere = !self.certificate.iter().eq(&before.certificate);
        // Of a file that was watched before, no change may be missed.
        let keep = |files: &mut Vec<WatchedFile>, before: Vec<WatchedFile>| {
            for watched in before {
                if let Some(file) = files.iter_mut().find(|file| **file == watched) {
                    *file = watched;
                }
            }
        };
        keep(&mut self.keys, before.keys);
        keep(&mut self.certificate, before.certificate);
        keep(&mut self.credentials, before.credentials);
        keep(&mut self.token, before.token);
        is_elsewhere
    }

    /// What has changed since the last check. What is `due` counts as changed. Blocks while it looks at the files.
    pub(super) fn check(&mut self, due: ChangedFiles) -> ChangedFiles {
        // Each file is checked, also after one that has changed. Their readers report what they cannot read.
        let any = |files: &mut Vec<WatchedFile>| {
            let changed = files.iter_mut().filter_map(WatchedFile::check);
            changed.count() > 0
        };
        let keys = any(&mut self.keys);
        // With a key the whole configuration is read again, which says whether the next start would succeed.
        let configuration = self.configuration.as_mut();
        let configuration = configuration.is_some_and(|file| {
            file.has_settled() || ((due.configuration || keys) && !file.has_changed)
        });
        let certificate = any(&mut self.certificate) || due.certificate;
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
            configuration,
            keys,
            credentials,
            certificate,
            token,
        }
    }
}

impl WatchedFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            seen: stamp(&path),
            path,
            has_changed: false,
        }
    }

    /// True if the file has changed, but not since the last check: half of a file that is being written may be a valid
    /// configuration, with fewer sources.
    fn has_settled(&mut self) -> bool {
        let has_changed = self.check().is_some();
        std::mem::replace(&mut self.has_changed, has_changed) && !has_changed
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
            configuration: None,
            keys: vec![WatchedFile::new(key.clone())],
            credentials: vec![
                WatchedFile::new(password.clone()),
                WatchedFile::new(folder.path().join("probe")),
            ],
            certificate: Vec::new(),
            token: Vec::new(),
        };
        let mut check = || {
            let changed = files.check(ChangedFiles::default());
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
        let path = folder.path().join("toml");
        std::fs::write(&path, "1").unwrap();
        let mut files = WatchedFiles {
            configuration: Some(WatchedFile::new(path.clone())),
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
        assert_eq!(files.check(ChangedFiles::default()), none);
        for (path, flags) in paths.iter().zip([certificate, certificate, token]) {
            std::fs::write(path, "1").unwrap();
            assert_eq!(files.check(ChangedFiles::default()), flags);
        }
        assert_eq!(files.check(ChangedFiles::default()), none);
        assert_eq!(files.check(certificate), certificate);
        // A configuration counts once it is not written any more.
        let configuration = ChangedFiles {
            configuration: true,
            ..none
        };
        for text in ["22", "333"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(files.check(configuration), none);
        }
        assert_eq!(files.check(none), configuration);
        assert_eq!(files.check(none), none);
        assert_eq!(files.check(configuration), configuration);
    }
}
