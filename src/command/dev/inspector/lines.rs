//! Headers in one piece of memory: as an `http::HeaderMap` they would keep the connection's whole buffer.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers as `name: value`, a line each. A value has no line break, because HTTP has no such values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(Box<[u8]>);

impl Lines {
    pub fn of<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut lines = Vec::new();
        for (name, value) in headers {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend(value.iter().map(|byte| match byte {
                // Only a record's own headers could hold one.
                b'\n' => b' ',
                other => *other,
            }));
            lines.push(b'\n');
        }
        Self(lines.into())
    }

    pub fn of_map(headers: &HeaderMap) -> Self {
        let headers = headers.iter();
        Self::of(headers.map(|(name, value)| (name.as_str(), value.as_bytes())))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.0.split(|byte| *byte == b'\n');
        lines.filter_map(|line| {
            let colon = line.windows(2).position(|pair| pair == b": ")?;
            Some((&line[..colon], &line[colon + 2..]))
        })
    }

    /// Names and values; a value's bytes are read as Latin-1, which shows each byte as one character.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
        let pairs = self.iter();
        pairs
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    pub fn to_map(&self) -> HeaderMap {
        let pairs = self.iter();
        let parsed = pairs.filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name).ok()?;
            Some((name, HeaderValue::from_bytes(value).ok()?))
        });
        let mut headers = HeaderMap::new();
        for (name, value) in parsed {
            headers.append(name, value);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::recording;

    #[test]
    fn headers_come_back_byte_for_byte_in_their_order() {
        let mut headers = HeaderMap::new();
        for value in [&b"a: b"[..], b"", b"\xc3\xbc\xff"] {
            headers.append("x-a", HeaderValue::from_bytes(value).unwrap());
        }
        headers.append("host", HeaderValue::from_static("h"));
        let lines = Lines::of_map(&headers);
        assert_eq!(lines.to_map(), headers);
        let pairs = lines.pairs();
        assert_eq!(pairs[2], ("x-a".into(), "\u{c3}\u{bc}\u{ff}".into()));
        assert_eq!(recording::headers(&pairs), Ok(headers));
        assert!(recording::headers(&[("a b".into(), "c".into())]).is_err());
        assert!(recording::headers(&[("a".into(), "c\nd".into())]).is_err());
    }
}
