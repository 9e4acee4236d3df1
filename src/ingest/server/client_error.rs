//! Which ends of a connection count as a client's fault.

use std::error::Error as _;

use crate::ingest::refusal::Reason;

/// The fault for which hyper closed a connection; `None` if the connection ended normally or the network broke it.
pub(crate) fn client_error(ended: &hyper::Result<()>) -> Option<Reason> {
    let error = ended.as_ref().err()?;
    if is_protocol_error(error) {
        Some(Reason::HeadMalformed)
    } else if error.is_parse_too_large() {
        Some(Reason::HeadTooLarge)
    } else if error.is_parse() {
        Some(Reason::HeadMalformed)
    } else if is_stalled_write(error) {
        Some(Reason::WriteTimeout)
    } else {
        None
    }
}

/// True if the HTTP/2 parser refused what the client sent, by RFC 9113's codes for a client's errors.
fn is_protocol_error(error: &hyper::Error) -> bool {
    let h2 = error.source().and_then(|source| source.downcast_ref());
    h2.is_some_and(|error: &h2::Error| {
        !error.is_remote()
            && matches!(
                error.reason(),
                Some(
                    h2::Reason::PROTOCOL_ERROR
                        | h2::Reason::COMPRESSION_ERROR
                        | h2::Reason::FRAME_SIZE_ERROR
                        | h2::Reason::FLOW_CONTROL_ERROR
                        | h2::Reason::ENHANCE_YOUR_CALM
                )
            )
    })
}

/// True if a client did not take an answer in time: [`SniffedStream`](super::sniff::SniffedStream) reports that as
/// `TimedOut`, somewhere below hyper's own error.
fn is_stalled_write(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::TimedOut;
        }
        cause = error.source();
    }
    false
}
