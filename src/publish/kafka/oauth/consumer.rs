//! Tokens for a client that is no producer.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::consumer::ConsumerContext;

use super::settings::is_ours;
use super::{TokenError, TokenSource};
use crate::publish::ClientProperties;
use crate::publish::kafka::properties::{PropertyError, canonical};

/// The callbacks of a client that has tokens if it needs them.
pub struct TokenContext(Option<Arc<TokenSource>>);

impl TokenContext {
    /// Takes from librdkafka's `properties` what ringback reads in its place. The error is the first mistake there.
    pub fn take(properties: &mut BTreeMap<String, String>) -> Result<Self, PropertyError> {
        let given = properties.iter();
        let client: ClientProperties = given
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let source = TokenSource::of(&client)?;
        properties.retain(|name, _| !is_ours(canonical(name)));
        Ok(Self(source))
    }

    /// Fetches the first token, if one is needed; blocks for up to 6 s.
    pub fn prepare(&self) -> Result<(), TokenError> {
        self.0.as_ref().map_or(Ok(()), TokenSource::prepare)
    }
}

impl ClientContext for TokenContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        super::token(self.0.as_ref())
    }
}

impl ConsumerContext for TokenContext {}
