//! Reads from a request's head what travels with the event, and the client's address. Everything is checked first.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const JSON: &str = "application/json";
/// The longest content type in bytes; a longer one is ignored.
const MAX_CONTENT_TYPE: usize = 256;
/// The longest trace state in bytes: every participant must be able to pass on that much (W3C Trace Context, section
/// 3.3.1.5).
const MAX_TRACESTATE: usize = 512;
/// Members of a trace state (W3C Trace Context, section 3.3.1.1).
const MAX_TRACESTATE_MEMBERS: usize = 32;

/// The `Content-Type` as received if it is short visible ASCII, else `application/json`.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .filter(|text| (1..=MAX_CONTENT_TYPE).contains(&text.len()) && !text.contains('\t'))
        .unwrap_or(JSON)
}

/// A value as text, if it is UTF-8 without control characters.
pub(super) fn visible_text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// `traceparent` and `tracestate`, each empty if missing or malformed. A state without its parent is dropped.
pub(super) fn trace_context(headers: &HeaderMap) -> (&str, Cow<'_, str>) {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = match (parents.next(), parents.next()) {
        (Some(value), None) => value.to_str().ok().filter(|text| is_traceparent(text)),
        _ => None,
    };
    let Some(parent) = parent else {
        return ("", Cow::Borrowed(""));
    };
    // Several lines are one list (RFC 9110, section 5.3).
    let mut state = Cow::Borrowed("");
    for line in headers.get_all(TRACESTATE) {
        let Ok(line) = line.to_str() else {
            return (parent, Cow::Borrowed(""));
        };
        if state.is_empty() {
            state = Cow::Borrowed(line);
        } else {
            state.to_mut().push(',');
            state.to_mut().push_str(line);
        }
    }
    if !is_tracestate(&state) {
        state = Cow::Borrowed("");
    }
    (parent, state)
}

/// W3C Trace Context, section 3.2: version, trace id, parent id, flags; later versions may append to that.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: Option<&str>, length: usize| {
        part.is_some_and(|part| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let nonzero =
        |part: Option<&str>| part.is_some_and(|part| part.bytes().any(|byte| byte != b'0'));
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next(), parts.next(), parts.next(), parts.next());
    let fields = hex(version, 2)
        && version != Some("ff")
        && hex(trace, 32)
        && nonzero(trace)
        && hex(parent, 16)
        && nonzero(parent)
        && hex(flags, 2);
    fields && text.len() <= MAX_CONTENT_TYPE && (version != Some("00") || parts.next().is_none())
}

/// W3C Trace Context, section 3.3.1.
fn is_tracestate(text: &str) -> bool {
    let members = text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    text.len() <= MAX_TRACESTATE
        && members.clone().count() <= MAX_TRACESTATE_MEMBERS
        && members.filter(|member| !member.is_empty()).all(|member| {
            member
                .split_once('=')
                .is_some_and(|(key, value)| is_state_key(key) && is_state_value(value))
        })
}

fn is_state_key(key: &str) -> bool {
    let part = |text: &str, longest: usize, digit_first: bool| {
        let first = text.bytes().next();
        let begins = first.is_some_and(|byte| {
            byte.is_ascii_lowercase() || (digit_first && byte.is_ascii_digit())
        });
        begins
            && text.len() <= longest
            && text.bytes().all(|byte| {
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || matches!(byte, b'_' | b'-' | b'*' | b'/')
            })
    };
    match key.split_once('@') {
        Some((tenant, system)) => part(tenant, 241, true) && part(system, 14, false),
        None => part(key, 256, false),
    }
}

fn is_state_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b'=' && byte != b',')
        && !value.ends_with(' ')
}

/// The client's address. Each proxy appends the peer that it saw to `X-Forwarded-For`, so the list is read from the
/// right, and each entry counts only if a trusted proxy wrote it. A client could have written the entries further left
/// itself.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        if !is_trusted(&client) {
            break;
        }
        let Some(address) = hop_address(hop.trim()) else {
            break;
        };
        client = address.to_canonical();
    }
    client
}

/// An address, or one with a port as some proxies write it: `1.2.3.4:5`, `[::1]:5`, and `[::1]`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = hop.parse().ok().or_else(bracketed);
    address.or_else(|| hop.parse::<SocketAddr>().ok().map(|hop| hop.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines.iter();
        lines
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn appended(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn a_content_type_is_kept_only_if_it_is_short_visible_ascii() {
        let long = "a".repeat(257);
        for (sent, kept) in [
            (
                "application/json; charset=utf-8",
                "application/json; charset=utf-8",
            ),
            ("text/plain", "text/plain"),
            ("", JSON),
            ("é", JSON),
            (long.as_str(), JSON),
        ] {
            assert_eq!(content_type(&headers(&[("content-type", sent)])), kept);
        }
        assert_eq!(content_type(&HeaderMap::new()), JSON);
    }

    #[test]
    fn only_a_well_formed_trace_context_is_passed_on() {
        let state = "rojo=00f067aa0ba902b7,1tenant@sys=t61rcWkgMzE";
        let both = headers(&[("traceparent", PARENT), ("tracestate", state)]);
        assert_eq!(trace_context(&both), (PARENT, Cow::Borrowed(state)));
        let lines = appended(&[
            ("traceparent", PARENT),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ]);
        assert_eq!(trace_context(&lines), (PARENT, Cow::Borrowed("a=1,b=2")));
        let alone = headers(&[("tracestate", state)]);
        assert_eq!(trace_context(&alone), ("", Cow::Borrowed("")));
        let twice = appended(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert_eq!(trace_context(&twice).0, "");
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
        assert!(is_traceparent(&PARENT.replacen("00", "01", 1)));
        assert!(is_traceparent(&format!(
            "{}-more",
            PARENT.replacen("00", "01", 1)
        )));
        for bad in ["a", "A=1", "=1", "a=", "a=b=c", "a@B=1", "a=é"] {
            assert!(!is_tracestate(bad), "{bad}");
        }
        assert!(is_tracestate("a=1, b=2 ,,c=3"));
        assert!(!is_tracestate(&"a=1,".repeat(40)));
    }

    #[test]
    fn forwarded_addresses_are_believed_from_the_right_and_only_from_trusted_proxies() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (peer, forwarded, client) in [
            ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
            ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "1.2.3.4, 10.0.0.2", "1.2.3.4"),
            ("10.0.0.1", "nonsense, 10.0.0.2", "10.0.0.2"),
            ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "1.2.3.4:5678, 10.0.0.2:80", "1.2.3.4"),
            ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
            ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.1", "[1.2.3.4, 10.0.0.2", "10.0.0.2"),
        ] {
            let headers = headers(&[("x-forwarded-for", forwarded)]);
            assert_eq!(
                client_address(address(peer), &headers, &trusted),
                address(client),
                "{peer} {forwarded}"
            );
        }
        let lines = appended(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "1.2.3.4"),
        ]);
        assert_eq!(
            client_address(address("10.0.0.1"), &lines, &trusted),
            address("1.2.3.4")
        );
    }
}
