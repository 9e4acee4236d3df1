//! Why there is no token, in words that name the property to change.

use super::settings::{AUTHORITIES, CLIENT_ID, CLIENT_SECRET, SCOPE, URL};

/// Why the token endpoint gave no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token from {url}: {fault}")]
pub struct TokenError {
    pub(super) url: String,
    pub(super) fault: Fault,
}

/// What is wrong, after the endpoint's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{AUTHORITIES:?} cannot be used: {0}")]
    Authorities(String),
    #[error("it cannot be reached ({0}): correct {URL:?}, or make it reachable from here")]
    Unreachable(String),
    #[error("it does not answer within {0} s: is {URL:?} right?")]
    Silent(u64),
    #[error(
        "the authority that signed its certificate is not known here: name a file that has the authority's certificate in \
         {AUTHORITIES:?} ({0})"
    )]
    UnknownAuthority(String),
    #[error("its certificate cannot be used ({0}): renew it there, or correct the host in {URL:?}")]
    Certificate(String),
    #[error("it does not speak TLS as expected ({0}): correct {URL:?}")]
    Tls(String),
    #[error("its answer breaks off or is not HTTP ({0}): is {URL:?} right?")]
    Broken(String),
    #[error("it refuses the client ({0}): correct {CLIENT_ID:?} and {CLIENT_SECRET:?}")]
    Client(String),
    #[error("it refuses the scope ({0}): correct {SCOPE:?}")]
    Scope(String),
    #[error("it answers {0}: correct {URL:?}")]
    Status(String),
    #[error("it answers {0}: it is overloaded or failing, and is asked again")]
    Failing(String),
    #[error("its answer has no \"access_token\" in JSON: is {URL:?} the token endpoint?")]
    NoToken,
    #[error(
        "its \"access_token\" is no JWT, so that nobody knows how long it is valid: have the endpoint issue JWTs, or correct \
         {URL:?}"
    )]
    NoJwt,
    #[error("its token has no {0:?}: have the endpoint add this claim")]
    NoClaim(&'static str),
    #[error("its token has expired already: is a clock wrong, here or there?")]
    Expired,
}
