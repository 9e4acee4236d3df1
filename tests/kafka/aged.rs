//! Events older than what a topic keeps, published from a journal that was left, by `journal drain` and `dead-letter replay`.

use libtest_mimic::Failed;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::support::clock::Clock;
use crate::support::cluster::Cluster;
use crate::support::relay::{KEY, Site};
use crate::support::sender::Sender;
use crate::support::topic::{self, Acknowledged, Record};
use crate::support::{PATIENCE, events, eventually};

/// How old the events are, and how long a topic keeps records: old enough that a broker's next check deletes what has their
/// time, and kept long enough that a slow machine does not make a new record old.
const AGE_S: i64 = 3_600;
const RETENTION_MS: &str = "600000";
/// No broker listens there.
const NOWHERE: &str = "127.0.0.1:9";
const EVENTS: u64 = 30;

/// Returns once each broker has deleted records of that age, and so all others that it would delete for their time.
fn await_retention(cluster: &Cluster) {
    const PARTITIONS: i32 = 3;
    cluster.topic("control", PARTITIONS, &[("retention.ms", RETENTION_MS)]);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &cluster.bootstrap)
        .create()
        .expect("a producer");
    for partition in 0..PARTITIONS {
        let record = BaseRecord::<(), str>::to("control")
            .partition(partition)
            .payload("old")
            .timestamp(events::now_ms() - AGE_S * 1_000);
        producer.send(record).expect("its queue has room");
    }
    producer.flush(PATIENCE).expect("the brokers take it");
    eventually("records of that age are deleted", || {
        topic::counts(&cluster.bootstrap, "control") == [0; PARTITIONS as usize]
    });
}

fn assert_present_time(record: &Record, not_before_ms: i64) {
    assert!(record.timestamp >= not_before_ms, "{}", record.timestamp);
    let own = humantime::parse_rfc3339(&record.headers["ce_time"]).expect("a time");
    let age = own.elapsed().expect("it is past").as_secs();
    assert!(age >= AGE_S as u64, "ce_time is {age} s ago");
}

pub fn drained_and_replayed(cluster: &Cluster) -> Result<(), Failed> {
    let limit = ("max.message.bytes", "20000");
    cluster.topic("drained", 2, &[("retention.ms", RETENTION_MS), limit]);
    cluster.topic("replayed", 2, &[("retention.ms", RETENTION_MS)]);
    let without_kafka = Site::of(NOWHERE, "drained", None, &[]);
    let clock = Clock::new();
    clock.set(-AGE_S);
    let relay = clock.start(&without_kafka);
    let mut sender = Sender::connect(relay.address, KEY)?;
    let mut acknowledged = Acknowledged::new();
    let too_large = events::noisy_event("large", 0, 70_000);
    for number in 0..EVENTS {
        let call = format!("aged-{}", number % 3);
        let body = events::event(&call, number, 200);
        let now = events::now_ms() - AGE_S * 1_000;
        assert_eq!(sender.post_at(&body, now)?.code, 204);
        acknowledged.entry(call).or_default().push(body);
        if number == EVENTS / 2 {
            assert_eq!(sender.post_at(&too_large, now)?.code, 204);
        }
    }
    relay.kill();

    let before = events::now_ms();
    let journal = Some(without_kafka.journal().to_owned());
    let site = Site::of(&cluster.bootstrap, "drained", journal, &[]);
    let run = |words: &[&str]| {
        let output = site.tool(words).output().expect("the binary runs");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{stdout}{output:?}");
        stdout
    };
    let drained = run(&["journal", "drain"]);
    let expected =
        "30 published (30 with the present time; their own is in ce_time), 1 dead letter";
    assert!(drained.contains(expected), "{drained}");
    let replayed = run(&["dead-letter", "replay", "--all", "--topic", "replayed"]);
    let expected = "1 replayed (1 with the present time; their own is in ce_time), 0 not";
    assert!(replayed.contains(expected), "{replayed}");

    await_retention(cluster);
    topic::holds(&cluster.bootstrap, "drained", &acknowledged);
    let read = |name, count| {
        let records = topic::read_until(&cluster.bootstrap, name, |records| records.len() >= count);
        assert_eq!(records.len(), count, "{name}");
        records
            .iter()
            .for_each(|record| assert_present_time(record, before));
        records
    };
    read("drained", EVENTS as usize);
    let dead_letters = read("replayed", 1);
    assert_eq!(dead_letters[0].value, too_large);
    eprintln!(
        "events {AGE_S} s old, retention.ms {RETENTION_MS}: {EVENTS} drained and 1 replayed with the present time, all readable \
         after the brokers had deleted what was that old"
    );
    Ok(())
}
