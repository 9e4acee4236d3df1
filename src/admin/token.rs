//! The bearer token of the admin listener. Probes need none: a kubelet cannot send a secret.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use secrecy::ExposeSecret as _;

use super::{PLAIN, text};
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
        let given = request.headers().get(AUTHORIZATION).and_then(bearer);
        let challenge = match given {
            Some(token) if blake3::hash(token) == **self.hash.load() => return None,
            Some(_) => "Bearer realm=\"ringback\", error=\"invalid_token\"",
            None => "Bearer realm=\"ringback\"",
        };
        let words = "send the header Authorization: Bearer TOKEN, with the token of admin.token\n";
        let mut answer = text(StatusCode::UNAUTHORIZED, PLAIN, words);
        let challenge = HeaderValue::from_static(challenge);
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        Some(answer)
    }
}

/// The token in `Bearer TOKEN` (RFC 6750).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
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
                "hunter2",
            ] {
                assert_eq!(status(target, Some(wrong)), 401, "{target}, {wrong}");
            }
            for right in ["Bearer hunter2", "bearer hunter2"] {
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
