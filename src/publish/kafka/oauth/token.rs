//! A token, from the endpoint's answer (RFC 6749, section 5) and from the token's own claims (RFC 7519).

use std::time::Duration;

use http::StatusCode;
use openssl::base64;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::error::Fault;
use crate::time::as_ms;

/// Characters of an endpoint's own words that an error repeats.
const MAX_WORDS: usize = 200;

/// What a client shows to a broker.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) value: SecretString,
    /// Its claim `sub`.
    pub(super) subject: String,
    /// Its claim `exp`, in milliseconds since the Unix epoch.
    pub(super) expires_ms: u64,
    /// When another one is to be asked for: four fifths of its time are over, as librdkafka does it.
    pub(super) renew_ms: u64,
}

/// The token in an endpoint's answer that came at `now_ms`.
pub(super) fn parse(status: StatusCode, body: &[u8], now_ms: u64) -> Result<Token, Fault> {
    let answer: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
    if !status.is_success() {
        return Err(refusal(status, &answer.unwrap_or_default()));
    }
    let value = answer
        .as_ref()
        .and_then(|answer| answer.get("access_token"));
    let value = value.and_then(Value::as_str).ok_or(Fault::NoToken)?;
    let claims = claims(value).ok_or(Fault::NoJwt)?;
    let subject = claims.get("sub").and_then(Value::as_str);
    let subject = subject.filter(|subject| !subject.contains('\0'));
    let expires = claims.get("exp").and_then(Value::as_f64);
    let expires = expires.ok_or(Fault::NoClaim("exp"))?;
    let subject = subject.ok_or(Fault::NoClaim("sub"))?;
    let expires = Duration::try_from_secs_f64(expires).unwrap_or_default();
    let expires_ms = as_ms(expires);
    let lifetime = expires_ms.checked_sub(now_ms).filter(|left| *left > 0);
    let lifetime = lifetime.ok_or(Fault::Expired)?;
    Ok(Token {
        value: SecretString::from(value),
        subject: subject.to_owned(),
        expires_ms,
        renew_ms: now_ms + lifetime / 5 * 4,
    })
}

/// Why an endpoint refuses, from the status and the error that RFC 6749, section 5.2, defines.
fn refusal(status: StatusCode, answer: &Map<String, Value>) -> Fault {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    let (code, description) = (text("error"), text("error_description"));
    let mut words = status.as_u16().to_string();
    for (before, part) in [(" ", code), (": ", description)] {
        if !part.is_empty() {
            words.push_str(before);
            words.extend(part.chars().filter(|c| !c.is_control()).take(MAX_WORDS));
        }
    }
    match (status.as_u16(), code) {
        (_, "invalid_scope") => Fault::Scope(words),
        (401 | 403, _) | (_, "invalid_client" | "unauthorized_client" | "access_denied") => {
            Fault::Client(words)
        }
        (429 | 500.., _) => Fault::Failing(words),
        _ => Fault::Status(words),
    }
}

/// The claims of a JWT. The broker checks its signature; the client only needs to know how long it is valid.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
    if !token.chars().all(is_legal) {
        return None;
    }
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let mut text = claims
        .trim_end_matches('=')
        .replace('-', "+")
        .replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    serde_json::from_slice(&base64::decode_block(&text).ok()?).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    /// A JWT that nobody has signed.
    pub fn jwt(claims: &str) -> String {
        let encode = |text: &str| {
            let text = base64::encode_block(text.as_bytes());
            text.trim_end_matches('=')
                .replace('+', "-")
                .replace('/', "_")
        };
        format!("{}.{}.c2ln", encode(r#"{"alg":"none"}"#), encode(claims))
    }

    fn of(status: u16, body: &str) -> Result<Token, Fault> {
        let status = StatusCode::from_u16(status).expect("it is one");
        parse(status, body.as_bytes(), NOW_MS)
    }

    fn with(claims: &str) -> Result<Token, Fault> {
        of(
            200,
            &format!(
                r#"{{"access_token":"{}","token_type":"Bearer"}}"#,
                jwt(claims)
            ),
        )
    }

    #[test]
    fn a_token_is_renewed_when_four_fifths_of_its_time_are_over() {
        for subject in ["relay", "re>?ay", "réläy"] {
            let token = with(&format!(r#"{{"sub":"{subject}","exp":1700000100}}"#));
            let token = token.expect("it is sound");
            assert_eq!(token.subject, subject);
            assert_eq!(token.expires_ms, NOW_MS + 100_000);
            assert_eq!(token.renew_ms, NOW_MS + 80_000);
        }
    }

    #[test]
    fn an_answer_without_a_usable_token_says_what_is_missing() {
        let fault = |found: Result<Token, Fault>| found.expect_err("it is not usable");
        for body in ["", "<html>", "[]", "{}", r#"{"access_token":7}"#] {
            assert_eq!(fault(of(200, body)), Fault::NoToken, "{body}");
        }
        for token in ["opaque", "a.b", "a.%.c", "a.e30=.c\\n", "a.W10.c"] {
            let body = format!(r#"{{"access_token":"{token}"}}"#);
            assert_eq!(fault(of(200, &body)), Fault::NoJwt, "{token}");
        }
        assert_eq!(fault(with(r#"{"sub":"a"}"#)), Fault::NoClaim("exp"));
        assert_eq!(fault(with(r#"{"exp":1700000100}"#)), Fault::NoClaim("sub"));
        for exp in ["1700000000", "0", "-5", "1e-300"] {
            let claims = format!(r#"{{"sub":"a","exp":{exp}}}"#);
            assert_eq!(fault(with(&claims)), Fault::Expired, "{exp}");
        }
    }

    #[test]
    fn a_refusal_names_the_property_to_change() {
        for (status, body, words) in [
            (
                401,
                "",
                "(401): correct \"sasl.oauthbearer.client.id\" and \"sasl.oauthbearer.client.secret\"",
            ),
            (
                400,
                r#"{"error":"invalid_client","error_description":"bad\nsecret"}"#,
                "refuses the client (400 invalid_client: badsecret)",
            ),
            (
                400,
                r#"{"error":"invalid_scope"}"#,
                "correct \"sasl.oauthbearer.scope\"",
            ),
            (
                404,
                "<html>",
                "answers 404: correct \"sasl.oauthbearer.token.endpoint.url\"",
            ),
            (
                302,
                "",
                "answers 302: correct \"sasl.oauthbearer.token.endpoint.url\"",
            ),
            (503, "{}", "answers 503: it is overloaded"),
            (429, "{}", "answers 429: it is overloaded"),
        ] {
            let said = of(status, body).expect_err("it is a refusal").to_string();
            assert!(said.contains(words), "{said}");
        }
        let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(5_000));
        let said = of(400, &long).expect_err("it is a refusal").to_string();
        assert!(said.len() < 400, "{said}");
    }
}
