//! Tokens for OAUTHBEARER, by client credentials from a token endpoint.
//!
//! librdkafka has this only if it is built with curl, a second HTTP client and another parser of what strangers send. It asks its
//! application for a token when it starts and when four fifths of the last one's time are over, from the thread that polls it, which
//! must not wait. So a token is fetched before a producer is built and later beside it, and the callback returns what there is.

mod consumer;
mod error;
mod request;
pub(super) mod settings;
mod token;

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::client::OAuthToken;
use secrecy::{ExposeSecret as _, SecretString};

pub use self::consumer::TokenContext;
pub use self::error::TokenError;

use self::error::Fault;
use self::settings::Settings;
use self::token::Token;
use super::properties::PropertyError;
use super::timeout::SideThread;
use crate::log_throttle::LogThrottle;
use crate::publish::decide::backoff::Backoff;
use crate::publish::{ClientProperties, LOG_INTERVAL};
use crate::secret::SecretForm;
use crate::telemetry::chain;
use crate::time::now_ms;

/// What a client's callback returns.
pub(super) fn token(source: Option<&Arc<TokenSource>>) -> Result<OAuthToken, Box<dyn Error>> {
    let source = source.ok_or("this client has no source of tokens")?;
    Ok(source.token()?)
}

/// librdkafka is told of at least this lifetime, unless the token has less left: while the next token is being fetched,
/// librdkafka asks again after four fifths of it.
const MIN_LIFETIME_MS: u64 = 2_000;
/// In addition to [`request::TIMEOUT`], for reading files.
const MORE_TIME: Duration = Duration::from_secs(1);

/// Fetches the tokens of all producers, and keeps the last one.
pub(crate) struct TokenSource {
    settings: Settings,
    state: Mutex<State>,
    throttle: Arc<LogThrottle>,
    /// Fetches, one token at a time.
    fetching: SideThread,
}

struct State {
    /// The last secret that could be read.
    secret: SecretString,
    token: Option<Token>,
    /// `secret` has changed since `token` was fetched.
    is_outdated: bool,
    /// Why the last fetch has failed, if it has.
    failure: Option<TokenError>,
}

impl TokenSource {
    /// Fetches nothing yet.
    pub(crate) fn new(settings: Settings, throttle: Arc<LogThrottle>) -> Self {
        let state = State {
            secret: settings.secret.clone(),
            token: None,
            is_outdated: false,
            failure: None,
        };
        Self {
            settings,
            state: Mutex::new(state),
            throttle,
            fetching: SideThread::default(),
        }
    }

    /// The source of the tokens that a client of these properties needs, if it needs any. The error is the first mistake in them.
    pub(super) fn of(client: &ClientProperties) -> Result<Option<Arc<Self>>, PropertyError> {
        let settings = Settings::of(client).map_err(|mut errors| errors.remove(0))?;
        let throttle = || Arc::new(LogThrottle::new(LOG_INTERVAL));
        Ok(settings.map(|settings| Arc::new(Self::new(settings, throttle()))))
    }

    /// Before a producer is built: fetches a token if there is none, if most of its time is over, or if the client's secret has
    /// changed; blocks for up to 6 s. The error says why no token is valid.
    pub(super) fn prepare(self: &Arc<Self>) -> Result<(), TokenError> {
        let source = self.clone();
        let timeout = request::TIMEOUT + MORE_TIME;
        self.fetching.with_timeout(timeout, move || {
            source.read_secret();
            let is_due = source.lock().is_due(now_ms());
            if is_due {
                // The failure is kept.
                let _ = source.fetch();
            }
        });
        self.lock().valid(now_ms(), self).map(|_| ())
    }

    /// For librdkafka's callback; never waits. Starts fetching another token if it is time.
    pub(super) fn token(self: &Arc<Self>) -> Result<OAuthToken, TokenError> {
        let now_ms = now_ms();
        let state = self.lock();
        if state.is_due(now_ms) {
            self.renew();
        }
        let token = state.valid(now_ms, self)?;
        // So that librdkafka, which asks when four fifths are over, asks when it is time, also if it got the token late.
        let left_ms = token.renew_ms.saturating_sub(now_ms) / 4 * 5;
        let until_ms = now_ms + left_ms.max(MIN_LIFETIME_MS);
        Ok(OAuthToken {
            token: token.value.expose_secret().to_owned(),
            principal_name: token.subject.clone(),
            lifetime_ms: i64::try_from(until_ms.min(token.expires_ms)).unwrap_or(i64::MAX),
        })
    }

    /// True if there is a token that has not expired.
    pub(super) fn has_valid(&self) -> bool {
        self.lock().valid(now_ms(), self).is_ok()
    }

    /// Why the last token cannot be renewed, while it may still be valid.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.as_ref().map(ToString::to_string)
    }

    /// Fetches until it succeeds, with longer and longer pauses, unless that runs already.
    fn renew(self: &Arc<Self>) {
        let source = Arc::downgrade(self);
        self.fetching.spawn(move || {
            let mut backoff = Backoff::default();
            // If the publisher has ended meanwhile, nobody needs a token any more.
            while let Some(source) = source.upgrade() {
                source.read_secret();
                if source.fetch().is_ok() {
                    return;
                }
                drop(source);
                thread::sleep(backoff.next(rand::random()));
            }
        });
    }

    /// A secret that cannot be read keeps its last value, which may still be valid.
    fn read_secret(&self) {
        let Some(file) = &self.settings.secret_file else {
            return;
        };
        let read = file.read(SecretForm::Line, |_| None);
        let property = settings::CLIENT_SECRET;
        match read {
            Ok(secret) => {
                let mut state = self.lock();
                if state.secret.expose_secret() != secret.expose_secret() {
                    tracing::info!(property, "a secret of [kafka.client] has a new value");
                    state.secret = secret;
                    state.is_outdated = true;
                }
            }
            Err(error) => {
                if let Some(permit) = self.throttle.permit(property) {
                    let error = chain(&error);
                    let suppressed = permit.suppressed();
                    tracing::error!(
                        property,
                        error,
                        suppressed,
                        "a secret of [kafka.client] cannot be used; its last value stays"
                    );
                }
            }
        }
    }

    /// Blocks for up to [`request::TIMEOUT`] and as long as files take. A failure is logged and kept.
    fn fetch(&self) -> Result<(), TokenError> {
        let secret = self.lock().secret.clone();
        let answer = request::post(&self.settings, &secret);
        let fetched = answer.and_then(|(status, body)| token::parse(status, &body, now_ms()));
        let fetched = fetched.map_err(|fault| self.error(fault));
        let mut state = self.lock();
        match fetched {
            Ok(token) => {
                let lifetime = Duration::from_millis(token.expires_ms.saturating_sub(now_ms()));
                let subject = token.subject.as_str();
                tracing::debug!(subject, ?lifetime, "fetched a token for Kafka");
                if state.failure.take().is_some() {
                    tracing::info!("the token endpoint gives tokens again");
                }
                // A secret that was read meanwhile is fetched with next time.
                state.is_outdated = state.secret.expose_secret() != secret.expose_secret();
                state.token = Some(token);
                Ok(())
            }
            Err(error) => {
                let message = error.to_string();
                if let Some(permit) = self.throttle.permit(&message) {
                    let suppressed = permit.suppressed();
                    tracing::warn!(suppressed, "{message}");
                }
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    fn error(&self, fault: Fault) -> TokenError {
        TokenError {
            url: self.settings.endpoint.uri.to_string(),
            fault,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_due(&self, now_ms: u64) -> bool {
        let token = self.token.as_ref();
        self.is_outdated || token.is_none_or(|token| now_ms >= token.renew_ms)
    }

    /// The last token, unless it has expired.
    fn valid(&self, now_ms: u64, source: &TokenSource) -> Result<&Token, TokenError> {
        let valid = self.token.as_ref();
        let valid = valid.filter(|token| now_ms < token.expires_ms);
        valid.ok_or_else(|| {
            let silent = || source.error(Fault::Silent(request::TIMEOUT.as_secs()));
            self.failure.clone().unwrap_or_else(silent)
        })
    }
}

#[cfg(test)]
mod tests;
