//! The checks that an orchestrator and an operator see. Gating checks decide readiness; the others only inform.
//!
//! Kafka's state only informs: during an outage of Kafka the relay goes on accepting, so it must stay in service.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// What a failing check does to readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckKind {
    /// `/readyz` answers 503 while this check fails.
    Gating,
    /// Listed by `/readyz?verbose`, without influence on the answer.
    Informational,
}

/// All checks of the process, shared by the modules that report and the admin server. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<CheckState>>>);

/// A check as it is at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckState {
    /// Its name, as `/readyz?verbose` lists it.
    pub name: &'static str,
    /// What it does to readiness.
    pub kind: CheckKind,
    /// What it says of each thing that it checks.
    pub lines: Vec<CheckLine>,
}

/// What a check says of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckLine {
    /// True if that is not as it should be.
    pub is_failing: bool,
    /// Operators read it: no secrets, no bodies.
    pub message: String,
}

impl CheckState {
    /// True if one of its lines is not as it should be.
    pub fn is_failing(&self) -> bool {
        self.lines.iter().any(|line| line.is_failing)
    }
}

/// The handle through which a module reports one check.
#[derive(Debug, Clone)]
pub struct Check {
    readiness: Readiness,
    index: usize,
}

impl Readiness {
    /// Without checks, hence ready: add the gating ones before the admin server starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check that fails with `message` until [`Check::pass`] is called.
    pub fn check(&self, name: &'static str, kind: CheckKind, message: &str) -> Check {
        let mut checks = self.lock();
        let lines = vec![CheckLine {
            is_failing: true,
            message: message.to_owned(),
        }];
        checks.push(CheckState { name, kind, lines });
        Check {
            readiness: self.clone(),
            index: checks.len() - 1,
        }
    }

    /// True while no gating check fails.
    pub fn is_ready(&self) -> bool {
        !self
            .lock()
            .iter()
            .any(|check| check.is_failing() && check.kind == CheckKind::Gating)
    }

    /// The message of the check `name` if it fails; `None` if it passes or does not exist.
    pub fn failure(&self, name: &str) -> Option<String> {
        let checks = self.lock();
        let check = checks.iter().find(|check| check.name == name)?;
        let mut lines = check.lines.iter();
        let failing = lines.find(|line| line.is_failing)?;
        Some(failing.message.clone())
    }

    /// All checks of one moment.
    pub fn checks(&self) -> Vec<CheckState> {
        self.lock().clone()
    }

    /// A line for all that each check says, in the format of Kubernetes' own health endpoints: `[+]name ok`.
    pub fn verbose(&self) -> String {
        let mut text = String::new();
        for check in self.lock().iter() {
            for line in &check.lines {
                let mark = match (line.is_failing, check.kind) {
                    (false, _) => "[+]",
                    (true, CheckKind::Gating) => "[-]",
                    (true, CheckKind::Informational) => "[!]",
                };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{mark}{} {}", check.name, line.message);
            }
        }
        text
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<CheckState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    /// The check passes.
    pub fn pass(&self, message: &str) {
        self.set_line(false, message);
    }

    /// The check fails. Operators read `message`: no secrets, no bodies.
    pub fn fail(&self, message: &str) {
        self.set_line(true, message);
    }

    /// The check says this of several things. It fails if one of them does.
    pub fn set(&self, lines: Vec<CheckLine>) {
        self.readiness.lock()[self.index].lines = lines;
    }

    fn set_line(&self, is_failing: bool, message: &str) {
        let message = message.to_owned();
        self.set(vec![CheckLine {
            is_failing,
            message,
        }]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gating_check_decides_readiness_and_an_informational_one_does_not() {
        let readiness = Readiness::new();
        let startup = readiness.check("startup", CheckKind::Gating, "starting");
        let kafka = readiness.check("kafka", CheckKind::Informational, "no broker yet");
        assert!(!readiness.is_ready());
        startup.pass("ok");
        assert!(readiness.is_ready());
        kafka.fail("all brokers are down");
        assert_eq!(readiness.failure("startup"), None);
        let failure = readiness.failure("kafka");
        assert_eq!(failure.as_deref(), Some("all brokers are down"));
        assert!(readiness.is_ready());
        assert_eq!(
            readiness.verbose(),
            "[+]startup ok\n[!]kafka all brokers are down\n"
        );
    }
}
