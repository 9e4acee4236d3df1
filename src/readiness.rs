//! What the process says of itself to an orchestrator: named checks, some of which gate readiness.
//!
//! Kafka's state is a check in words only: an outage must not take a relay out of service that goes on accepting.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Whether a failing check makes the process unready, or is only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// `/readyz` answers 503 while this check fails.
    Gating,
    /// Listed by `/readyz?verbose`, without influence on the answer.
    Informational,
}

/// All checks of the process; cheap to clone, shared by everything that reports and by the admin server.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    name: &'static str,
    weight: Weight,
    failing: bool,
    words: String,
}

/// The reporting end of one check.
#[derive(Debug, Clone)]
pub struct Check {
    readiness: Readiness,
    index: usize,
}

impl Readiness {
    /// No checks yet, hence ready; add the gating ones before a server is asked.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check that fails, with `words`, until it is told otherwise.
    pub fn check(&self, name: &'static str, weight: Weight, words: &str) -> Check {
        let mut entries = self.lock();
        entries.push(Entry {
            name,
            weight,
            failing: true,
            words: words.to_owned(),
        });
        Check {
            readiness: self.clone(),
            index: entries.len() - 1,
        }
    }

    /// True while no gating check fails.
    pub fn is_ready(&self) -> bool {
        !self
            .lock()
            .iter()
            .any(|entry| entry.failing && entry.weight == Weight::Gating)
    }

    /// What the check of this name says while it fails.
    pub fn failing(&self, name: &str) -> Option<String> {
        let entries = self.lock();
        let entry = entries.iter().find(|entry| entry.name == name)?;
        entry.failing.then(|| entry.words.clone())
    }

    /// One line a check, in the manner of Kubernetes' own `[+]name ok`.
    pub fn verbose(&self) -> String {
        let mut text = String::new();
        for entry in self.lock().iter() {
            let mark = match (entry.failing, entry.weight) {
                (false, _) => "[+]",
                (true, Weight::Gating) => "[-]",
                (true, Weight::Informational) => "[!]",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{mark}{} {}", entry.name, entry.words);
        }
        text
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    /// The check passes.
    pub fn pass(&self, words: &str) {
        self.set(false, words);
    }

    /// The check fails, for the reason in `words` (which an operator reads: no secrets, no bodies).
    pub fn fail(&self, words: &str) {
        self.set(true, words);
    }

    fn set(&self, failing: bool, words: &str) {
        let mut entries = self.readiness.lock();
        let entry = &mut entries[self.index];
        entry.failing = failing;
        if entry.words != words {
            words.clone_into(&mut entry.words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gating_check_decides_and_an_informational_one_only_tells() {
        let readiness = Readiness::new();
        let startup = readiness.check("startup", Weight::Gating, "starting");
        let kafka = readiness.check("kafka", Weight::Informational, "no broker yet");
        assert!(!readiness.is_ready());
        startup.pass("ok");
        assert!(readiness.is_ready());
        kafka.fail("all brokers are down");
        assert_eq!(readiness.failing("startup"), None);
        let words = readiness.failing("kafka");
        assert_eq!(words.as_deref(), Some("all brokers are down"));
        assert!(readiness.is_ready());
        assert_eq!(
            readiness.verbose(),
            "[+]startup ok\n[!]kafka all brokers are down\n"
        );
    }
}
