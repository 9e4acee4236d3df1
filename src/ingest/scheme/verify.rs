//! `verify`: the schemes, and what each knows of its sender's events.

use std::fmt;

use super::retell::events::{EVENT_POINTER, KEY_POINTERS, KINDS, expects_content};
use crate::settings::{Decoder, Kind, SettingValue, Shown};

/// How a source's senders are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Not at all; the events are Retell's.
    None,
    /// By `X-Retell-Signature`.
    Retell,
    /// By `webhook-signature` or `svix-signature`.
    StandardWebhooks,
    /// By `X-Hub-Signature-256`.
    Github,
    /// By `Stripe-Signature`.
    Stripe,
    /// By `X-Slack-Signature`.
    Slack,
    /// By `X-Shopify-Hmac-Sha256`.
    Shopify,
    /// By `X-Twilio-Signature`.
    Twilio,
    /// By a header that the source's `hmac` describes.
    Hmac,
    /// By a token.
    Bearer,
    /// By a name and a password.
    Basic,
}

impl Verify {
    pub(super) const ALL: [Self; 11] = [
        Self::None,
        Self::Retell,
        Self::StandardWebhooks,
        Self::Github,
        Self::Stripe,
        Self::Slack,
        Self::Shopify,
        Self::Twilio,
        Self::Hmac,
        Self::Bearer,
        Self::Basic,
    ];

    /// Those whose signature is in a header of the sender's own.
    pub(crate) const BY_SIGNATURE: [Self; 7] = [
        Self::Retell,
        Self::StandardWebhooks,
        Self::Github,
        Self::Stripe,
        Self::Slack,
        Self::Shopify,
        Self::Twilio,
    ];

    /// The default of `key_pointers`.
    pub fn key_pointers(self) -> &'static [&'static str] {
        match self {
            Self::None | Self::Retell => &KEY_POINTERS,
            _ => &[],
        }
    }

    /// What an operator should check if no key matches a signature, beside what is true of every sender.
    pub(crate) fn key_hint(self) -> Option<&'static str> {
        Some(match self {
            Self::None | Self::Github | Self::Hmac => return None,
            Self::Retell => super::retell::KEY_HINT,
            Self::StandardWebhooks => "each endpoint of the sender has a secret of its own",
            Self::Stripe => "each endpoint has a secret of its own, and so has the Stripe CLI",
            Self::Slack => "the key is the app's signing secret, not its verification token",
            Self::Shopify => {
                "the key is the app's client secret; webhooks made in the admin have the secret that is shown there"
            }
            Self::Twilio => {
                "the key is the auth token of the account that sends; twilio.url is the URL that Twilio was given"
            }
            Self::Bearer | Self::Basic => "the sender's credentials are none of this source's keys",
        })
    }

    /// JSON pointer to the event's name.
    pub(crate) fn event_pointer(self) -> &'static str {
        match self {
            Self::StandardWebhooks | Self::Stripe => "/type",
            Self::Slack => "/event/type",
            _ => EVENT_POINTER,
        }
    }

    /// The documented names of events, each a metric label of its own.
    pub(crate) fn event_kinds(self) -> &'static [&'static str] {
        match self {
            Self::None | Self::Retell => &KINDS,
            _ => &[],
        }
    }

    /// True if the sender expects an answer with content to an event of this name, or to one without a name.
    pub(crate) fn expects_content(self, event: Option<&str>) -> bool {
        match self {
            Self::None | Self::Retell => expects_content(event),
            _ => false,
        }
    }

    /// True if some of the sender's bodies are forms.
    pub(crate) fn sends_forms(self) -> bool {
        matches!(self, Self::Github | Self::Slack | Self::Twilio)
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Retell => "retell",
            Self::StandardWebhooks => "standard-webhooks",
            Self::Github => "github",
            Self::Stripe => "stripe",
            Self::Slack => "slack",
            Self::Shopify => "shopify",
            Self::Twilio => "twilio",
            Self::Hmac => "hmac",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
        }
    }
}

impl SettingValue for Verify {
    fn kind() -> Kind {
        Kind::scalar(
            "scheme",
            "write how this source's requests are authenticated: preset = \"github\" or another known sender's name, or \
             verify = \"retell\", or verify = \"none\" to accept events from anybody",
            r#"{"enum": ["none", "retell", "standard-webhooks", "github", "stripe", "slack", "shopify", "twilio", "hmac", "bearer", "basic"]}"#,
        )
    }

    fn decode(value: toml::Value, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.one_of(&value, &Self::ALL)
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::quoted(self))
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
