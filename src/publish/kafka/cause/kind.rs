//! The mistakes that keep a broker from being used, and what is said of one.

/// How exact a cause is: a later one of a broker replaces an earlier one unless it is less exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::publish::kafka) enum Detail {
    /// That something failed.
    Vague,
    /// What failed, and what to do.
    Specific,
    /// That the broker's certificate cannot be verified; why, only the certificate itself shows.
    Untrusted,
    /// What is wrong with the certificate.
    Certificate,
}

/// Which mistake keeps a broker from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseKind {
    /// None that is known; librdkafka's words alone.
    Vague,
    /// Nobody answers at an address of `bootstrap.servers`, or at one that was connected before.
    Unreachable,
    /// Nobody answers at an address that only the cluster has named.
    AdvertisedUnreachable,
    /// Something else than Kafka answers.
    OtherProtocol,
    /// The broker speaks TLS, the client does not.
    TlsMissing,
    /// The client speaks TLS, the broker does not.
    TlsUnexpected,
    /// The broker demands SASL, the client does not use it.
    SaslMissing,
    /// The client uses SASL, the broker does not.
    SaslUnexpected,
    /// The broker does not accept this mechanism of SASL.
    MechanismNotOffered,
    /// The broker refuses the user or the password.
    WrongPassword,
    /// The broker refuses the token of OAUTHBEARER.
    TokenRefused,
    /// The broker demands a client certificate.
    ClientCertificateMissing,
    /// The broker refuses the client certificate.
    ClientCertificateRefused,
    /// The broker's certificate cannot be verified; why, only the certificate itself shows.
    CertificateUntrusted,
    /// The broker's certificate has expired.
    CertificateExpired,
    /// The broker's certificate is not valid yet.
    CertificateNotYetValid,
    /// The broker's certificate is for other names.
    CertificateOtherName,
    /// The client does not know the authority of the broker's certificate.
    CertificateUnknownAuthority,
    /// Something else is wrong with the broker's certificate, or more than one thing.
    CertificateOther,
}

/// Why a broker cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Which mistake it is.
    pub kind: CauseKind,
    /// What was seen, and where.
    pub what: String,
    /// What to change; empty if that is not known.
    pub remedy: String,
}

impl Cause {
    pub(in crate::publish::kafka) fn new(
        kind: CauseKind,
        what: String,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = remedy.into();
        Self { kind, what, remedy }
    }

    /// Both parts as one sentence.
    pub(in crate::publish::kafka) fn text(&self) -> String {
        if self.remedy.is_empty() {
            return self.what.clone();
        }
        format!("{}: {}", self.what, self.remedy)
    }

    /// True if it must not replace `known`, an earlier cause of the same broker.
    pub(in crate::publish::kafka) fn says_less_than(&self, known: &Self) -> bool {
        match self.detail() {
            Detail::Vague => known.detail() > Detail::Vague,
            Detail::Untrusted => known.detail() == Detail::Certificate,
            Detail::Specific | Detail::Certificate => false,
        }
    }

    pub(in crate::publish::kafka) fn detail(&self) -> Detail {
        match self.kind {
            CauseKind::Vague => Detail::Vague,
            CauseKind::CertificateUntrusted => Detail::Untrusted,
            CauseKind::CertificateExpired
            | CauseKind::CertificateNotYetValid
            | CauseKind::CertificateOtherName
            | CauseKind::CertificateUnknownAuthority
            | CauseKind::CertificateOther => Detail::Certificate,
            _ => Detail::Specific,
        }
    }
}
