//! The scheme that a source's settings describe.

use super::basic::Basic;
use super::bearer::Bearer;
use super::claim::Scheme;
use super::config::{BearerConfig, HmacConfig, SettingsError, TwilioConfig};
use super::github::Github;
use super::hmac::ConfiguredHmac;
use super::keys::KeyConfig;
use super::retell::Retell;
use super::shopify::Shopify;
use super::slack::Slack;
use super::standard_webhooks::StandardWebhooks;
use super::stripe::Stripe;
use super::twilio::Twilio;
use super::verify::Verify;

/// Everything that a source says of who sends to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SchemeConfig<'a> {
    pub(crate) verify: Verify,
    pub(crate) keys: &'a [KeyConfig],
    pub(crate) hmac: Option<&'a HmacConfig>,
    pub(crate) twilio: Option<&'a TwilioConfig>,
    pub(crate) bearer: Option<&'a BearerConfig>,
}

/// The scheme with its settings; `None` if nothing is verified. Every setting at fault is reported.
pub(super) fn scheme(
    config: &SchemeConfig<'_>,
) -> Result<Option<Box<dyn Scheme>>, Vec<SettingsError>> {
    let verify = config.verify;
    let settings = [
        ("hmac", config.hmac.is_some(), Verify::Hmac),
        ("twilio", config.twilio.is_some(), Verify::Twilio),
        ("bearer", config.bearer.is_some(), Verify::Bearer),
    ];
    let left_over = settings
        .into_iter()
        .filter(|(_, is_set, user)| *is_set && *user != verify);
    let mut faults: Vec<_> = left_over
        .map(|(key, ..)| SettingsError {
            key,
            message: format!(
                "verify = \"{verify}\" does not use it: remove it, or write verify = \"{key}\""
            ),
        })
        .collect();
    let scheme: Option<Box<dyn Scheme>> = match verify {
        Verify::None => None,
        Verify::Retell => Some(Box::new(Retell)),
        Verify::StandardWebhooks => Some(Box::new(StandardWebhooks)),
        Verify::Github => Some(Box::new(Github)),
        Verify::Stripe => Some(Box::new(Stripe)),
        Verify::Slack => Some(Box::new(Slack)),
        Verify::Shopify => Some(Box::new(Shopify)),
        Verify::Basic => Some(Box::new(Basic)),
        Verify::Bearer => {
            let bearer = Bearer::new(config.bearer.unwrap_or(&BearerConfig::default()));
            boxed(
                bearer.ok_or_else(|| missing("bearer.header", "bearer = { header = \"X-Token\" }")),
                &mut faults,
            )
        }
        Verify::Twilio => {
            let twilio = config.twilio.map(Twilio::new);
            boxed(twilio.ok_or_else(|| missing("twilio", "twilio = { url = \"https://hooks.example.com/twilio\" }, with the URL that Twilio was given")), &mut faults)
        }
        Verify::Hmac => {
            let hmac = config
                .hmac
                .ok_or_else(|| missing("hmac", "hmac = { header = \"X-Signature\" }"));
            boxed(hmac.and_then(ConfiguredHmac::new), &mut faults)
        }
    };
    if faults.is_empty() {
        Ok(scheme)
    } else {
        Err(faults)
    }
}

fn missing(key: &'static str, remedy: &str) -> SettingsError {
    SettingsError {
        key,
        message: format!("is missing; write {remedy}"),
    }
}

fn boxed(
    scheme: Result<impl Scheme + 'static, SettingsError>,
    faults: &mut Vec<SettingsError>,
) -> Option<Box<dyn Scheme>> {
    match scheme {
        Ok(scheme) => Some(Box::new(scheme)),
        Err(fault) => {
            faults.push(fault);
            None
        }
    }
}
