//! TLS to a relay whose configuration is at hand: that relay's own certificate is trusted, whatever its name, and no other.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError as TlsCertificateError, ClientConfig, DigitallySignedStruct, Error,
    SignatureScheme,
};

/// The relay's certificate cannot be read on this machine.
#[derive(Debug, thiserror::Error)]
#[error(
    "the certificate that listen.tls names is the one that is trusted, and {file} cannot be read: {reason}; run this where it can"
)]
pub struct CertificateError {
    file: String,
    reason: String,
}

/// Connects to the relay that has the first certificate in `file`. Blocks while it reads that.
pub fn connector(file: &Path) -> Result<TlsConnector, CertificateError> {
    let unusable = |reason: String| CertificateError {
        file: file.display().to_string(),
        reason,
    };
    let mut certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| unusable(error.to_string()))?;
    let certificate = certificates.next().and_then(Result::ok);
    let certificate = certificate.ok_or_else(|| unusable(String::from("it holds none")))?;
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(OneCertificate {
        certificate,
        algorithms: provider.signature_verification_algorithms,
    });
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(client)))
}

/// Verifies that the server has this certificate, and its key.
#[derive(Debug)]
struct OneCertificate {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for OneCertificate {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *own == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(TlsCertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
