//! Certificates made for a test, and TLS clients that trust them.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::server::PATIENCE;

const DAY: i64 = 86_400;
const NAME: &str = "localhost";

/// A certificate and its key.
pub struct Signed {
    pub certificate: X509,
    pub key: PKey<Private>,
}

/// The pair of files that a listener reads.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Files {
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        }
    }

    /// The line of `[listen]` that names them.
    pub fn setting(&self) -> String {
        let Self { certificate, key } = self;
        format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}")
    }
}

/// Signs the servers' certificates.
pub struct Authority(Signed);

impl Authority {
    pub fn new() -> Self {
        // A client looks for the authority by its name, so each has its own.
        let name = format!("authority {}", rand::random::<u32>());
        let own = sign(&name, (-1, 10), None);
        Self(own.expect("OpenSSL makes it"))
    }

    /// For this machine, valid from and to so many days from now.
    pub fn server(&self, days: (i64, i64)) -> Signed {
        sign(NAME, days, Some(&self.0)).expect("OpenSSL makes it")
    }

    /// As [`Authority::server`], valid for a week, in these files.
    pub fn write(&self, files: &Files) -> Signed {
        let server = self.server((-1, 30));
        server.write_certificate(files);
        server.write_key(files);
        server
    }

    /// In PEM.
    pub fn pem(&self) -> Vec<u8> {
        self.0.certificate.to_pem().expect("OpenSSL writes it")
    }

    /// A client that trusts this authority alone and offers these protocols.
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let der = self.0.certificate.to_der().expect("OpenSSL writes it");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(der)).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.expect("TLS 1.2 and 1.3");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        config.alpn_protocols = protocols.collect();
        Arc::new(config)
    }

    /// A connection over TLS, on which nothing is sent yet.
    pub fn connect(&self, stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
        let session = ClientConnection::new(self.client(&[]), server_name());
        StreamOwned::new(session.expect("a client"), stream)
    }
}

impl Signed {
    pub fn write_certificate(&self, files: &Files) {
        let pem = self.certificate.to_pem().expect("OpenSSL writes it");
        replace(&files.certificate, &pem);
    }

    pub fn write_key(&self, files: &Files) {
        let pem = self.key.private_key_to_pem_pkcs8();
        replace(&files.key, &pem.expect("OpenSSL writes it"));
    }

    /// The end of its validity, in seconds since the Unix epoch.
    pub fn expiry(&self) -> i64 {
        let epoch = Asn1Time::from_unix(0).expect("a time");
        let since = epoch.diff(self.certificate.not_after()).expect("a time");
        i64::from(since.days) * DAY + i64::from(since.secs)
    }
}

/// In one step, so that nobody reads a half.
pub fn replace(file: &Path, content: &[u8]) {
    let fresh = file.with_extension("new");
    fs::write(&fresh, content).expect("it can be written");
    fs::rename(&fresh, file).expect("it can be replaced");
}

/// The name in the servers' certificates.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("a name")
}

/// A TCP connection whose reads and writes are bounded.
pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    stream.set_write_timeout(Some(PATIENCE)).expect("a bound");
    stream
}

fn sign(name: &str, days: (i64, i64), authority: Option<&Signed>) -> Result<Signed, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut subject = X509NameBuilder::new()?;
    subject.append_entry_by_nid(Nid::COMMONNAME, name)?;
    let subject = subject.build();
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let number = BigNum::from_u32(rand::random())?.to_asn1_integer()?;
    builder.set_serial_number(&number)?;
    builder.set_subject_name(&subject)?;
    let issuer = authority.map(|authority| authority.certificate.subject_name());
    builder.set_issuer_name(issuer.unwrap_or(&subject))?;
    builder.set_pubkey(&key)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("the clock is past 1970").as_secs();
    let time = |day: i64| Asn1Time::from_unix(now.cast_signed() + day * DAY);
    let (begin, end) = (time(days.0)?, time(days.1)?);
    builder.set_not_before(&begin)?;
    builder.set_not_after(&end)?;
    if authority.is_none() {
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    } else {
        let mut names = SubjectAlternativeName::new();
        names.dns(NAME).ip("127.0.0.1");
        let names = names.build(&builder.x509v3_context(None, None))?;
        builder.append_extension(names)?;
    }
    let signer = authority.map_or(&key, |authority| &authority.key);
    builder.sign(signer, MessageDigest::sha256())?;
    Ok(Signed {
        certificate: builder.build(),
        key,
    })
}
