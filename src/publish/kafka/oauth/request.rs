//! One request to a token endpoint: client credentials (RFC 6749, section 4.4) over HTTP/1.1.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use openssl::base64;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};
use tokio_util::either::Either;

use super::error::Fault;
use super::settings::Settings;
use crate::publish::kafka::certificate::system_authorities;
use crate::telemetry::chain;

/// For the whole exchange, connecting included.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer; tokens have a few KiB.
const MAX_ANSWER: usize = 256 * 1024;

/// Asks for a token; blocks for up to [`TIMEOUT`]. Returns what the endpoint answers, whatever that is.
pub(super) fn post(
    settings: &Settings,
    secret: &SecretString,
) -> Result<(StatusCode, Bytes), Fault> {
    let broken = |error: &dyn std::error::Error| Fault::Broken(chain(error));
    let tls = if settings.endpoint.is_tls {
        Some(connector(settings.authorities.as_deref())?)
    } else {
        None
    };
    let request = request(settings, secret).map_err(|error| broken(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| broken(&error))?;
    let exchange = exchange(settings, tls, request);
    let answer = runtime.block_on(async { tokio::time::timeout(TIMEOUT, exchange).await });
    // A resolver that does not answer must not be waited for.
    runtime.shutdown_background();
    answer.unwrap_or(Err(Fault::Silent(TIMEOUT.as_secs())))
}

async fn exchange(
    settings: &Settings,
    tls: Option<TlsConnector>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Fault> {
    let endpoint = &settings.endpoint;
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
    let stream = stream.map_err(|error| Fault::Unreachable(error.to_string()))?;
    let stream = match tls {
        None => Either::Left(stream),
        Some(tls) => {
            let name = ServerName::try_from(endpoint.host.clone());
            let name = name.map_err(|error| Fault::Tls(error.to_string()))?;
            let connected = tls.connect(name, stream).await;
            let connected =
                connected.map_err(|error| tls_fault(&error, settings.authorities.as_deref()))?;
            Either::Right(Box::new(connected))
        }
    };
    let broken = |error: hyper::Error| Fault::Broken(chain(&error));
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // Ends with the sender; its errors reach the request that waits for an answer.
    tokio::spawn(driver);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|error| Fault::Broken(error.to_string()))?;
    Ok((status, body.to_bytes()))
}

fn request(settings: &Settings, secret: &SecretString) -> http::Result<Request<Full<Bytes>>> {
    let endpoint = &settings.endpoint;
    let path = endpoint.uri.path_and_query();
    let authority = endpoint.uri.authority().map_or("", |name| name.as_str());
    let mut form = String::from("grant_type=client_credentials");
    if let Some(scope) = &settings.scope {
        form.push_str("&scope=");
        form.push_str(&encode(scope));
    }
    // RFC 6749, section 2.3.1: both are encoded as in a form, which changes no letter, digit, "-", ".", "_" or "~".
    let (id, secret) = (encode(&settings.client_id), encode(secret.expose_secret()));
    let credentials = base64::encode_block(format!("{id}:{secret}").as_bytes());
    Request::post(path.map_or("/", |path| path.as_str()))
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(USER_AGENT, concat!("ringback/", env!("CARGO_PKG_VERSION")))
        .header(AUTHORIZATION, format!("Basic {credentials}"))
        .body(Full::new(Bytes::from(form)))
}

/// Every byte but the unreserved ones of RFC 3986 as `%XX`, which any decoder of forms reads.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                encoded.push('%');
                encoded.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    encoded
}

/// Trusts the authorities in this file or folder, or else the system's.
fn connector(place: Option<&Path>) -> Result<TlsConnector, Fault> {
    let unusable =
        |place: &Path, reason: &str| Fault::Authorities(format!("{}: {reason}", place.display()));
    let place = match place {
        Some(place) => Some(place),
        None => system_authorities(),
    };
    let place = place.ok_or_else(|| {
        Fault::Authorities(String::from(
            "this system has no list of authorities; name a file",
        ))
    })?;
    let files = files(place).map_err(|error| unusable(place, &error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for file in files {
        let text = fs::read(&file).map_err(|error| unusable(&file, &error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&text).flatten() {
            // One that cannot be used signs nothing here; another one may.
            let _ = roots.add(certificate);
        }
    }
    if roots.is_empty() {
        return Err(unusable(
            place,
            "no certificate of an authority in PEM is there",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::Tls(error.to_string()))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn files(place: &Path) -> io::Result<Vec<PathBuf>> {
    if !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(place)? {
        let path = entry?.path();
        // OpenSSL's folders hold links that may lead nowhere.
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// Why a handshake has failed; `authorities` as configured.
fn tls_fault(error: &io::Error, authorities: Option<&Path>) -> Fault {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            let authorities = authorities.unwrap_or(Path::new("probe"));
            Fault::UnknownAuthority(format!("it is {:?}", authorities.display().to_string()))
        }
        Some(TlsError::InvalidCertificate(reason)) => Fault::Certificate(reason.to_string()),
        _ => Fault::Tls(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::kafka::oauth::settings::tests::settings;

    #[test]
    fn what_a_form_would_read_otherwise_is_encoded() {
        assert_eq!(encode("aZ09-._~"), "aZ09-._~");
        assert_eq!(encode("a b+c:d%é"), "a%20b%2Bc%3Ad%25%C3%A9");
    }

    #[test]
    fn the_request_has_the_endpoint_s_path_and_host() {
        let settings = settings("https://idp.example:8443/realms/x/token?tenant=1");
        let request = request(&settings, &settings.secret).expect("it is sound");
        assert_eq!(request.uri(), "/realms/x/token?tenant=1");
        assert_eq!(request.headers()[HOST], "idp.example:8443");
        // relay:s3cret
        assert_eq!(request.headers()[AUTHORIZATION], "Basic cmVsYXk6czNjcmV0");
    }

    #[test]
    fn a_place_without_authorities_is_named_with_its_property() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        fs::write(
            &file,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        for place in [folder.path(), &file, &folder.path().join("missing")] {
            let fault = connector(Some(place)).err().expect("nothing is there");
            let said = fault.to_string();
            assert!(
                said.starts_with("\"https.ca.location\" cannot be used: "),
                "{said}"
            );
            assert!(said.contains(&place.display().to_string()), "{said}");
        }
    }
}
