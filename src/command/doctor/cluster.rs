//! What the connections to the cluster mean for the relay.

use super::super::render::count;
use super::finding::{Id, Level, Report};
use crate::publish::{Broker, BrokerFault, CauseKind, Survey, Written};

/// What to do about a clock that is wrong.
pub const NTP: &str = "have this machine's clock and the broker's set by NTP";

/// The name, why it matters, and what to do if the cause itself does not say that.
fn explain(kind: CauseKind) -> (Id, &'static str, &'static str) {
    const CLOSED: &str =
        "ringback and the broker do not get as far as the first request: nothing is published";
    const STRANGER: &str = "the client does not trust this broker and publishes nothing to it";
    const UNKNOWN_CLIENT: &str =
        "the broker does not accept this client: nothing is published to it";
    const CURED: &str = "look at the broker's own log for the connection of this machine";
    match kind {
        CauseKind::Unreachable => (
            Id::BrokerUnreachable,
            "events of the partitions that this broker leads stay in the journal, and all of them if no other broker answers",
            "start the broker, correct the address, or open the way to it (firewall, NetworkPolicy, DNS)",
        ),
        CauseKind::AdvertisedUnreachable => (
            Id::AdvertisedAddressUnreachable,
            "clients write to the addresses that brokers advertise, not to those of \"bootstrap.servers\": nothing is published to \
             this broker",
            CURED,
        ),
        CauseKind::OtherProtocol => (Id::NotKafka, CLOSED, CURED),
        CauseKind::TlsMissing => (Id::TlsMissing, CLOSED, CURED),
        CauseKind::TlsUnexpected => (Id::TlsUnexpected, CLOSED, CURED),
        CauseKind::SaslMissing => (Id::SaslMissing, CLOSED, CURED),
        CauseKind::SaslUnexpected => (Id::SaslUnexpected, CLOSED, CURED),
        CauseKind::MechanismNotOffered => (Id::SaslMechanism, UNKNOWN_CLIENT, CURED),
        CauseKind::WrongPassword => (Id::WrongPassword, UNKNOWN_CLIENT, CURED),
        CauseKind::TokenRefused => (Id::TokenRefused, UNKNOWN_CLIENT, CURED),
        CauseKind::ClientCertificateMissing => {
            (Id::ClientCertificateMissing, UNKNOWN_CLIENT, CURED)
        }
        CauseKind::ClientCertificateRefused => {
            (Id::ClientCertificateRefused, UNKNOWN_CLIENT, CURED)
        }
        CauseKind::CertificateExpired => (Id::CertificateExpired, STRANGER, CURED),
        CauseKind::CertificateNotYetValid => (Id::CertificateNotYetValid, STRANGER, CURED),
        CauseKind::CertificateOtherName => (Id::CertificateName, STRANGER, CURED),
        CauseKind::CertificateUnknownAuthority => (Id::CertificateAuthority, STRANGER, CURED),
        CauseKind::CertificateUntrusted | CauseKind::CertificateOther => (
            Id::CertificateUnverified,
            STRANGER,
            "compare the broker's certificate with \"ssl.ca.location\": openssl s_client -showcerts -connect ADDRESS",
        ),
        CauseKind::Vague => (
            Id::BrokerUnusable,
            "events of the partitions that this broker leads stay in the journal",
            CURED,
        ),
    }
}

/// Whether each broker can be used.
pub fn connections(report: &mut Report, survey: &Survey, bootstrap: &str) {
    if let Some(error) = &survey.token {
        report.add(
            Level::Error,
            Id::TokenUnavailable,
            error.clone(),
            "without a token no broker accepts this client: nothing is published",
            "change the property that it names; docs/kafka-security.md shows each",
        );
    }
    let (connected, others): (Vec<_>, Vec<_>) = survey
        .brokers
        .iter()
        .partition(|broker| broker.is_connected);
    if !connected.is_empty() {
        let names = connected
            .iter()
            .map(|broker| format!("{} at {}", broker.id, broker.address));
        let names = names.collect::<Vec<_>>().join(", ");
        let number = count(connected.len() as u64, "broker");
        report.fine(format!("connected to {number}: {names}"));
    }
    for fault in &survey.faults {
        let is_advertised = is_of(&survey.brokers, fault);
        // An address of bootstrap.servers alone is not needed once another one has answered.
        let level = if is_advertised || connected.is_empty() {
            Level::Error
        } else {
            Level::Warning
        };
        let (id, why, otherwise) = explain(fault.cause.kind);
        let remedy = Some(fault.cause.remedy.as_str()).filter(|remedy| !remedy.is_empty());
        let remedy = remedy.unwrap_or(otherwise).to_owned();
        report.add(level, id, fault.cause.what.clone(), why, remedy);
    }
    for broker in others {
        if !survey
            .faults
            .iter()
            .any(|fault| fault.address == broker.address)
        {
            let (id, why, remedy) = explain(CauseKind::Unreachable);
            let what = format!("broker {} at {} does not answer", broker.id, broker.address);
            report.add(Level::Error, id, what, why, remedy);
        }
    }
    if survey.brokers.is_empty() && survey.faults.is_empty() && survey.token.is_none() {
        let (_, why, remedy) = explain(CauseKind::Unreachable);
        let reason = survey.last_error.as_deref().unwrap_or("no reason is known");
        let what = format!("Kafka at {bootstrap} does not answer: {reason}");
        report.add(Level::Error, Id::BrokerUnusable, what, why, remedy);
    }
    if survey.topics.is_empty() {
        report.unknown("the topic, because no broker has described it");
    }
}

fn is_of(brokers: &[Broker], fault: &BrokerFault) -> bool {
    brokers.iter().any(|broker| broker.address == fault.address)
}

/// What became of the marked record.
pub fn written(report: &mut Report, survey: &Survey) {
    match &survey.written {
        None => {}
        Some(Written::TimeRefused) => report.add(
            Level::Error,
            Id::Clock,
            String::from("Kafka refuses the time of this machine's clock (InvalidTimestamp)"),
            "it refuses every event for the same reason, and they wait",
            NTP,
        ),
        Some(Written::Failed(reason)) => report.add(
            Level::Error,
            Id::WriteFailed,
            format!("the marked record was not acknowledged: {reason}"),
            "events meet the same and stay in the journal",
            "do what the other findings say; if there are none, look at the broker's log",
        ),
        Some(Written::Acknowledged {
            partition,
            offset,
            took,
            ..
        }) => report.fine(format!(
            "the marked record was acknowledged after {:.1} ms (partition {partition}, offset {offset})",
            took.as_secs_f64() * 1_000.0
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Cause;

    fn broker(id: i32, is_connected: bool) -> Broker {
        Broker {
            id,
            address: format!("k{id}:9092"),
            is_connected,
        }
    }

    fn fault(address: &str, kind: CauseKind) -> BrokerFault {
        BrokerFault {
            address: address.to_owned(),
            cause: Cause {
                kind,
                what: String::from("it fails"),
                remedy: String::new(),
            },
        }
    }

    fn report(survey: &Survey) -> Report {
        let mut report = Report::default();
        connections(&mut report, survey, "k1:9092");
        written(&mut report, survey);
        report
    }

    #[test]
    fn a_broker_that_is_needed_is_an_error_and_a_bootstrap_address_too_many_a_warning() {
        let mut survey = Survey {
            brokers: vec![broker(1, true), broker(2, true)],
            faults: vec![fault("old:9092", CauseKind::Unreachable)],
            ..Survey::default()
        };
        assert_eq!(report(&survey).names(), ["warning broker-unreachable"]);
        survey.brokers[1].is_connected = false;
        survey.faults = vec![fault("k2:9092", CauseKind::AdvertisedUnreachable)];
        let names = report(&survey).names();
        assert_eq!(names, ["error advertised-address-unreachable"]);
        survey.faults.clear();
        let seen = report(&survey);
        assert_eq!(seen.names(), ["error broker-unreachable"]);
        assert!(seen.findings[0].what.contains("2 at k2:9092 does not"));
        assert!(
            seen.fine[0].contains("1 broker: 1 at k1:9092"),
            "{:?}",
            seen.fine
        );
    }

    #[test]
    fn every_cause_has_a_reason_and_a_remedy() {
        let survey = Survey::default();
        assert_eq!(report(&survey).names(), ["error broker-unusable"]);
        for kind in [CauseKind::Vague, CauseKind::CertificateUntrusted] {
            let survey = Survey {
                faults: vec![fault("k1:9092", kind)],
                ..Survey::default()
            };
            let report = report(&survey);
            assert_eq!(report.errors(), 1);
            assert!(!report.findings[0].remedy.is_empty());
        }
    }

    #[test]
    fn a_record_that_does_not_arrive_is_an_error() {
        for (written, finding) in [
            (
                Written::Failed(String::from("Broker: Not enough in-sync replicas")),
                "error write-failed",
            ),
            (Written::TimeRefused, "error clock"),
        ] {
            let survey = Survey {
                brokers: vec![broker(1, true)],
                written: Some(written),
                ..Survey::default()
            };
            assert_eq!(report(&survey).names(), [finding]);
        }
    }
}
