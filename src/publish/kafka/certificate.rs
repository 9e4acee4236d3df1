//! What is wrong with a broker's certificate. librdkafka only reports that it cannot be verified, whether it has expired, is for
//! another name or comes from an unknown authority, so ringback looks at it with the same library and the same authorities.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslRef, SslVerifyMode};
use openssl::x509::{X509, X509NameRef, X509Ref, X509StoreContextRef};

use super::cause::{Cause, CauseKind};

/// For connecting, and for each read and write of the handshake.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where librdkafka looks for the system's authorities if it is given none, in its order; it takes the first that there is.
const SYSTEM_AUTHORITIES: [&str; 11] = [
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/pki/tls/certs/ca-bundle.trust.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/cacert.pem",
    "/etc/certs/ca-certificates.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs",
];
/// The value of `ssl.ca.location` that stands for these.
const PROBE: &str = "probe";

/// OpenSSL's numbers of the faults that are named here (`openssl/x509_vfy.h`).
const NOT_YET_VALID: i32 = 9;
const EXPIRED: i32 = 10;
const UNKNOWN_AUTHORITY: [i32; 5] = [2, 18, 19, 20, 21];
const OTHER_NAME: [i32; 2] = [62, 64];

/// Which certificates the client accepts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// `ssl.ca.location`, unless librdkafka looks for the system's authorities.
    location: Option<String>,
    /// `ssl.ca.pem`, which adds to `location`.
    pem: Option<String>,
    /// A certificate must be for the broker's name.
    checks_name: bool,
}

impl Trust {
    /// From librdkafka's properties.
    pub(crate) fn of(properties: &BTreeMap<String, String>) -> Self {
        let value = |name: &str| properties.get(name).cloned();
        let check = value("ssl.endpoint.identification.algorithm");
        Self {
            location: value("ssl.ca.location").filter(|location| location != PROBE),
            pem: value("ssl.ca.pem"),
            checks_name: check.is_none_or(|check| !check.eq_ignore_ascii_case("none")),
        }
    }

    /// As librdkafka does it.
    pub(super) fn load(&self, context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        if let Some(location) = &self.location {
            load_from(context, Path::new(location))?;
        }
        if let Some(pem) = &self.pem {
            let store = context.cert_store_mut();
            for authority in X509::stack_from_pem(pem.as_bytes())? {
                store.add_cert(authority)?;
            }
        }
        if self.location.is_none()
            && self.pem.is_none()
            && let Some(place) = system_authorities()
        {
            load_from(context, place)?;
        }
        Ok(())
    }

    /// Demands a certificate for this host, as librdkafka does.
    pub(super) fn expect_name(&self, ssl: &mut SslRef, host: &str) -> Result<(), ErrorStack> {
        match host.parse::<IpAddr>() {
            Ok(ip) if self.checks_name => ssl.param_mut().set_ip(ip),
            Ok(_) => Ok(()),
            Err(_) => {
                ssl.set_hostname(host)?;
                if self.checks_name {
                    ssl.param_mut().set_host(host)?;
                }
                Ok(())
            }
        }
    }

    /// The property to which another authority is added, and its present value if that is no secret.
    fn property(&self) -> String {
        if self.pem.is_some() {
            return String::from("\"ssl.ca.pem\"");
        }
        let location = self.location.as_deref().unwrap_or(PROBE);
        format!("\"ssl.ca.location\" (it is {location:?})")
    }
}

/// Where the system's authorities are, if they are anywhere.
pub(super) fn system_authorities() -> Option<&'static Path> {
    let mut known = SYSTEM_AUTHORITIES.iter().map(Path::new);
    known.find(|place| place.exists())
}

fn load_from(context: &mut SslContextBuilder, place: &Path) -> Result<(), ErrorStack> {
    if place.is_dir() {
        return context.load_verify_locations(None, Some(place));
    }
    context.set_ca_file(place)
}

/// Connects to `address`; what is wrong with the certificate there, or `None` if nothing is, or if nobody answers.
///
/// Blocks for a few times [`TIMEOUT`], or as long as the resolver does.
pub(super) fn inspect(address: &str, trust: &Trust) -> Option<String> {
    let found: Vec<_> = inspect_all(address, trust)
        .iter()
        .map(Cause::text)
        .collect();
    (!found.is_empty()).then(|| found.join("; "))
}

/// As [`inspect`], each fault for itself.
pub(super) fn inspect_all(address: &str, trust: &Trust) -> Vec<Cause> {
    let Some((host, stream)) = connect(address) else {
        return Vec::new();
    };
    faults(stream, address, host, trust).unwrap_or_else(|error| {
        tracing::debug!(%error, "cannot inspect a broker's certificate");
        Vec::new()
    })
}

/// The host's name, and a connection whose reads and writes end after [`TIMEOUT`].
pub(super) fn connect(address: &str) -> Option<(&str, TcpStream)> {
    let (host, _) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = address.to_socket_addrs().ok()?.find_map(|place| {
        let stream = TcpStream::connect_timeout(&place, TIMEOUT).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.set_write_timeout(Some(TIMEOUT)).ok()?;
        Some(stream)
    })?;
    Some((host, stream))
}

fn faults(
    stream: TcpStream,
    address: &str,
    host: &str,
    trust: &Trust,
) -> Result<Vec<Cause>, ErrorStack> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    trust.load(&mut context)?;
    let (finds, subject) = (
        found.clone(),
        (address.to_owned(), host.to_owned(), trust.clone()),
    );
    context.set_verify_callback(SslVerifyMode::PEER, move |is_valid, chain| {
        if !is_valid {
            let (address, host, trust) = &subject;
            let fault = describe(chain, address, host, trust);
            let mut found = finds.lock().unwrap_or_else(PoisonError::into_inner);
            // An unknown authority is reported twice: as unknown, and as of no use for this certificate.
            let fault = fault.filter(|fault| !found.contains(fault));
            found.extend(fault);
        }
        // Goes on, to find whatever else is wrong.
        true
    });
    let mut ssl = Ssl::new(&context.build())?;
    trust.expect_name(&mut ssl, host)?;
    // If the broker ends the handshake, because it asks for a certificate for example, its own was seen before.
    drop(ssl.connect(stream));
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *found))
}

fn describe(
    chain: &X509StoreContextRef,
    address: &str,
    host: &str,
    trust: &Trust,
) -> Option<Cause> {
    let certificate = chain.current_cert()?;
    let whose = if chain.error_depth() == 0 {
        format!("the certificate of {address}")
    } else {
        let name = common_name(certificate.subject_name());
        format!("the certificate of the authority {name:?} of {address}")
    };
    Some(match chain.error().as_raw() {
        EXPIRED => Cause::new(
            CauseKind::CertificateExpired,
            format!("{whose} has expired ({})", certificate.not_after()),
            "renew it at the broker",
        ),
        NOT_YET_VALID => Cause::new(
            CauseKind::CertificateNotYetValid,
            format!("{whose} is not valid before {}", certificate.not_before()),
            "is the clock wrong, here or where it was made?",
        ),
        code if OTHER_NAME.contains(&code) => {
            let names = names(certificate).join(", ");
            Cause::new(
                CauseKind::CertificateOtherName,
                format!("{whose} is for {names} and not for {host}"),
                format!(
                    "name the broker by one of these in \"bootstrap.servers\" and in its advertised.listeners, or have the \
                     certificate made for {host}"
                ),
            )
        }
        code if UNKNOWN_AUTHORITY.contains(&code) => {
            let authority = common_name(certificate.issuer_name());
            let property = trust.property();
            Cause::new(
                CauseKind::CertificateUnknownAuthority,
                format!(
                    "the authority {authority:?} that signed the certificate of {address} is unknown"
                ),
                format!("add its certificate to {property}"),
            )
        }
        _ => {
            let reason = chain.error().error_string();
            let what = format!("{whose} cannot be verified: {reason}");
            Cause::new(CauseKind::CertificateOther, what, "")
        }
    })
}

/// The names for which a certificate was made.
fn names(certificate: &X509Ref) -> Vec<String> {
    let alternatives = certificate.subject_alt_names();
    let alternatives = alternatives.iter().flatten().filter_map(|name| {
        let ip = || match name.ipaddress()? {
            [a, b, c, d] => Some(IpAddr::from([*a, *b, *c, *d]).to_string()),
            sixteen => Some(IpAddr::from(<[u8; 16]>::try_from(sixteen).ok()?).to_string()),
        };
        name.dnsname().map(str::to_owned).or_else(ip)
    });
    let names: Vec<_> = alternatives.collect();
    if names.is_empty() {
        vec![common_name(certificate.subject_name())]
    } else {
        names
    }
}

fn common_name(name: &X509NameRef) -> String {
    let mut entries = name.entries_by_nid(Nid::COMMONNAME);
    let text = entries
        .next()
        .and_then(|entry| entry.data().to_string().ok());
    text.unwrap_or_else(|| String::from("without a name"))
}

#[cfg(test)]
mod tests;
