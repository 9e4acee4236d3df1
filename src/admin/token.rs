//! The token of the admin listener. Probes need none: a kubelet cannot send a secret.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use secrecy::ExposeSecret as _;

use super::answer::{PLAIN, text};
use crate::secret::{SecretError, SecretForm, SecretSource};
use crate::settings::settings;

settings! {
    /// Where the token is read: exactly one of `env` and `file`.
    pub struct TokenConfig {
        /// An environment variable.
        env: Option<String> = None;
        /// A file.
        file: Option<PathBuf> = None;
    }
}

impl TokenConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let source = self.source().map(drop);
        source.ok_or_else(|| String::from("give exactly one of env and file"))
    }

    /// What [`Token::new`] would find wrong; `None` if nothing is. Blocks while it reads a file.
    pub fn fault(&self) -> Option<SecretError> {
        // The check of the key reports it if there is no source.
        self.read()?.err()
    }

    fn source(&self) -> Option<SecretSource> {
        match (&self.env, &self.file) {
            (Some(variable), None) => Some(SecretSource::Variable(variable.clone())),
            (None, Some(file)) => Some(SecretSource::File(file.clone())),
            _ => None,
        }
    }

    /// `None` unless exactly one source is given.
    fn read(&self) -> Option<Result<blake3::Hash, SecretError>> {
        let secret = self
            .source()?
            .read(SecretForm::Line, |name| std::env::var(name).ok());
        Some(secret.map(|secret| blake3::hash(secret.expose_secret().as_bytes())))
    }
}

/// The token that requests must carry. Only its hash is kept; hashes compare in constant time, whatever their tokens' lengths.
#[derive(Debug)]
pub(super) struct Token {
    config: TokenConfig,
    hash: ArcSwap<blake3::Hash>,
}

impl Token {
    /// Reads it; a blank or unreadable one is an error. `None` unless exactly one source is configured, which
    /// [`TokenConfig::check`] refuses.
    pub(super) fn new(config: &TokenConfig) -> Option<Result<Self, SecretError>> {
        Some(config.read()?.map(|hash| Self {
            config: config.clone(),
            hash: ArcSwap::from_pointee(hash),
        }))
    }

    /// Reads it again; on an error the present one stays.
    pub(super) fn reload(&self) -> Result<(), SecretError> {
        if let Some(read) = self.config.read() {
            self.hash.store(Arc::new(read?));
        }
        Ok(())
    }

    /// The answer to a request that needs the token and does not carry it.
    pub(super) fn refuse<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        // With a query `/readyz` names brokers, files and senders.
        let is_probe =
            request.uri().query().is_none() && matches!(request.uri().path(), "/livez" | "/readyz");
        if is_probe {
            return None;
        }
        let given = request.headers().get(AUTHORIZATION).and_then(given);
        let challenge = match given {
            Some(hash) if hash == **self.hash.load() => return None,
            Some(_) => "Bearer realm=\"ringback\", error=\"invalid_token\"",
            None => "Bearer realm=\"ringback\"",
        };
        let words = "send the header Authorization: Bearer TOKEN, with the token of admin.token; a browser takes it as the \
            password, beside any name\n";
        let mut answer = text(StatusCode::UNAUTHORIZED, PLAIN, words);
        let headers = answer.headers_mut();
        for challenge in [challenge, "Basic realm=\"ringback\", charset=\"UTF-8\""] {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        Some(answer)
    }
}

/// The hash of the token in `Bearer TOKEN` (RFC 6750), or of the password in `Basic` credentials (RFC 7617).
///
/// A browser asks for the latter only, and sends them with each later request of its user's, also if another site's page
/// makes it. That is safe while the listener only reads: such a page cannot read the answers.
fn given(value: &HeaderValue) -> Option<blake3::Hash> {
    let value = value.as_bytes();
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, credentials) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Some(blake3::hash(credentials));
    }
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    let credentials = STANDARD.decode(credentials).ok()?;
    let colon = credentials.iter().position(|byte| *byte == b':')?;
    Some(blake3::hash(&credentials[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_probes_need_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "hunter2\n").unwrap();
        let config = TokenConfig {
            env: None,
            file: Some(file.clone()),
        };
        let token = Token::new(&config).unwrap().unwrap();
        let status = |target: &str, authorization: Option<&str>| {
            let mut request = Request::builder().uri(target);
            if let Some(value) = authorization {
                request = request.header(AUTHORIZATION, value);
            }
            let refused = token.refuse(&request.body(()).unwrap());
            refused.map_or(200, |answer| {
                assert!(answer.headers().contains_key(WWW_AUTHENTICATE));
                answer.status().as_u16()
            })
        };
        for probe in ["/livez", "/readyz"] {
            assert_eq!(status(probe, None), 200);
        }
        for target in ["/metrics", "/readyz?verbose", "/livez?a", "/", "/readyz/"] {
            assert_eq!(status(target, None), 401, "{target}");
            for wrong in [
                "Bearer hunter",
                "Bearer hunter22",
                "Bearer",
                "Basic hunter2",
                "Basic aHVudGVyMg==",     // hunter2
                "Basic aHVudGVyMjo=",     // hunter2:
                "Basic OmE6aHVudGVyMg==", // :a:hunter2
                "Digest aHVudGVyMg==",
                "hunter2",
            ] {
                assert_eq!(status(target, Some(wrong)), 401, "{target}, {wrong}");
            }
            for right in [
                "Bearer hunter2",
                "bearer hunter2",
                "Basic Omh1bnRlcjI=",     // :hunter2
                "basic YW55Omh1bnRlcjI=", // any:hunter2
            ] {
                assert_eq!(status(target, Some(right)), 200, "{target}, {right}");
            }
        }
        std::fs::write(&file, "another").unwrap();
        token.reload().unwrap();
        assert_eq!(status("/metrics", Some("Bearer hunter2")), 401);
        assert_eq!(status("/metrics", Some("Bearer another")), 200);
        std::fs::write(&file, " \n").unwrap();
        let error = token.reload().unwrap_err();
        assert!(error.to_string().contains("is blank"), "{error}");
        assert_eq!(status("/metrics", Some("Bearer another")), 200);
        assert_eq!(status("/metrics", Some("Bearer ")), 401);
        assert!(!format!("{token:?}").contains("another"));
    }
}
