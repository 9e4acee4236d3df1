//! Faults of disk, clock and process on the real binary: full disks, power cuts, failing syncs, flipped bits, kills at start.
//!
//! Kafka is librdkafka's mock in this process, because only what comes before it fails here. Tests that need root, loop devices
//! or a tool that is missing are reported as ignored with the reason, unless `CI` is set. `RINGBACK_TEST_LONG=1` cuts the
//! power more often and flips more bits.

mod bits;
mod clock;
mod disk;
mod files;
mod mock;
mod needs;
mod power;
mod reads;
mod resolver;
mod start;
#[path = "../kafka/support/mod.rs"]
#[allow(dead_code, reason = "the tests on a real Kafka use the rest of it")]
mod support;
mod sync;
mod trace;
mod volume;

use libtest_mimic::{Arguments, Failed, Trial};
use needs::Need;

type Test = fn() -> Result<(), Failed>;

const TESTS: [(&str, &[Need], Test); 21] = [
    (
        "a_full_file_system_is_answered_503_and_204_again_by_itself",
        &[Need::Mount, Need::Ext4],
        disk::full,
    ),
    (
        "a_read_only_remount_under_load_ends_the_process_and_loses_nothing",
        &[Need::Mount, Need::Ext4],
        disk::read_only,
    ),
    (
        "power_cuts_on_ext4_lose_nothing_acknowledged",
        &[Need::Mount, Need::Ext4, Need::Xfs],
        power::ext4,
    ),
    (
        "power_cuts_on_xfs_lose_nothing_acknowledged",
        &[Need::Mount, Need::Xfs],
        power::xfs,
    ),
    (
        "an_io_error_under_a_sync_is_final_and_loses_nothing",
        &[Need::Strace],
        sync::error,
    ),
    (
        "an_io_error_under_the_checkpoint_s_sync_is_final_too",
        &[Need::Strace],
        sync::checkpoint_error,
    ),
    (
        "an_io_error_under_a_write_is_final_and_loses_nothing",
        &[Need::Strace],
        sync::write_error,
    ),
    (
        "syncs_slower_than_commit_timeout_are_answered_503_and_204_again_by_itself",
        &[Need::Strace],
        sync::slow,
    ),
    (
        "a_configuration_on_a_disk_that_hangs_delays_neither_answers_nor_the_end",
        &[Need::Strace],
        files::hang,
    ),
    (
        "a_clock_set_back_an_hour_changes_no_order_and_delays_nothing",
        &[Need::Compiler],
        clock::set_back_in_fair_weather,
    ),
    (
        "a_clock_set_back_an_hour_in_an_outage_does_not_prolong_it",
        &[Need::Compiler],
        clock::set_back_in_an_outage,
    ),
    (
        "a_clock_set_back_an_hour_at_start_does_not_delay_it",
        &[Need::Compiler],
        clock::set_back_at_start,
    ),
    (
        "a_resolver_that_hangs_delays_neither_answers_nor_the_end",
        &[Need::Compiler],
        resolver::hangs,
    ),
    (
        "reads_that_fail_for_a_while_lose_nothing",
        &[Need::Compiler],
        reads::for_a_while,
    ),
    (
        "a_volume_that_is_away_while_the_relay_ends_loses_nothing",
        &[Need::Compiler],
        reads::while_it_ends,
    ),
    (
        "a_block_that_stays_unreadable_costs_only_its_own_records",
        &[Need::Compiler],
        reads::one_block,
    ),
    (
        "a_start_does_not_wait_for_a_block_that_cannot_be_read",
        &[Need::Compiler],
        reads::at_the_start,
    ),
    (
        "a_spoiled_tail_is_counted_exactly_and_copied",
        &[],
        reads::spoiled_tail,
    ),
    (
        "any_flipped_bit_loses_at_most_its_own_record_and_is_counted",
        &[],
        bits::flipped,
    ),
    (
        "kill_9_during_start_and_recovery_loses_nothing",
        &[],
        start::kill_9,
    ),
    (
        "a_second_process_keeps_its_hands_off_a_journal_in_use",
        &[],
        start::second,
    ),
];

fn main() {
    let mut arguments = Arguments::from_args();
    needs::enter_own_mounts();
    // On two cores, tests in parallel would slow each other down, and each prints how long its fault took.
    arguments.test_threads.get_or_insert(1);
    let strict = std::env::var_os("CI").is_some();
    let trials = TESTS.map(|(name, needs, test)| {
        let missing: Vec<_> = needs.iter().filter_map(|need| need.missing()).collect();
        let ignored = !missing.is_empty() && !strict;
        let kind = if ignored {
            missing.join(", ")
        } else {
            String::new()
        };
        Trial::test(name, test)
            .with_kind(kind)
            .with_ignored_flag(ignored)
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}
