//! Runs whose figures are known.

use std::time::Duration;

use super::{Breach, Figures, Ledger, Quantiles, Reply, TopicRecord, Verdict};

const OK: Reply = Reply::Status(204);

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn body(number: u64) -> Vec<u8> {
    format!("body {number}").into_bytes()
}

/// One call `a`: the replies to each event's attempts, then the numbers of the records, by offset.
fn history(replies: &[&[Reply]], records: &[u64]) -> Ledger {
    let mut ledger = Ledger::new();
    for (number, attempts) in (0..).zip(replies) {
        ledger.on_sent("a", number, &body(number), ms(0));
        for reply in *attempts {
            ledger.on_reply("a", number, *reply, ms(1));
        }
    }
    for (offset, number) in (0..).zip(records) {
        see(&mut ledger, *number, 0, offset);
    }
    ledger
}

fn see(ledger: &mut Ledger, number: u64, partition: i32, offset: i64) {
    let record = TopicRecord {
        partition,
        offset,
        key: Some(b"a"),
        value: &body(number),
        at: ms(5),
    };
    ledger.on_record("a", number, &record);
}

fn breaches(figures: &Figures) -> Vec<(Breach, Option<u64>)> {
    let violations = figures.violations.iter();
    violations
        .map(|violation| (violation.breach, violation.number))
        .collect()
}

#[test]
fn the_promise_is_kept_if_each_event_is_there_once_and_in_order() {
    let figures = history(&[&[OK], &[OK], &[OK]], &[0, 1, 2]).figures();
    assert_eq!(figures.verdict(), Verdict::Kept);
    assert_eq!(
        (figures.sent, figures.acknowledged, figures.delivered),
        (3, 3, 3)
    );
    assert_eq!((figures.duplicated, figures.foreign), (0, 0));
    assert_eq!(figures.violations, []);
    assert_eq!(figures.acknowledgement_ms.map(|times| times.max), Some(1.0));
    assert_eq!(figures.arrival_ms.map(|times| times.p50), Some(5.0));
}

#[test]
fn an_acknowledged_event_without_a_record_is_lost_and_named() {
    let ledger = history(&[&[OK], &[OK], &[OK]], &[0, 2]);
    assert_eq!(ledger.outstanding(), 1);
    let figures = ledger.figures();
    assert_eq!((figures.lost, figures.delivered), (1, 2));
    assert_eq!(figures.verdict(), Verdict::Broken);
    assert_eq!(breaches(&figures), [(Breach::Lost, Some(1))]);
    assert_eq!(figures.violations[0].bytes, Some(6));
}

#[test]
fn an_event_never_acknowledged_may_be_in_the_topic_or_not() {
    let none: &[Reply] = &[Reply::None, Reply::Status(503), Reply::Status(503)];
    for records in [&[1][..], &[1, 0], &[0, 0, 1]] {
        let figures = history(&[none, &[OK]], records).figures();
        assert_eq!(figures.verdict(), Verdict::Kept, "{records:?}");
        assert_eq!((figures.given_up, figures.unanswered), (1, 1));
        assert_eq!(figures.refused, [(503, 2)].into());
        let delivered = u64::from(records.contains(&0));
        assert_eq!(figures.delivered_unacknowledged, delivered);
    }
}

#[test]
fn an_event_that_overtakes_is_out_of_order() {
    let figures = history(&[&[OK], &[OK], &[OK]], &[1, 0, 2]).figures();
    assert_eq!(figures.out_of_order, 1);
    assert_eq!(figures.verdict(), Verdict::Broken);
    assert_eq!(breaches(&figures), [(Breach::OutOfOrder, Some(1))]);
    // An event that falls behind is overtaken by each event before it in the topic.
    let figures = history(&[&[OK], &[OK], &[OK]], &[1, 2, 0]).figures();
    assert_eq!(figures.out_of_order, 2);
}

#[test]
fn a_repetition_is_counted_and_breaks_nothing() {
    // A resent tail, and an attempt that was delivered long after the acknowledged one.
    for records in [&[0, 1, 0, 1, 2][..], &[0, 1, 2, 0, 2]] {
        let figures = history(&[&[Reply::None, OK], &[OK], &[OK]], records).figures();
        assert_eq!(figures.duplicated, 2);
        assert_eq!(figures.verdict(), Verdict::Kept, "{records:?}");
    }
}

#[test]
fn a_retried_event_may_be_delivered_by_either_attempt_but_only_before_the_next_event() {
    let replies: &[&[Reply]] = &[&[OK], &[Reply::Status(503), OK], &[OK]];
    assert_eq!(
        history(replies, &[0, 1, 2]).figures().verdict(),
        Verdict::Kept
    );
    assert_eq!(
        history(replies, &[0, 1, 1, 2]).figures().verdict(),
        Verdict::Kept
    );
    assert_eq!(history(replies, &[0, 2, 1]).figures().out_of_order, 1);
}

#[test]
fn a_call_in_two_partitions_has_no_order() {
    let mut ledger = history(&[&[OK], &[OK]], &[0]);
    see(&mut ledger, 1, 3, 0);
    let figures = ledger.figures();
    assert_eq!((figures.out_of_order, figures.lost), (1, 0));
    assert_eq!(figures.calls_moved, 0);
}

#[test]
fn a_call_that_moved_in_a_topic_that_grew_is_counted_and_judged_within_each_partition() {
    let four: &[&[Reply]] = &[&[OK], &[OK], &[OK], &[OK]];
    let mut ledger = history(four, &[0, 1]);
    ledger.on_growth();
    see(&mut ledger, 2, 3, 0);
    see(&mut ledger, 3, 3, 1);
    let figures = ledger.figures();
    assert_eq!((figures.out_of_order, figures.calls_moved), (0, 1));
    assert_eq!(figures.verdict(), Verdict::Kept);

    let mut ledger = history(four, &[0, 1]);
    ledger.on_growth();
    see(&mut ledger, 3, 3, 0);
    see(&mut ledger, 2, 3, 1);
    let figures = ledger.figures();
    assert_eq!((figures.out_of_order, figures.calls_moved), (1, 1));
    assert_eq!(breaches(&figures), [(Breach::OutOfOrder, Some(3))]);

    let mut ledger = history(four, &[0, 1, 2, 3]);
    ledger.on_growth();
    assert_eq!(ledger.figures().calls_moved, 0);
}

#[test]
fn a_record_read_twice_counts_once_and_reading_again_finds_the_first() {
    let mut ledger = history(&[&[OK], &[OK]], &[0, 1, 0]);
    see(&mut ledger, 0, 0, 0);
    see(&mut ledger, 0, 0, 2);
    assert_eq!(ledger.figures().duplicated, 1);
    let mut ledger = history(&[&[OK], &[OK]], &[]);
    for (number, offset) in [(0, 7), (1, 6), (0, 5), (1, 6), (0, 7)] {
        see(&mut ledger, number, 0, offset);
    }
    let figures = ledger.figures();
    assert_eq!((figures.out_of_order, figures.duplicated), (0, 1));
}

#[test]
fn changed_bytes_and_a_wrong_key_are_counted_record_by_record() {
    let mut ledger = history(&[&[OK], &[OK]], &[0, 1]);
    let record = |key, value| TopicRecord {
        partition: 1,
        offset: 9,
        key,
        value,
        at: ms(2),
    };
    ledger.on_record("a", 1, &record(Some(b"b"), b"body  1"));
    let figures = ledger.figures();
    assert_eq!((figures.changed, figures.wrong_key), (1, 1));
    assert_eq!(figures.verdict(), Verdict::Broken);
    assert_eq!(
        breaches(&figures),
        [(Breach::Changed, Some(1)), (Breach::WrongKey, Some(1))]
    );
    let mut ledger = history(&[&[OK]], &[]);
    ledger.on_record("a", 0, &record(None, b"body 0"));
    assert_eq!(ledger.figures().wrong_key, 1);
    // A record without a mark delivers no event.
    let mut ledger = history(&[&[OK]], &[]);
    ledger.on_mangled_record("a", &record(Some(b"a"), b"bo"));
    let figures = ledger.figures();
    assert_eq!((figures.changed, figures.lost), (1, 1));
}

#[test]
fn records_of_another_run_are_counted_apart() {
    let mut ledger = history(&[&[OK]], &[0]);
    see(&mut ledger, 77, 0, 8);
    ledger.on_foreign_record();
    let figures = ledger.figures();
    assert_eq!((figures.foreign, figures.verdict()), (2, Verdict::Kept));
}

#[test]
fn a_run_without_acknowledgements_proves_nothing() {
    let figures = history(&[&[Reply::None], &[Reply::Status(401)]], &[]).figures();
    assert_eq!(figures.verdict(), Verdict::Untested);
    assert_eq!(figures.acknowledgement_ms, None);
}

#[test]
fn a_record_may_be_read_before_its_reply() {
    let mut ledger = Ledger::new();
    ledger.on_sent("a", 0, &body(0), ms(0));
    see(&mut ledger, 0, 0, 0);
    assert_eq!(ledger.outstanding(), 0);
    ledger.on_reply("a", 0, OK, ms(9));
    assert_eq!(ledger.outstanding(), 0);
    assert_eq!(ledger.figures().delivered, 1);
}

#[test]
fn quantiles_are_times_that_were_measured() {
    let times = (1..=200).map(ms).collect();
    let quantiles = Quantiles {
        p50: 100.0,
        p99: 198.0,
        max: 200.0,
    };
    assert_eq!(Quantiles::of(times), Some(quantiles));
    assert_eq!(Quantiles::of(vec![ms(3)]).map(|one| one.p99), Some(3.0));
    assert_eq!(Quantiles::of(Vec::new()), None);
}

#[test]
fn each_kind_of_breach_has_its_examples() {
    let mut ledger = Ledger::new();
    for number in 0..50 {
        ledger.on_sent("a", number, &body(number), ms(0));
        ledger.on_reply("a", number, OK, ms(1));
    }
    for number in 0..30 {
        let record = TopicRecord {
            partition: 0,
            offset: 30 - i64::try_from(number).unwrap(),
            key: (number > 20).then_some(&b"b"[..]),
            value: b"other",
            at: ms(1),
        };
        ledger.on_record("a", number, &record);
    }
    let figures = ledger.figures();
    assert_eq!((figures.lost, figures.out_of_order), (20, 29));
    assert_eq!((figures.changed, figures.wrong_key), (30, 30));
    let of = |breach| {
        let violations = figures.violations.iter();
        violations.filter(|one| one.breach == breach).count()
    };
    for breach in [
        Breach::Lost,
        Breach::OutOfOrder,
        Breach::Changed,
        Breach::WrongKey,
    ] {
        assert_eq!(of(breach), 10, "{breach:?}");
    }
}
