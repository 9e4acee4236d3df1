//! What is kept, within bounds, and what a page learns of it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, Version};

use super::*;
use crate::ingest::ObservedRequest;

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

fn observed<'a>(
    number: u64,
    id: &'a str,
    body: &'a [u8],
    head: &'a Request<()>,
) -> ObservedRequest<'a> {
    ObservedRequest {
        number,
        at_ms: 1_000,
        peer: PEER,
        method: head.method(),
        uri: head.uri(),
        version: Version::HTTP_11,
        headers: head.headers(),
        body: Some(body),
        source: Some("s"),
        event: Some("e"),
        key: None,
        id: Some(id),
        signature: Some(Ok(None)),
        unparsed: None,
    }
}

fn head() -> Request<()> {
    let uri = Uri::from_static("/webhook?a=b");
    Request::builder()
        .method(Method::POST)
        .uri(uri)
        .body(())
        .unwrap()
}

fn accept(store: &Store, number: u64, id: &str, body: &[u8]) {
    store.observe(&Observation::Accepted(observed(number, id, body, &head())));
}

fn answer(store: &Store, number: u64, is_duplicate: bool) {
    store.observe(&Observation::Answered {
        number,
        request: None,
        status: 204,
        headers: &HeaderMap::new(),
        body: Bytes::new(),
        refusal: None,
        is_duplicate,
        elapsed: Duration::from_micros(7),
    });
}

fn deliver(store: &Store, id: &str, offset: i64) -> bool {
    let record = Record {
        topic: String::from("t"),
        partition: 0,
        offset,
        timestamp_ms: Some(1_000),
        key: None,
        headers: Lines::default(),
    };
    store.change(|kept| kept.delivered("s", id, record, 1_004))
}

fn offset(store: &Store, n: u64) -> Option<i64> {
    let row = store.get(n).unwrap().row;
    row.kafka.as_ref().map(|place| place.offset)
}

#[test]
fn a_page_learns_each_change_once_and_resumes_at_any_revision() {
    let store = Store::new(Bounds::default());
    for number in 1..=5 {
        accept(&store, number, &number.to_string(), b"{}");
    }
    let numbers = |changes: &Changes| changes.rows.iter().map(|row| row.n).collect::<Vec<_>>();
    let first = store.changes(0, 3);
    assert_eq!(numbers(&first), [1, 2, 3]);
    answer(&store, 1, false);
    let second = store.changes(first.revision, 3);
    assert_eq!(numbers(&second), [4, 5, 1]);
    assert_eq!(second.rows[2].status, Some(204));
    assert_eq!(second.rows[2].answer_us, Some(7));
    let third = store.changes(second.revision, 3);
    assert!(third.rows.is_empty() && third.revision == second.revision);
    assert!(deliver(&store, "4", 0));
    assert_eq!(numbers(&store.changes(third.revision, 3)), [4]);
}

#[test]
fn a_record_goes_to_the_oldest_event_of_its_id_that_waits_for_one() {
    let store = Store::new(Bounds::default());
    for number in 1..=3 {
        accept(&store, number, "same", b"{}");
    }
    // In the topic before its answer; the second is a duplicate that has no record.
    assert!(deliver(&store, "same", 10));
    answer(&store, 1, false);
    answer(&store, 2, true);
    answer(&store, 3, false);
    assert!(deliver(&store, "same", 11));
    assert_eq!(
        [1, 2, 3].map(|n| offset(&store, n)),
        [Some(10), None, Some(11)]
    );
    assert!(!deliver(&store, "same", 12), "nobody waits for it");
    assert_eq!(
        store
            .get(1)
            .unwrap()
            .row
            .kafka
            .as_ref()
            .map(|place| place.ms),
        Some(4)
    );
}

#[test]
fn a_repeated_event_names_the_kept_one_before_it() {
    let store = Store::new(Bounds {
        requests: 3,
        ..Bounds::default()
    });
    let repeats = |n: u64| store.get(n).unwrap().row.repeats;
    for (number, id) in [(1, "same"), (2, "other"), (3, "same")] {
        accept(&store, number, id, b"{}");
        answer(&store, number, number == 3);
    }
    assert_eq!([1, 2, 3].map(repeats), [None, None, Some(1)]);
    accept(&store, 4, "same", b"{}");
    assert_eq!(repeats(4), Some(1), "the third has no record");
    answer(&store, 4, false);
    accept(&store, 5, "same", b"{}");
    assert_eq!(repeats(5), Some(4));
    accept(&store, 6, "other", b"{}");
    assert_eq!(repeats(6), None, "the second is not kept any more");
}

#[test]
fn an_event_whose_client_left_may_still_come_to_the_topic() {
    let store = Store::new(Bounds::default());
    accept(&store, 1, "a", b"{}");
    store.observe(&Observation::Left { number: 1 });
    store.observe(&Observation::Left { number: 2 });
    assert_eq!(store.get(1).unwrap().row.reason, Some("client_gone"));
    assert!(deliver(&store, "a", 3));
    assert_eq!(offset(&store, 1), Some(3));
}

#[test]
fn the_number_and_the_bytes_of_what_is_kept_are_bounded_and_a_long_body_is_cut() {
    let store = Store::new(Bounds {
        requests: 10,
        ..Bounds::default()
    });
    for number in 1..=25 {
        accept(&store, number, "a", b"{}");
    }
    let changes = store.changes(0, 100);
    assert_eq!((changes.first, changes.rows.len()), (16, 10));
    assert!(store.get(15).is_none() && store.get(16).is_some());

    let bounds = Bounds {
        requests: 1000,
        bytes: 1 << 20,
        body: 1 << 15,
    };
    let store = Store::new(bounds);
    for number in 1..=100 {
        accept(&store, number, "a", &b" ".repeat(100 * 1024));
        answer(&store, number, false);
    }
    let changes = store.changes(0, 1000);
    let entries: Vec<_> = (changes.first..=100)
        .map(|n| store.get(n).unwrap())
        .collect();
    let share = bounds.body;
    assert!(
        entries
            .iter()
            .all(|entry| entry.request.body.len() == share && !entry.request.is_whole)
    );
    assert!(
        entries
            .iter()
            .all(|entry| entry.row.size == Some(100 * 1024))
    );
    let bytes: usize = entries.iter().map(Entry::bytes).sum();
    assert!(bytes <= bounds.bytes && bytes > bounds.bytes / 2, "{bytes}");
    // Records of what is not kept any more find nobody, and those of the rest theirs.
    assert!(deliver(&store, "a", 1));
    assert_eq!(offset(&store, changes.first), Some(1));
}
