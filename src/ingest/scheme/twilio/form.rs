//! A form's parameters as Twilio signs them.

use std::collections::BTreeSet;

/// Parameters of one form. Twilio sends some fifty; a forged form must not fill the memory with empty ones.
const MAX_PARAMETERS: usize = 1000;

/// Names and values back to back, sorted, each pair once; `None` if there are too many.
pub(super) fn signed(body: &[u8]) -> Option<Vec<u8>> {
    let mut parameters = BTreeSet::new();
    let pairs = body
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty());
    for (count, pair) in pairs.enumerate() {
        if count == MAX_PARAMETERS {
            return None;
        }
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
        parameters.insert((decode(name), decode(value.get(1..).unwrap_or_default())));
    }
    let mut signed = Vec::with_capacity(body.len());
    for (name, value) in parameters {
        signed.extend(name);
        signed.extend(value);
    }
    Some(signed)
}

/// `+` is a space and `%XX` a byte; a `%` without two digits stands for itself (URL Standard, section 5.1).
fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let mut byte = [0];
        match first {
            b'+' => decoded.push(b' '),
            b'%' if after.len() >= 2 && hex::decode_to_slice(&after[..2], &mut byte).is_ok() => {
                decoded.extend(byte);
                rest = &after[2..];
            }
            other => decoded.push(*other),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_decoded_sorted_and_taken_once() {
        for (body, expected) in [
            ("", ""),
            ("b=2&a=1", "a1b2"),
            ("a=2&a=1&a=2", "a1a2"),
            ("a&&b=", "ab"),
            ("Caller=%2B1+2&x=%zz%4&y=%E6%9D%B1", "Caller+1 2x%zz%4y東"),
            ("a=b=c", "ab=c"),
        ] {
            let signed = signed(body.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(signed).unwrap(), expected, "{body}");
        }
        let form = |count| vec!["a=1"; count].join("&").into_bytes();
        assert!(signed(&form(MAX_PARAMETERS)).is_some());
        assert!(signed(&form(MAX_PARAMETERS + 1)).is_none());
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let signed = signed(&body).unwrap();
            prop_assert!(signed.len() <= body.len());
        }
    }
}
