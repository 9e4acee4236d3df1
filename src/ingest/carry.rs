//! Collects the request headers and query parameters that a source carries to its records.

use std::borrow::Cow;

use http::HeaderMap;

use super::config::CarriedName;
use super::provenance::visible_text;
use crate::event::Carrying;

/// What the request has of `names`, and how many values are left out: they are no visible UTF-8 text, or there is no room. They
/// are not percent-encoded, because a consumer could not tell that from a value that was sent so.
pub(super) fn carry(
    names: &[CarriedName],
    headers: &HeaderMap,
    query: Option<&str>,
) -> (Carrying, u64) {
    let mut carrying = Carrying::default();
    let mut left_out = 0;
    for name in names {
        let mut add = |value: Option<&str>| {
            let is_added = value.is_some_and(|value| carrying.push(name.name(), value));
            left_out += u64::from(!is_added);
        };
        match name {
            CarriedName::Header(name) => {
                let values = headers.get_all(name).iter();
                values.for_each(|value| add(visible_text(value.as_bytes())));
            }
            CarriedName::Parameter(name) => {
                for pair in query.unwrap_or_default().split('&') {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    if decoded(key).as_ref() == name.as_bytes() {
                        add(visible_text(&decoded(value)));
                    }
                }
            }
        }
    }
    (carrying, left_out)
}

/// A name or value of a query, as forms encode it (WHATWG URL, section 5.1): `+` is a space, and a `%` without two digits is one.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let mut value = [0];
        decoded.push(match first {
            b'+' => b' ',
            b'%' if after.len() >= 2 && hex::decode_to_slice(&after[..2], &mut value).is_ok() => {
                rest = &after[2..];
                value[0]
            }
            other => *other,
        });
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(
        names: &[&str],
        headers: &[(&'static str, &[u8])],
        query: Option<&str>,
    ) -> (Vec<(String, String)>, u64) {
        let names = names.iter().map(|name| match name.strip_prefix('?') {
            Some(name) => CarriedName::Parameter(name.to_owned()),
            None => CarriedName::Header(name.parse().unwrap()),
        });
        let names: Vec<_> = names.collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        let (carrying, left_out) = carry(&names, &map, query);
        let pairs = carrying.carried();
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        (pairs.collect(), left_out)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn what_is_listed_is_carried_in_the_list_s_order_and_nothing_else() {
        let headers: [(&str, &[u8]); 4] = [
            ("x-b", b"2"),
            ("x-a", b"1"),
            ("x-a", "é".as_bytes()),
            ("x-c", b"3"),
        ];
        let query = Some("r=a%20b+c&%72=%zz&s=1&r&q=1");
        assert_eq!(
            carried(&["X-A", "?r", "x-b", "?gone", "x-gone"], &headers, query),
            (
                pairs(&[
                    ("x-a", "1"),
                    ("x-a", "é"),
                    ("r", "a b c"),
                    ("r", "%zz"),
                    ("r", ""),
                    ("x-b", "2"),
                ]),
                0
            )
        );
        assert_eq!(carried(&["?r"], &[], None), (Vec::new(), 0));
    }

    #[test]
    fn what_is_no_visible_text_is_left_out_and_counted() {
        let headers: [(&str, &[u8]); 3] = [("a", b"\xFF"), ("a", b"1\t2"), ("a", b"ok")];
        let query = Some("q=%00&q=a%0Ace_id:b&q=%FF&q=%0d&q=ok");
        assert_eq!(
            carried(&["a", "?q"], &headers, query),
            (pairs(&[("a", "ok"), ("q", "ok")]), 6)
        );
        let long = "v".repeat(9_000);
        assert_eq!(
            carried(&["a"], &[("a", long.as_bytes())], None),
            (Vec::new(), 1)
        );
    }
}
