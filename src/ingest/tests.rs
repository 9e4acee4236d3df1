//! Which configurations are refused, and how keys are replaced while serving.

use std::future::{Ready, ready};

use ::bytes::Bytes;

use super::*;
use crate::journal::AppendError;

struct Nowhere;

impl Append for Nowhere {
    type Commit = Ready<Result<u64, AppendError>>;

    fn append(&self, _: Vec<u8>, _: Bytes) -> Result<Self::Commit, AppendError> {
        Ok(ready(Err(AppendError::Closed)))
    }
}

fn source(name: &str, path: &str) -> SourceConfig {
    SourceConfig {
        name: name.into(),
        path: path.into(),
        verify: Verify::None,
        keys: Vec::new(),
        ..SourceConfig::default()
    }
}

#[test]
fn sources_that_are_ambiguous_or_unreachable_are_refused_by_name() {
    let good = [
        source("retell", "/webhook"),
        source("agent-2_x", "/agents/2"),
    ];
    assert!(check_sources(&good).is_ok());
    assert!(matches!(check_sources(&[]), Err(IngestError::NoSource)));
    for name in ["", "Retell", "a b", "é", &"a".repeat(65)] {
        let refused = check_sources(&[source(name, "/")]);
        assert!(matches!(refused, Err(IngestError::Name { .. })), "{name}");
    }
    for path in ["", "webhook", "/a?b", "/a#b", "/a b", "/é"] {
        let refused = check_sources(&[source("a", path)]);
        assert!(matches!(refused, Err(IngestError::Path { .. })), "{path}");
    }
    let refused = check_sources(&[source("a", "/a"), source("a", "/b")]);
    assert!(matches!(refused, Err(IngestError::DuplicateName { .. })));
    let refused = check_sources(&[source("a", "/a"), source("b", "/a")]);
    assert!(matches!(refused, Err(IngestError::DuplicatePath { .. })));
    let mut bad = source("a", "/a");
    bad.key_pointers = Some(vec!["/x".into(), "y".into()]);
    let text = check_sources(&[bad]).unwrap_err().to_string();
    assert!(text.contains("\"a\"") && text.contains("\"y\""), "{text}");
    let mut keyless = source("a", "/a");
    keyless.verify = Verify::Retell;
    let refused = check_sources(&[keyless]);
    assert!(matches!(refused, Err(IngestError::Key { .. })));
}

#[test]
fn how_to_verify_has_no_default() {
    fn read<T: crate::settings::SettingValue>(text: &str) -> Option<T> {
        let none = std::collections::BTreeMap::new;
        let (value, errors) = crate::settings::decode(text.parse().unwrap(), &none(), &none());
        value.filter(|_| errors.is_empty())
    }
    let spelled = "name = \"a\"\npath = \"/\"\nverify = \"none\"";
    assert!(read::<SourceConfig>(spelled).is_some());
    assert!(read::<SourceConfig>("name = \"a\"\npath = \"/\"").is_none());
    assert!(read::<SourceConfig>(&format!("{spelled}\nkey = 1")).is_none());
    let listen: ListenConfig = read("max_body = \"1MiB\"\nbody_timeout = \"3s\"").unwrap();
    assert_eq!(listen.max_body, ByteSize::mib(1));
    assert_eq!(listen.body_timeout, std::time::Duration::from_secs(3));
}

#[test]
fn a_reload_that_fails_keeps_every_old_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "first\n").unwrap();
    let mut config = source("retell", "/webhook");
    config.verify = Verify::Retell;
    config.keys = vec![KeyConfig {
        env: None,
        file: Some(file.clone()),
        name: None,
    }];
    let sources = [config];
    let registry = crate::telemetry::Registry::new();
    let metrics = Metrics::register(&registry, &sources).unwrap();
    let ingest = Ingest::new(&ListenConfig::default(), &sources, Nowhere, metrics).unwrap();
    let verdict = |secret: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert(
            "x-retell-signature",
            sign(secret, b"body", 7).parse().unwrap(),
        );
        ingest.ingress.sources[0]
            .authenticator
            .authenticate(&headers, b"body", 7)
    };
    assert_eq!(verdict("first"), Ok(Some(0)));
    assert_eq!(verdict("second"), Err(AuthenticateError::Mismatch));
    std::fs::write(&file, "\n").unwrap();
    assert!(ingest.reload_keys().is_err());
    assert_eq!(verdict("first"), Ok(Some(0)));
    std::fs::write(&file, "second").unwrap();
    ingest.reload_keys().unwrap();
    assert_eq!(verdict("first"), Err(AuthenticateError::Mismatch));
    assert_eq!(verdict("second"), Ok(Some(0)));
}

fn sign(secret: &str, body: &[u8], timestamp_ms: u64) -> String {
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.update(timestamp_ms.to_string().as_bytes());
    format!(
        "v={timestamp_ms},d={}",
        hex::encode(mac.finalize().into_bytes())
    )
}
