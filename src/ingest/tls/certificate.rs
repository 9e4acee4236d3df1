//! What may be the listener's certificate, and what is wrong with what is not.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::x509::X509;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, InconsistentKeys};

use super::{TlsConfig, provider};
use crate::secret::{SecretError, SecretForm, SecretSource};
use crate::time;

/// What the two files may hold, for errors.
const KEYS: &str =
    "ECDSA with P-256 or P-384, Ed25519, or RSA with 2048 to 4096 bits, in PEM without a password";

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of certificates cannot be read, or is no PEM.
    #[error("the certificate cannot be used")]
    CertificateFile(#[source] SecretError),
    /// The file of the key cannot be read, or is no PEM.
    #[error("the private key cannot be used")]
    KeyFile(#[source] SecretError),
    /// Such as a file that holds a key.
    #[error("{} holds no certificate: it needs -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate that was cut short, for example.
    #[error("a certificate in {} cannot be read: write it again, complete and unchanged", .0.display())]
    MalformedCertificate(PathBuf),
    /// TLS libraries refuse it, for example because it is of X.509's first version.
    #[error("the first certificate in {} cannot be used: it must be the server's own, of X.509's version 3", file.display())]
    UnsupportedCertificate {
        /// As configured.
        file: PathBuf,
        /// rustls' reason.
        #[source]
        source: rustls::Error,
    },
    /// Such as a file that holds a certificate.
    #[error("{} holds no private key: it needs {KEYS}", .0.display())]
    NoKey(PathBuf),
    /// It has a password.
    #[error(
        "the key in {} is encrypted: decrypt it (openssl pkey -in OLD -out NEW) into a file that only ringback's user can read",
        .0.display()
    )]
    EncryptedKey(PathBuf),
    /// Of another kind or size.
    #[error("the key in {} cannot be used: it needs {KEYS}", .0.display())]
    UnsupportedKey(PathBuf),
    /// The two files do not belong together.
    #[error(
        "the key in {} belongs to another certificate than the first one in {}, which must be the server's own",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// As configured.
        key: PathBuf,
        /// As configured.
        certificate: PathBuf,
    },
    /// The operating system gives no random numbers, for example.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl TlsError {
    /// The configuration key at fault.
    pub fn key(&self) -> &'static str {
        match self {
            Self::CertificateFile(_)
            | Self::NoCertificate(_)
            | Self::MalformedCertificate(_)
            | Self::UnsupportedCertificate { .. } => "listen.tls.certificate",
            Self::KeyFile(_)
            | Self::NoKey(_)
            | Self::EncryptedKey(_)
            | Self::UnsupportedKey(_)
            | Self::Mismatch { .. } => "listen.tls.key",
            Self::Setup(_) => "listen.tls",
        }
    }
}

/// In seconds.
const HOUR: i64 = 3_600;
/// In seconds.
const DAY: i64 = 24 * HOUR;
/// A certificate that expires within this time is a fault; the alert has the same bound. In seconds.
const SOON: i64 = 7 * DAY;

/// When a certificate is valid, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    begin: i64,
    pub(super) end: i64,
}

impl Validity {
    /// What is wrong with the certificate at present; `None` if nothing is.
    pub fn fault(self) -> Option<String> {
        self.fault_at(now())
    }

    /// As [`Validity::fault`], at another time.
    pub(super) fn fault_at(self, now: i64) -> Option<String> {
        if now > self.end {
            return Some(format!(
                "the certificate of listen.tls has expired ({self}): senders refuse it; renew it"
            ));
        }
        if now < self.begin {
            let begin = date(self.begin);
            return Some(format!(
                "the certificate of listen.tls is not valid before {begin}: is this machine's clock right?"
            ));
        }
        (self.end - now < SOON).then(|| {
            format!("the certificate of listen.tls expires soon ({self}), and senders refuse it then: renew it")
        })
    }

    /// True if a fault, last logged at `logged_at`, is to be logged: at once, then each day, or each hour once the certificate has
    /// expired.
    pub(super) fn is_log_due(self, logged_at: Option<i64>, now: i64) -> bool {
        let Some(logged_at) = logged_at else {
            return true;
        };
        let has_expired = now > self.end;
        let interval = if has_expired { HOUR } else { DAY };
        // The clock may have been set back.
        !(0..interval).contains(&(now - logged_at)) || (has_expired && logged_at <= self.end)
    }

    fn of(certificate: &X509) -> Result<Self, ErrorStack> {
        let epoch = Asn1Time::from_unix(0)?;
        let seconds = |time: &Asn1TimeRef| {
            let since = epoch.diff(time)?;
            Ok(i64::from(since.days) * 86_400 + i64::from(since.secs))
        };
        Ok(Self {
            begin: seconds(certificate.not_before())?,
            end: seconds(certificate.not_after())?,
        })
    }
}

/// Its end.
impl fmt::Display for Validity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&date(self.end))
    }
}

/// A certificate that fits its key.
pub(super) struct Certificate {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) validity: Validity,
}

/// When the certificate is valid, or everything that is wrong with the files.
pub(crate) fn inspect(config: &TlsConfig) -> Result<Validity, Vec<TlsError>> {
    let (chain, key) = (read_chain(&config.certificate), read_key(&config.key));
    match (chain, key) {
        (Ok(chain), Ok(key)) => match join(config, chain, key, &provider()) {
            Ok(certificate) => Ok(certificate.validity),
            Err(error) => Err(vec![error]),
        },
        (chain, key) => Err(chain.err().into_iter().chain(key.err()).collect()),
    }
}

/// Reads the files. Blocks while it does.
pub(super) fn read(config: &TlsConfig, provider: &CryptoProvider) -> Result<Certificate, TlsError> {
    let chain = read_chain(&config.certificate)?;
    join(config, chain, read_key(&config.key)?, provider)
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> i64 {
    i64::try_from(time::since_epoch().as_secs()).unwrap_or(i64::MAX)
}

/// Seconds since the Unix epoch as a date and time.
fn date(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    time::rfc3339(seconds.saturating_mul(1000))
}

fn join(
    config: &TlsConfig,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Certificate, TlsError> {
    let malformed = || TlsError::MalformedCertificate(config.certificate.clone());
    let own = chain.first().ok_or_else(malformed)?;
    let own = X509::from_der(own).and_then(|own| Validity::of(&own));
    let validity = own.map_err(|_| malformed())?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| TlsError::UnsupportedKey(config.key.clone()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(Certificate {
            certified: Arc::new(certified),
            validity,
        }),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(TlsError::Mismatch {
                key: config.key.clone(),
                certificate: config.certificate.clone(),
            })
        }
        Err(source) => Err(TlsError::UnsupportedCertificate {
            file: config.certificate.clone(),
            source,
        }),
    }
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read_pem(file).map_err(TlsError::CertificateFile)?;
    let chain = CertificateDer::pem_slice_iter(text.expose_secret().as_bytes());
    let chain: Result<Vec<_>, _> = chain.collect();
    let chain = chain.map_err(|_| TlsError::MalformedCertificate(file.to_owned()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(file.to_owned()));
    }
    Ok(chain)
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read_pem(file).map_err(TlsError::KeyFile)?;
    let text = text.expose_secret();
    // PKCS#8 in its header, OpenSSL's older form below it.
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::EncryptedKey(file.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| TlsError::NoKey(file.to_owned()))
}

/// A certificate is no secret, but the reader of secrets knows what PEM may look like.
fn read_pem(file: &Path) -> Result<SecretString, SecretError> {
    SecretSource::File(file.to_owned()).read(SecretForm::Pem, |_| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_s_end_is_logged_a_week_ahead_then_daily_then_at_once_and_hourly() {
        let validity = Validity {
            begin: 0,
            end: 90 * DAY,
        };
        let (mut logged, mut logged_at) = (Vec::new(), None);
        for minute in 0..(92 * DAY / 60) {
            let now = minute * 60;
            if let Some(fault) = validity.fault_at(now)
                && validity.is_log_due(logged_at, now)
            {
                logged_at = Some(now);
                logged.push((now - validity.end, fault));
            }
        }
        let times: Vec<_> = logged.iter().map(|(at, _)| *at).collect();
        let ahead = (1..=7).rev().map(|days| 60 - days * DAY);
        let after = (0..48).map(|hours| 60 + hours * HOUR);
        assert_eq!(times, ahead.chain(after).collect::<Vec<_>>());
        assert!(
            logged[..7]
                .iter()
                .all(|(_, fault)| fault.contains("expires soon (1970-04-01"))
        );
        assert!(
            logged[7..]
                .iter()
                .all(|(_, fault)| fault.contains("has expired (1970-04-01"))
        );
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_no_line_waiting() {
        let validity = Validity { begin: 0, end: DAY };
        assert!(validity.is_log_due(Some(20 * HOUR), 10 * HOUR));
        assert!(!validity.is_log_due(Some(10 * HOUR), 20 * HOUR));
        assert!(
            validity
                .fault_at(-1)
                .is_some_and(|fault| fault.contains("not valid before"))
        );
    }
}
