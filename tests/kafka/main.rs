//! The relay against a real Apache Kafka of three brokers: from request to topic, Kafka's faults, a full journal, kills, the end.
//!
//! Needs Java and Maven; without them every test is reported as ignored with the reason, unless `CI` is set.
//! `RINGBACK_TEST_LONG=1` gives the outage its 340 seconds, `kill -9` its 200 rounds and the rolling restart its ten.

mod acknowledged;
mod aged;
mod brokers;
mod causes;
mod consumers;
mod death;
mod doctor;
mod end_to_end;
mod growth;
mod outage;
mod presets;
mod replicas;
mod security;
mod sources;
mod stall;
#[allow(dead_code, reason = "tests/crash uses the rest of it")]
mod support;
mod times;
mod topics;

use libtest_mimic::{Arguments, Failed, Trial};
use support::cluster::Cluster;

type Test = fn(&Cluster) -> Result<(), Failed>;

const TESTS: [(&str, Test); 36] = [
    (
        "each_event_arrives_byte_for_byte_under_its_key_and_in_order",
        end_to_end::each_event_arrives,
    ),
    (
        "a_wrong_key_gets_401_and_leaves_nothing_anywhere",
        end_to_end::a_wrong_key,
    ),
    (
        "promtool_has_no_complaint_and_the_identity_holds_after_a_restart_too",
        end_to_end::metrics,
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
    (
        "three_replicas_restarted_in_turn_keep_each_call_s_order_if_clients_keep_their_replica",
        replicas::with_affinity,
    ),
    (
        "three_replicas_restarted_in_turn_behind_a_round_robin_lose_nothing",
        replicas::by_round_robin,
    ),
    (
        "brokers_killed_and_frozen_in_turn_lose_nothing",
        brokers::killed_and_frozen,
    ),
    (
        "too_few_in_sync_replicas_are_waited_for",
        brokers::not_enough_replicas,
    ),
    ("leaders_that_move_change_no_order", brokers::leaders_move),
    (
        "without_a_journal_no_2xx_is_untrue_though_brokers_die_and_freeze",
        acknowledged::brokers,
    ),
    (
        "without_a_journal_too_few_in_sync_replicas_are_answered_503",
        acknowledged::replicas,
    ),
    (
        "without_a_journal_kill_9_loses_nothing_acknowledged",
        acknowledged::kill_9,
    ),
    (
        "a_missing_topic_is_waited_for_and_filled_once_it_is_made",
        topics::missing,
    ),
    (
        "a_topic_that_is_made_while_nothing_comes_is_noticed",
        topics::made_while_idle,
    ),
    (
        "a_topic_deleted_and_made_again_gets_all_that_is_accepted_after_it",
        topics::recreated,
    ),
    (
        "a_topic_remade_on_another_leader_while_nothing_comes_is_found_by_another_producer",
        stall::remade_elsewhere,
    ),
    (
        "credentials_renewed_at_the_broker_and_on_disk_need_no_restart",
        stall::credentials,
    ),
    (
        "a_topic_that_grows_while_a_backlog_leaves_keeps_each_key_s_order",
        growth::grown,
    ),
    (
        "a_topic_remade_with_fewer_partitions_while_a_backlog_leaves_keeps_each_key_s_order",
        growth::remade_with_fewer,
    ),
    (
        "senders_by_configuration_alone_have_two_topics_one_of_which_is_missing_at_first",
        sources::two_topics,
    ),
    (
        "stripe_github_and_slack_arrive_by_their_presets_also_if_added_to_a_running_relay",
        presets::end_to_end,
    ),
    (
        "prove_reads_the_partitions_that_a_topic_gets_and_judges_only_what_it_can",
        growth::proved,
    ),
    (
        "events_older_than_a_topic_keeps_are_drained_and_replayed_with_the_present_time",
        aged::drained_and_replayed,
    ),
    (
        "an_outage_longer_than_the_topic_s_retention_loses_nothing",
        times::retention,
    ),
    (
        "an_outage_longer_than_the_topic_takes_timestamps_blocks_nothing",
        times::before,
    ),
    (
        "each_mistake_in_the_connection_is_named_with_the_property_to_change",
        causes::named,
    ),
    (
        "each_way_to_be_known_to_a_broker_delivers_and_each_mistake_names_its_property",
        security::each_way,
    ),
    (
        "an_oauth_secret_renewed_under_load_fails_no_request",
        security::secret_renewed,
    ),
    (
        "the_doctor_finds_each_wrong_set_up_and_writes_only_if_asked",
        doctor::set_ups,
    ),
    (
        "a_keyless_event_on_a_compacted_topic_is_named",
        causes::keyless,
    ),
    (
        "a_refused_write_permission_is_waited_for",
        topics::permission,
    ),
    (
        "a_record_over_the_topic_s_limit_is_dead_lettered_and_its_neighbours_arrive",
        topics::too_large,
    ),
    (
        "batches_over_the_topic_s_limit_are_halved_and_leave_in_a_few_rebuilds",
        topics::large_batches,
    ),
];

/// Each with the tools that it needs beside those of the cluster.
const CONSUMERS: [(&str, Test, &[&str]); 5] = [
    (
        "the_consumer_in_python_keeps_exactly_what_was_sent_in_order",
        consumers::python,
        &["python3"],
    ),
    (
        "the_consumer_in_node_keeps_exactly_what_was_sent_in_order",
        consumers::node,
        &["node", "npm"],
    ),
    (
        "the_consumer_in_java_keeps_exactly_what_was_sent_in_order",
        consumers::java,
        &[],
    ),
    (
        "the_consumer_in_go_keeps_exactly_what_was_sent_in_order",
        consumers::go,
        &["go"],
    ),
    (
        "the_consumer_in_rust_keeps_exactly_what_was_sent_in_order",
        consumers::rust,
        &[],
    ),
];

fn main() {
    let mut arguments = Arguments::from_args();
    // All tests share one cluster, and some stop and start it.
    arguments.test_threads = Some(1);
    let cluster = std::sync::Arc::new(std::sync::OnceLock::new());
    let trial = |name: &str, test: Test, needs: &[&str]| {
        let cluster = cluster.clone();
        let run = move || {
            let cluster = cluster.get_or_init(Cluster::start);
            cluster.heal();
            test(cluster)
        };
        let missing = missing(needs);
        let ignored = !missing.is_empty() && std::env::var_os("CI").is_none();
        Trial::test(name, run)
            .with_kind(if ignored {
                format!("needs {missing}")
            } else {
                String::new()
            })
            .with_ignored_flag(ignored)
    };
    let tests = TESTS.iter().map(|(name, test)| trial(name, *test, &[]));
    let consumers = CONSUMERS
        .iter()
        .map(|(name, test, needs)| trial(name, *test, needs));
    let conclusion = libtest_mimic::run(&arguments, tests.chain(consumers).collect());
    if let Some(cluster) = cluster.get() {
        cluster.stop();
    }
    conclusion.exit();
}

/// Those of these tools and of the cluster's that are not on the path, as words; empty if all are.
fn missing(needs: &[&str]) -> String {
    let tools = ["java", "mvn"].iter().chain(needs);
    let missing = tools.filter(|tool| !support::is_on_path(tool));
    missing.copied().collect::<Vec<_>>().join(" and ")
}
