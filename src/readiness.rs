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

#[derive(Debug)]
struct CheckState {
    name: &'static str,
    kind: CheckKind,
    failing: bool,
    message: String,
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
        checks.push(CheckState {
            name,
            kind,
            failing: true,
            message: message.to_owned(),
        });
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
            .any(|check| check.failing && check.kind == CheckKind::Gating)
    }

    /// The message of the check `name` if it fails; `None` if it passes or does not exist.
    pub fn failure(&self, name: &str) -> Option<String> {
        let checks = self.lock();
        let check = checks.iter().find(|check| check.name == name)?;
        check.failing.then(|| check.message.clone())
    }

    /// One line per check, in the format of Kubernetes' own health endpoints: `[+]name ok`.
    pub fn verbose(&self) -> String {
        let mut text = String::new();
        for check in self.lock().iter() {
            let mark = match (check.failing, check.kind) {
                (false, _) => "[+]",
                (true, CheckKind::Gating) => "[-]",
                (true, CheckKind::Informational) => "[!]",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{mark}{} {}", check.name, check.message);
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
        self.set(false, message);
    }

    /// The check fails. Operators read `message`: no secrets, no bodies.
    pub fn fail(&self, message: &str) {
        self.set(true, message);
    }

    fn set(&self, failing: bool, message: &str) {
        let mut checks = self.readiness.lock();
        let check = &mut checks[self.index];
        check.failing = failing;
        if check.message != message {
            message.clone_into(&mut check.message);
        }
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
