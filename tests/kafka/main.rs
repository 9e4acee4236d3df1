//! The relay against a real Apache Kafka of three brokers: the whole way, outages, kills, a full journal, the end.
//!
//! Needs Java and Maven; without them every test is reported as ignored with the reason, except where `CI` is set.
//! `RINGBACK_TEST_LONG=1` gives the outage its full two minutes and the kills their ten rounds.

mod death;
mod outage;
mod support;
mod way;

use libtest_mimic::{Arguments, Failed, Trial};
use support::cluster::Cluster;

type Test = fn(&Cluster) -> Result<(), Failed>;

const TESTS: [(&str, Test); 7] = [
    (
        "each_event_arrives_byte_for_byte_under_its_key_and_in_order",
        way::each_event_arrives,
    ),
    (
        "a_wrong_key_gets_401_and_leaves_nothing_anywhere",
        way::a_wrong_key,
    ),
    (
        "promtool_has_no_complaint_and_the_identity_holds_after_a_restart_too",
        way::metrics,
    ),
    (
        "an_outage_changes_no_answer_and_everything_arrives_after_it",
        outage::an_outage,
    ),
    (
        "a_full_journal_answers_503_and_recovers_without_a_restart",
        outage::a_full_journal,
    ),
    (
        "kill_9_under_load_loses_nothing_acknowledged",
        death::kill_9,
    ),
    ("sigterm_under_load_refuses_no_request", death::sigterm),
];

fn main() {
    let mut arguments = Arguments::from_args();
    // One cluster, stopped and started by some tests.
    arguments.test_threads = Some(1);
    let missing: Vec<_> = ["java", "mvn"]
        .into_iter()
        .filter(|tool| !support::is_on_path(tool))
        .collect();
    let ignored = !missing.is_empty() && std::env::var_os("CI").is_none();
    if ignored {
        eprintln!(
            "the real-Kafka tests are ignored: {} not found on the path",
            missing.join(" and ")
        );
    }
    let cluster = std::sync::Arc::new(std::sync::OnceLock::new());
    let trials = TESTS.map(|(name, test)| {
        let cluster = cluster.clone();
        let kind = if ignored { "needs java and mvn" } else { "" };
        Trial::test(name, move || test(cluster.get_or_init(Cluster::start)))
            .with_kind(kind)
            .with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    if let Some(cluster) = cluster.get() {
        cluster.stop();
    }
    conclusion.exit();
}
