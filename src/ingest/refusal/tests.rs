//! Each refusal has its own label, and each 503 says when to come back.

use std::time::Duration;

use super::*;

const HEADER: HeaderForm = HeaderForm {
    header: Cow::Borrowed("X"),
    form: Cow::Borrowed("x=<y>"),
    challenge: None,
};

const ALL: [Refusal; 25] = [
    Refusal::UnknownPath,
    Refusal::AddressNotAllowed,
    Refusal::MethodNotAllowed,
    Refusal::ContentEncoding,
    Refusal::TransferEncoding,
    Refusal::TooManyHeaders,
    Refusal::BodyTooLarge { max_body: 7 },
    Refusal::BodyTimeout,
    Refusal::BodyStalled,
    Refusal::BodyBroken,
    Refusal::MemoryExhausted,
    Refusal::RateLimited(Limited {
        wait: Duration::from_millis(1001),
        of_client: true,
        body_unread: true,
    }),
    Refusal::Unauthenticated(AuthenticateError::Missing(HEADER)),
    Refusal::Unauthenticated(AuthenticateError::Malformed(HEADER)),
    Refusal::Unauthenticated(AuthenticateError::Stale {
        difference: Duration::from_secs(301),
        is_ahead: true,
        tolerance: Duration::from_mins(5),
    }),
    Refusal::Unauthenticated(AuthenticateError::Mismatch),
    Refusal::NotJson(NotJson::Empty),
    Refusal::NoEvent,
    Refusal::NotAppended(AppendError::Full),
    Refusal::NotAppended(AppendError::Poisoned),
    Refusal::NotAppended(AppendError::Overloaded),
    Refusal::NotAppended(AppendError::Closed),
    Refusal::NotAppended(AppendError::Refused),
    Refusal::CommitTimeout,
    Refusal::Panicked,
];

#[test]
fn every_refusal_has_its_own_label_from_the_closed_list() {
    let reasons: Vec<_> = ALL.iter().map(|refusal| refusal.problem().reason).collect();
    assert_eq!(reasons[..], Reason::ALL[..ALL.len()]);
    let mut labels: Vec<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), Reason::ALL.len());
    assert!(
        Reason::ALL
            .iter()
            .enumerate()
            .all(|(index, reason)| *reason as usize == index)
    );
}

#[test]
fn every_503_and_429_names_whole_seconds_to_wait_and_nothing_else_does() {
    for refusal in ALL {
        let response = refusal.problem().to_response();
        let seconds = response
            .headers()
            .get(RETRY_AFTER)
            .map(|value| value.to_str().unwrap().parse::<u32>().unwrap());
        let waits = [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        let is_named = waits.contains(&response.status());
        assert_eq!(seconds.is_some(), is_named, "{refusal:?}");
        let least = if let Refusal::RateLimited(_) = refusal {
            2
        } else {
            1
        };
        assert!(
            seconds.is_none_or(|seconds| seconds >= least),
            "{refusal:?}"
        );
    }
}

#[test]
fn only_a_scheme_of_http_asks_for_its_credentials() {
    let asked = |error| {
        let answer = Refusal::Unauthenticated(error).problem().to_response();
        let header = answer.headers().get(WWW_AUTHENTICATE);
        header.map(|value| value.to_str().unwrap().to_owned())
    };
    let bearer = HeaderForm {
        challenge: Some("Bearer"),
        ..HEADER
    };
    for error in [
        AuthenticateError::Missing(bearer.clone()),
        AuthenticateError::Malformed(bearer.clone()),
        AuthenticateError::WrongCredentials(bearer),
    ] {
        assert_eq!(asked(error).as_deref(), Some("Bearer"));
    }
    assert_eq!(asked(AuthenticateError::Missing(HEADER)), None);
    assert_eq!(asked(AuthenticateError::Mismatch), None);
}
