//! Ranges and relations between keys. Out of range is refused, never clamped.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

use super::Config;
use super::diagnostics::{Located, Problem};
use super::render::size;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(super) fn check(config: &Config, located: &Located, problems: &mut Vec<Problem>) {
    let mut bounds = Bounds { located, problems };
    let listen = &config.listen;
    bounds.number(
        "listen.max_connections",
        listen.max_connections,
        1..=1_000_000,
    );
    bounds.duration(
        "listen.header_timeout",
        listen.header_timeout,
        100..=300_000,
    );
    bounds.duration("listen.body_timeout", listen.body_timeout, 100..=600_000);
    bounds.duration("listen.commit_timeout", listen.commit_timeout, 100..=60_000);
    // librdkafka's message.max.bytes ends at 1,000,000,000; an event must fit it with its headers.
    bounds.size("listen.max_body", listen.max_body, KIB..=512 * MIB);
    bounds.size("listen.max_in_flight", listen.max_in_flight, KIB..=64 * GIB);
    bounds.size(
        "journal.segment_size",
        config.journal.segment_size,
        MIB..=4 * GIB,
    );
    bounds.size(
        "journal.budget",
        config.journal.budget,
        4 * MIB..=1024 * GIB,
    );
    bounds.duration(
        "journal.read_patience",
        config.journal.read_patience,
        1_000..=86_400_000,
    );
    bounds.duration(
        "kafka.stall_timeout",
        config.kafka.stall_timeout,
        1_000..=3_600_000,
    );
    bounds.duration(
        "shutdown.readiness_delay",
        config.shutdown.readiness_delay,
        0..=600_000,
    );
    bounds.duration(
        "shutdown.drain_deadline",
        config.shutdown.drain_deadline,
        1_000..=3_600_000,
    );

    if listen.max_in_flight < listen.max_body {
        let text = format!(
            "{} is less than listen.max_body {}, so the largest event could never be taken; \
             raise it to at least that",
            size(listen.max_in_flight),
            size(listen.max_body)
        );
        bounds.problem("listen.max_in_flight", text);
    }
    if config.journal.budget.as_u64() < 2 * listen.max_body.as_u64() {
        let text = format!(
            "{} is less than twice listen.max_body {}, so a single event could fill the journal; \
             raise it",
            size(config.journal.budget),
            size(listen.max_body)
        );
        bounds.problem("journal.budget", text);
    }
    if config.journal.path.as_os_str().is_empty() {
        bounds.problem(
            "journal.path",
            "is empty; name a folder on a disk of its own",
        );
    }
    if config.admin.address == listen.address && listen.address.port() != 0 {
        let text = "is listen.address too; give the admin listener a port of its own";
        bounds.problem("admin.address", text);
    }
    bounds.topic("kafka.topic", &config.kafka.topic);
    if let Some(topic) = &config.kafka.dead_letter_topic {
        bounds.topic("kafka.dead_letter_topic", topic);
        if *topic == config.kafka.topic {
            bounds.problem(
                "kafka.dead_letter_topic",
                "is kafka.topic too; name another topic",
            );
        }
    }
    brokers(config, &mut bounds);
    sources(config, &mut bounds);
}

/// As librdkafka reads them, which would only complain in its log once it is asked to connect.
fn brokers(config: &Config, bounds: &mut Bounds<'_>) {
    const SCHEMES: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
    const REMEDY: &str = "name at least one broker, as \"kafka-0:9092,kafka-1:9092\"";
    let client = config.kafka.plain_client();
    let names = ["bootstrap.servers", "metadata.broker.list"];
    let given: Vec<_> = names
        .iter()
        .filter_map(|name| Some((name, client.get(*name)?)))
        .collect();
    if given.is_empty() {
        let text = format!("is missing; {REMEDY}");
        bounds.problem("kafka.client.bootstrap.servers", text);
    }
    for (name, servers) in given {
        let key = format!("kafka.client.{name}");
        if servers.split(',').all(|server| server.trim().is_empty()) {
            bounds.problem(&key, format!("is empty; {REMEDY}"));
        }
        let schemes = servers.split(',').filter_map(|one| one.split_once("://"));
        for (scheme, _) in schemes {
            let scheme = scheme.trim();
            if !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) {
                let text = format!("{scheme:?} is no protocol of Kafka's; {REMEDY}");
                bounds.problem(&key, text);
            }
        }
    }
}

fn sources(config: &Config, bounds: &mut Bounds<'_>) {
    if config.source.is_empty() {
        let text = "there is none; add [[source]] with name, path and verify, as \
                    name = \"retell\", path = \"/webhook\", verify = \"retell\", \
                    keys = [{ env = \"RETELL_API_KEY\" }]";
        bounds.problem("source", text);
    }
    let mut names = BTreeSet::new();
    let mut paths = BTreeSet::new();
    for (index, source) in config.source.iter().enumerate() {
        if !names.insert(&source.name) {
            let text = format!(
                "{:?} is another source's name too; make it unique",
                source.name
            );
            bounds.problem(&format!("source.{index}.name"), text);
        }
        if !paths.insert(&source.path) {
            let text = format!(
                "{:?} is another source's path too; make it unique",
                source.path
            );
            bounds.problem(&format!("source.{index}.path"), text);
        }
    }
}

struct Bounds<'a> {
    located: &'a Located,
    problems: &'a mut Vec<Problem>,
}

impl Bounds<'_> {
    fn problem(&mut self, key: &str, text: impl Into<String>) {
        self.problems.push(self.located.problem(key, text));
    }

    fn number(&mut self, key: &str, value: usize, range: RangeInclusive<usize>) {
        self.range(key, &value, &range, usize::to_string);
    }

    fn size(&mut self, key: &str, value: ByteSize, range: RangeInclusive<u64>) {
        let range = ByteSize::b(*range.start())..=ByteSize::b(*range.end());
        self.range(key, &value, &range, |bound| format!("\"{}\"", size(*bound)));
    }

    fn duration(&mut self, key: &str, value: Duration, millis: RangeInclusive<u64>) {
        let range = Duration::from_millis(*millis.start())..=Duration::from_millis(*millis.end());
        let show = |bound: &Duration| format!("\"{}\"", humantime::format_duration(*bound));
        self.range(key, &value, &range, show);
    }

    fn range<T: PartialOrd>(
        &mut self,
        key: &str,
        value: &T,
        range: &RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) {
        if !range.contains(value) {
            let (start, end) = (show(range.start()), show(range.end()));
            let text = format!("{} is out of range; {start} to {end} will do", show(value));
            self.problem(key, text);
        }
    }

    /// Kafka's own rule for topic names (org.apache.kafka.common.internals.Topic).
    fn topic(&mut self, key: &str, topic: &impl Display) {
        let topic = topic.to_string();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fits = (1..=249).contains(&topic.len()) && topic.chars().all(legal);
        if !fits || topic == "." || topic == ".." {
            let text = format!(
                "{topic:?} is no topic name; 1 to 249 of letters, digits, '.', '_', '-' will do"
            );
            self.problem(key, text);
        }
    }
}
