//! The beginning of a connection over TLS, before its first byte of HTTP.
//!
//! A connection in its handshake counts as idle since it was accepted, so under pressure the slowest handshakes give way
//! first. The handshake has the time of a connection's first head, not a time of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{AlertDescription, Error};

use super::activity::Activity;
use super::connection::report;
use super::sniff::{SniffedStream, Transport};
use super::{GRACE, Phase, Server};
use crate::ingest::refusal::Reason;

/// Bytes of answers that wait for a client to take them; rustls' own bound is 64 KiB. Answers are far smaller.
const SEND_BUFFER: usize = 16 * 1024;
/// What a client reads that does not use TLS.
const HTTPS_ONLY: &str = "This port takes TLS only. Send the request to an https:// address.\n";

/// The stream over which HTTP follows; `None` if there is none, which was reported if it is anybody's fault.
pub(super) async fn accept(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    deadline: Instant,
    server: &Server,
    activity: &Arc<Activity>,
) -> Option<Transport> {
    let first = tokio::select! {
        biased;
        first = timeout_at(deadline, first_byte(&stream)) => first,
        () = server.phases.reached(Phase::Stopping) => {
            // A client that connected just before the shutdown may already have begun.
            let grace = deadline.min(Instant::now() + GRACE);
            Ok(timeout_at(grace, first_byte(&stream)).await.ok().flatten())
        }
    };
    let (reason, error) = match first {
        // The client left at once, as the probe of a load balancer does.
        Ok(None) => return None,
        // No record of TLS begins with a letter, and every request of HTTP does.
        Ok(Some(first)) if first.is_ascii_alphabetic() => {
            report(Reason::TlsPlaintext, None, peer, server);
            refuse_plaintext(stream, server, activity).await;
            return None;
        }
        Ok(Some(_)) => {
            let handshake = acceptor.accept_with(stream, |session| {
                session.set_buffer_limit(Some(SEND_BUFFER));
            });
            match timeout_at(deadline, handshake).await {
                Ok(Ok(stream)) => return Some(Transport::Right(Box::new(stream))),
                Ok(Err(error)) => fault(&error),
                Err(_) => (Reason::TlsTimeout, None),
            }
        }
        Err(_) => (Reason::HeaderTimeout, None),
    };
    report(reason, error.as_deref(), peer, server);
    None
}

/// The first byte, which stays to be read; `None` if the client left without one.
async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut first = [0];
    let peeked = stream.peek(&mut first).await;
    (peeked.is_ok_and(|length| length > 0)).then_some(first[0])
}

/// Which fault ended a handshake, and in whose words.
fn fault(error: &io::Error) -> (Reason, Option<String>) {
    let tls = error.get_ref().and_then(|error| error.downcast_ref());
    let reason = match tls {
        Some(Error::AlertReceived(alert)) => of_alert(*alert),
        Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => Reason::TlsIncompatible,
        // Many clients close the connection without an alert if they do not trust the certificate.
        _ => Reason::TlsFailed,
    };
    (reason, Some(error.to_string()))
}

/// What a client means that ends the handshake itself.
fn of_alert(alert: AlertDescription) -> Reason {
    match alert {
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        // A signature of the certificate's, or under its key, is wrong.
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => Reason::TlsDistrusted,
        AlertDescription::HandshakeFailure
        | AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity
        | AlertDescription::NoApplicationProtocol => Reason::TlsIncompatible,
        _ => Reason::TlsFailed,
    }
}

async fn refuse_plaintext(stream: TcpStream, server: &Server, activity: &Arc<Activity>) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{HTTPS_ONLY}",
        HTTPS_ONLY.len()
    );
    let transport = Transport::Left(stream);
    let mut stream = SniffedStream::new(transport, Arc::clone(activity), server.header_timeout);
    // A client that is gone misses nothing.
    if stream.write_all(answer.as_bytes()).await.is_ok() {
        stream.linger(server.body_timeout).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_of_a_handshake_has_the_reason_that_an_operator_acts_on() {
        let of = |error: Error| fault(&io::Error::new(io::ErrorKind::InvalidData, error)).0;
        let alert = |alert| of(Error::AlertReceived(alert));
        assert_eq!(alert(AlertDescription::UnknownCA), Reason::TlsDistrusted);
        let expired = AlertDescription::CertificateExpired;
        assert_eq!(alert(expired), Reason::TlsDistrusted);
        let version = AlertDescription::ProtocolVersion;
        assert_eq!(alert(version), Reason::TlsIncompatible);
        assert_eq!(alert(AlertDescription::InternalError), Reason::TlsFailed);
        assert_eq!(of(Error::NoApplicationProtocol), Reason::TlsIncompatible);
        assert_eq!(of(Error::DecryptError), Reason::TlsFailed);
        let gone = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(fault(&gone).0, Reason::TlsFailed);
    }
}
