//! What the doctor says: findings with their names, and what is fine.

use std::borrow::Cow;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It would stop or refuse events.
    Error,
    /// Events are accepted and published, but something may be lost, late or in danger.
    Warning,
}

impl Level {
    pub fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Declares the findings' names, by which docs/operations.md lists them.
macro_rules! ids {
    ($($id:ident $label:literal,)+) => {
        /// A finding's name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Id {
            $($id,)+
        }

        impl Id {
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$id,)+];

            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$id => $label,)+
                }
            }
        }
    };
}

ids! {
    BrokerUnreachable "broker-unreachable",
    BrokerUnusable "broker-unusable",
    AdvertisedAddressUnreachable "advertised-address-unreachable",
    NotKafka "not-kafka",
    TlsMissing "tls-missing",
    TlsUnexpected "tls-unexpected",
    SaslMissing "sasl-missing",
    SaslUnexpected "sasl-unexpected",
    SaslMechanism "sasl-mechanism",
    WrongPassword "wrong-password",
    TokenUnavailable "token-unavailable",
    TokenRefused "token-refused",
    ClientCertificateMissing "client-certificate-missing",
    ClientCertificateRefused "client-certificate-refused",
    CertificateExpired "certificate-expired",
    CertificateNotYetValid "certificate-not-yet-valid",
    CertificateName "certificate-name",
    CertificateAuthority "certificate-authority",
    CertificateUnverified "certificate-unverified",
    TopicMissing "topic-missing",
    AclDescribe "acl-describe",
    AclWrite "acl-write",
    AclDescribeConfigs "acl-describe-configs",
    MaxMessageBytes "max-message-bytes",
    Replication "replication",
    MinInsyncReplicas "min-insync-replicas",
    TooFewInSync "too-few-in-sync",
    NoLeader "no-leader",
    Compacted "compacted",
    Retention "retention",
    TimestampBounds "timestamp-bounds",
    TooFewPartitions "too-few-partitions",
    WriteFailed "write-failed",
    Clock "clock",
    JournalUnusable "journal-unusable",
    JournalFileSystem "journal-file-system",
    DiskSmallerThanBudget "disk-smaller-than-budget",
    DiskFull "disk-full",
    SlowSync "slow-sync",
    DescriptorLimit "descriptor-limit",
}

/// Something that is wrong.
#[derive(Debug)]
pub struct Finding {
    pub id: Id,
    pub level: Level,
    /// What was seen.
    pub what: String,
    /// Why it matters.
    pub why: Cow<'static, str>,
    /// What to do.
    pub remedy: String,
}

/// All that was seen, in the order in which it is printed.
#[derive(Debug, Default)]
pub struct Report {
    /// What is as it should be.
    pub fine: Vec<String>,
    pub findings: Vec<Finding>,
    /// What could not be examined, and why.
    pub unknown: Vec<String>,
}

impl Report {
    pub fn add(
        &mut self,
        level: Level,
        id: Id,
        what: String,
        why: impl Into<Cow<'static, str>>,
        remedy: impl Into<String>,
    ) {
        self.findings.push(Finding {
            id,
            level,
            what,
            why: why.into(),
            remedy: remedy.into(),
        });
    }

    pub fn fine(&mut self, what: impl Into<String>) {
        self.fine.push(what.into());
    }

    pub fn unknown(&mut self, what: impl Into<String>) {
        self.unknown.push(what.into());
    }

    /// How many findings would stop or refuse events.
    pub fn errors(&self) -> usize {
        self.count(Level::Error)
    }

    pub fn count(&self, level: Level) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.level == level).count()
    }
}

#[cfg(test)]
impl Report {
    /// Each finding as `level id`.
    pub fn names(&self) -> Vec<String> {
        let names = self
            .findings
            .iter()
            .map(|finding| format!("{} {}", finding.level.label(), finding.id.label()));
        names.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_finding_once() {
        let page = include_str!("../../../docs/operations.md");
        for id in Id::ALL {
            let row = format!("| `{}` |", id.label());
            assert_eq!(page.matches(&row).count(), 1, "{row}");
        }
    }
}
