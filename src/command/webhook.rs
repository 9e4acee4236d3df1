//! Posting webhooks to a relay, for the commands that act as a sender.

mod client;
mod tls;
mod url;

pub use self::client::{Answer, PostError, WebhookClient, remove_transport};
pub use self::tls::{CertificateError, connector};
pub use self::url::WebhookUrl;
