//! What ingest makes of a stranger's bytes, a call each, for `tests/fuzz`: through a socket, a target would try a twentieth
//! as many inputs. Hidden, because it is no part of the interface.

use std::borrow::Cow;

use http::{HeaderMap, Uri};

use super::Ingest;
use super::payload::NotJson;
use super::scheme::{AuthenticateError, UnverifiedRequest};

/// What is read only of an authenticated request: its message's id, and the answer to a handshake.
pub type BesideTheSignature<'a> = (Option<&'a str>, Option<String>);

impl<A> Ingest<A> {
    /// The index of the key of the first source that authenticates the request, `None` if that source has no keys. `now_ms`
    /// is the time in milliseconds since the Unix epoch.
    #[doc(hidden)]
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        body: &[u8],
        now_ms: u64,
    ) -> Result<Option<usize>, AuthenticateError> {
        let request = UnverifiedRequest { headers, uri, body };
        self.ingress.table.load().sources[0]
            .authenticator
            .authenticate(&request, now_ms)
    }

    /// Of a request to the first source.
    #[doc(hidden)]
    pub fn beside_the_signature<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &[u8],
    ) -> BesideTheSignature<'a> {
        let table = self.ingress.table.load();
        let authenticator = &table.sources[0].authenticator;
        (
            authenticator.message_id(headers),
            authenticator.handshake(body),
        )
    }

    /// The event's name, key and id in a request to the first source.
    #[doc(hidden)]
    pub fn fields<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &'a [u8],
    ) -> Result<[Option<Cow<'a, str>>; 3], NotJson> {
        let table = self.ingress.table.load();
        let fields = table.sources[0].reading.read(headers, body)?;
        Ok([fields.kind, fields.key, fields.id])
    }
}
