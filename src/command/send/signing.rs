//! The proof of a sender, as it is added to a request.

use http::{HeaderMap, Uri};

use super::SendError;
use crate::ingest::{Signer, UnverifiedRequest};
use crate::time::now_ms;

/// How old a stale signature is: older than any scheme allows.
const STALE_MS: u64 = 2 * 24 * 60 * 60 * 1000;

/// Adds the proof to `headers`, in the place of the one that may be there; gives the URL's whole query. `query` is what the URL has
/// already, `id` is the message's.
pub fn sign(
    signer: &Signer,
    headers: &mut HeaderMap,
    query: Option<&str>,
    body: &[u8],
    id: &str,
    is_stale: bool,
) -> Result<Option<String>, SendError> {
    let bare = Uri::default();
    let added = signer.query(&request(headers, &bare, body));
    let query = joined(query, added.as_deref());
    let target = query.as_ref().map(|query| format!("/?{query}"));
    let uri = target
        .and_then(|target| target.parse().ok())
        .unwrap_or(bare);
    let now = now_ms().saturating_sub(if is_stale { STALE_MS } else { 0 });
    let proof = signer.sign(&request(headers, &uri, body), now, id);
    headers.extend(proof.map_err(SendError::Sign)?);
    if is_stale && !signer.signs_time(&request(headers, &uri, body)) {
        return Err(SendError::signs_no("time", "--stale", signer));
    }
    Ok(query)
}

fn request<'a>(headers: &'a HeaderMap, uri: &'a Uri, body: &'a [u8]) -> UnverifiedRequest<'a> {
    UnverifiedRequest { headers, uri, body }
}

/// The query with `added`, whose name then occurs once.
fn joined(query: Option<&str>, added: Option<&str>) -> Option<String> {
    let name = |pair: &str| pair.split('=').next().map(str::to_owned);
    let own = query.into_iter().flat_map(|query| query.split('&'));
    let own = own.filter(|pair| added.is_none_or(|added| name(added) != name(pair)));
    let pairs: Vec<_> = own.chain(added).collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sender_adds_to_a_query_replaces_what_it_added_before() {
        let joined = |query, added| joined(query, added);
        assert_eq!(joined(None, None), None);
        assert_eq!(joined(Some("a=b"), None).as_deref(), Some("a=b"));
        assert_eq!(joined(None, Some("h=2")).as_deref(), Some("h=2"));
        assert_eq!(
            joined(Some("h=1&a=b"), Some("h=2")).as_deref(),
            Some("a=b&h=2")
        );
    }
}
