//! The journal against a plain model, over a disk that keeps at a crash only what was synced, or anything more.

use std::time::Instant;

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::support::core::{Body, Core};
use crate::support::faulty_fs::{FaultyFs, Operation};

const SEGMENT: u64 = 4096;
const BUDGET: u64 = 1 << 20;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<usize>),
    AppendFailing(Vec<usize>, bool),
    Read(usize),
    Truncate(prop::sample::Index),
    Maintain,
    Reopen,
    Crash(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sizes =
        || prop::collection::vec(prop_oneof![8 => 0usize..300, 1 => 3000usize..9000], 1..12);
    let step = prop_oneof![
        6 => sizes().prop_map(Step::Append),
        1 => (sizes(), any::<bool>()).prop_map(|(sizes, write)| Step::AppendFailing(sizes, write)),
        4 => (1usize..20).prop_map(Step::Read),
        3 => any::<prop::sample::Index>().prop_map(Step::Truncate),
        2 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..40)
}

/// The records that must be in the journal, and those that may be.
#[derive(Default)]
struct Model {
    /// Every record that was ever appended, by its payload's serial number.
    bodies: Vec<Body>,
    /// Acknowledged and not truncated.
    acknowledged: BTreeMap<u64, usize>,
    /// Everything that was ever read, because a position must never mean two payloads.
    read: BTreeMap<u64, Vec<u8>>,
    truncated: Option<u64>,
}

impl Model {
    fn make(&mut self, sizes: &[usize]) -> Vec<Body> {
        let bodies: Vec<_> = sizes
            .iter()
            .map(|size| {
                let serial = self.bodies.len() as u64;
                let mut bytes = serial.to_le_bytes().to_vec();
                bytes.extend((0..*size).map(|at| (at as u64 * 31 + serial) as u8));
                self.bodies.push(Body(bytes));
                self.bodies[self.bodies.len() - 1].clone()
            })
            .collect();
        bodies
    }

    fn see(&mut self, position: u64, payload: &[u8]) -> Result<(), TestCaseError> {
        let mut serial = [0; 8];
        serial.copy_from_slice(&payload[..8]);
        let serial = usize::try_from(u64::from_le_bytes(serial)).expect("a serial number");
        prop_assert_eq!(
            &self.bodies[serial].0,
            payload,
            "bytes changed at {}",
            position
        );
        let before = self.read.insert(position, payload.to_vec());
        prop_assert!(
            before.is_none_or(|before| before == payload),
            "position {} was used twice",
            position
        );
        if let Some(acknowledged) = self.acknowledged.get(&position) {
            prop_assert_eq!(
                *acknowledged,
                serial,
                "another record at acknowledged position {}",
                position
            );
        }
        Ok(())
    }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut disk = FaultyFs::default();
    let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("a fresh journal opens");
    let mut model = Model::default();
    let mut last_read = None;
    for step in steps {
        match step {
            Step::Append(sizes) => append(&mut core, &mut model, &sizes),
            Step::AppendFailing(sizes, write) => {
                disk.fail_next(if write {
                    Operation::Write
                } else {
                    Operation::Sync
                });
                append(&mut core, &mut model, &sizes);
            }
            Step::Read(count) => {
                for _ in 0..count {
                    let Some(record) = core.reader.next_record(Instant::now()).expect("readable")
                    else {
                        break;
                    };
                    prop_assert!(
                        last_read.is_none_or(|last| last < record.position),
                        "out of order"
                    );
                    prop_assert!(
                        model.acknowledged.contains_key(&record.position)
                            || core.recovery.recovered_events > 0,
                        "position {} was read before it was acknowledged",
                        record.position
                    );
                    model.see(record.position, &record.payload)?;
                    last_read = Some(record.position);
                }
            }
            Step::Truncate(index) => {
                if let Some(last) = last_read {
                    let candidates: Vec<_> = model
                        .read
                        .range(..=last)
                        .map(|(position, _)| *position)
                        .collect();
                    let upto = candidates[index.index(candidates.len())];
                    core.truncate(upto);
                    model.truncated = model.truncated.max(Some(upto));
                    model.acknowledged.retain(|position, _| *position > upto);
                }
            }
            Step::Maintain => core.upkeep.step(),
            Step::Reopen => {
                disk.cancel_failure();
                // A journal that its checkpoint has poisoned does not try to write it again.
                let written = core.upkeep.checkpoint();
                prop_assert!(written.is_ok() || core.engine.admission.is_poisoned());
                drop(core);
                core = reopen(&disk, &mut model)?;
                last_read = None;
            }
            Step::Crash(seed) => {
                disk = disk.crash(&mut StdRng::seed_from_u64(seed));
                drop(core);
                core = reopen(&disk, &mut model)?;
                last_read = None;
            }
        }
        if !core.engine.admission.is_poisoned() {
            let must: Vec<_> = model.acknowledged.keys().copied().collect();
            prop_assert!(
                core.unpublished() >= must.len() as u64,
                "fewer records than acknowledged ones"
            );
        }
    }
    Ok(())
}

fn append(core: &mut Core, model: &mut Model, sizes: &[usize]) {
    let first = model.bodies.len();
    let batch = model.make(sizes);
    // One by one, so that what was acknowledged before a failure is known.
    for (index, body) in batch.iter().enumerate() {
        if let Some(positions) = core.append(std::slice::from_ref(body)) {
            model.acknowledged.insert(positions[0], first + index);
        }
    }
}

/// Opens the journal again and compares its records with those that must be there.
fn reopen(disk: &FaultyFs, model: &mut Model) -> Result<Core, TestCaseError> {
    disk.cancel_failure();
    let mut core = Core::open(disk, SEGMENT, BUDGET).expect("a crashed journal opens");
    let records = core.read_all();
    let mut last = None;
    for record in &records {
        prop_assert!(
            last.is_none_or(|last| last < record.position),
            "out of order after a start"
        );
        last = Some(record.position);
        model.see(record.position, &record.payload)?;
    }
    let found: Vec<_> = records.iter().map(|record| record.position).collect();
    for position in model.acknowledged.keys() {
        prop_assert!(
            found.binary_search(position).is_ok(),
            "acknowledged position {} is lost",
            position
        );
    }
    let identity = core.recovery.recovered_events - core.metric("journal_corrupt_records_total");
    prop_assert_eq!(
        identity,
        core.unpublished(),
        "recovered - corrupt = unpublished"
    );
    prop_assert_eq!(core.unpublished(), records.len() as u64);
    // From here on, unacknowledged records that the open has found count as acknowledged.
    for record in records {
        let mut serial = [0; 8];
        serial.copy_from_slice(&record.payload[..8]);
        let serial = usize::try_from(u64::from_le_bytes(serial)).expect("a serial number");
        model.acknowledged.entry(record.position).or_insert(serial);
    }
    core.reader.seek(core.recovery.resume_at);
    Ok(core)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_acknowledged_is_kept_in_order_byte_for_byte_across_crashes(steps in steps()) {
        run(steps)?;
    }
}
