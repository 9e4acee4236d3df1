//! The clock of the cluster's active controller, by a request of ringback's own: librdkafka shows no broker's time.
//!
//! The answer to `DescribeQuorum` (KIP-595, version 1 as in KIP-836) has for each voter when it was last caught up, and for the
//! controller itself, which writes the answer, the present time.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::time::Instant;

use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslVerifyMode};

use super::super::certificate::{Trust, connect};
use super::Unknown;
use crate::time::now_ms;

/// Numbers of the protocol (<https://kafka.apache.org/protocol>).
const DESCRIBE_QUORUM: i16 = 55;
const VERSION: i16 = 1;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const UNSUPPORTED_VERSION: i16 = 35;
/// The topic of the controllers' own log.
const QUORUM_TOPIC: &str = "__cluster_metadata";
/// An answer has some bytes for each controller and broker; more than this is another protocol.
const MAX_ANSWER: usize = 1 << 20;

/// A connection, in the clear or over TLS.
trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// The controller's clock less this machine's, in milliseconds; about half of the round trip is not known.
pub(super) fn offset_ms(
    address: &str,
    properties: &BTreeMap<String, String>,
) -> Result<i64, Unknown> {
    let other = |reason: &str| Unknown::Other(reason.to_owned());
    let protocol = properties.get("security.protocol");
    let protocol = protocol.map_or("plaintext", |protocol| protocol);
    if protocol.to_ascii_lowercase().starts_with("sasl") {
        return Err(other("Kafka's time is not asked for after a login"));
    }
    let (host, stream) = connect(address).ok_or_else(|| other("no connection"))?;
    let mut stream: Box<dyn Stream> = if protocol.eq_ignore_ascii_case("ssl") {
        let secured = secure(host, stream, properties);
        Box::new(secured.map_err(|error| Unknown::Other(error.to_string()))?)
    } else {
        Box::new(stream)
    };
    let (begin, start) = (now_ms(), Instant::now());
    let answer = ask(&mut stream).map_err(|error| Unknown::Other(error.to_string()))?;
    let half = start.elapsed() / 2;
    let here = begin.saturating_add(u64::try_from(half.as_millis()).unwrap_or_default());
    let there = controller_ms(&answer)?;
    Ok(there.saturating_sub_unsigned(here))
}

/// With the client's certificate, if it is a file without a password.
fn secure(
    host: &str,
    stream: std::net::TcpStream,
    properties: &BTreeMap<String, String>,
) -> Result<openssl::ssl::SslStream<std::net::TcpStream>, Box<dyn std::error::Error>> {
    let trust = Trust::of(properties);
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    trust.load(&mut context)?;
    context.set_verify(SslVerifyMode::PEER);
    if let Some(certificate) = properties.get("ssl.certificate.location") {
        let key = properties.get("ssl.key.location").unwrap_or(certificate);
        context.set_certificate_chain_file(certificate)?;
        context.set_private_key_file(key, SslFiletype::PEM)?;
    }
    let mut ssl = Ssl::new(&context.build())?;
    trust.expect_name(&mut ssl, host)?;
    Ok(ssl.connect(stream)?)
}

/// The answer without its length.
fn ask(stream: &mut dyn Stream) -> io::Result<Vec<u8>> {
    let request = request();
    stream.write_all(&request)?;
    stream.flush()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_ANSWER {
        return Err(io::Error::other("the answer is not Kafka's"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Version 1 has the second form of header, compact lists whose lengths are one more than they are, and empty tags.
fn request() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(DESCRIBE_QUORUM.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    body.push(0);
    body.push(2);
    body.push(u8::try_from(QUORUM_TOPIC.len() + 1).unwrap_or_default());
    body.extend(QUORUM_TOPIC.as_bytes());
    body.push(2);
    body.extend(0_i32.to_be_bytes());
    // The ends of the partition, the topic and the request.
    body.extend([0, 0, 0]);
    let length = u32::try_from(body.len()).unwrap_or_default();
    [&length.to_be_bytes()[..], &body].concat()
}

fn controller_ms(answer: &[u8]) -> Result<i64, Unknown> {
    let mut fields = Fields(answer);
    let read = fields.controller_ms();
    read.unwrap_or_else(|| Err(Unknown::Other(String::from("the answer is not understood"))))
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn time(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn code(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    fn tags(&mut self) -> Option<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let size = self.varint()?;
            self.skip(size)?;
        }
        Some(())
    }

    /// `None` if the bytes are no such answer.
    fn controller_ms(&mut self) -> Option<Result<i64, Unknown>> {
        self.number()?;
        self.tags()?;
        let refused = |code| {
            let reason = match code {
                CLUSTER_AUTHORIZATION_FAILED => return Unknown::Forbidden,
                UNSUPPORTED_VERSION => String::from("this Kafka does not tell its time"),
                code => format!("Kafka answers with the error {code}"),
            };
            Unknown::Other(reason)
        };
        let code = self.code()?;
        if code != 0 {
            return Some(Err(refused(code)));
        }
        // One topic and one partition were asked for.
        self.varint()?.checked_sub(2)?;
        let name = self.varint()?.checked_sub(1)?;
        self.skip(name)?;
        self.varint()?.checked_sub(2)?;
        self.number()?;
        let code = self.code()?;
        if code != 0 {
            return Some(Err(refused(code)));
        }
        let leader = self.number()?;
        self.number()?;
        self.time()?;
        for _ in 1..self.varint()? {
            let voter = self.number()?;
            self.time()?;
            let fetched = self.time()?;
            self.time()?;
            self.tags()?;
            if voter == leader {
                return Some(Ok(fetched));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a Kafka of three controllers answers, of which the second leads.
    fn answer(code: i16) -> Vec<u8> {
        let mut bytes = [&1_i32.to_be_bytes()[..], &[0], &code.to_be_bytes()].concat();
        if code != 0 {
            bytes.extend([1, 0]);
            return bytes;
        }
        bytes.push(2);
        bytes.push(19);
        bytes.extend(QUORUM_TOPIC.as_bytes());
        bytes.push(2);
        bytes.extend(0_i32.to_be_bytes());
        bytes.extend(0_i16.to_be_bytes());
        bytes.extend(2_i32.to_be_bytes());
        bytes.extend(7_i32.to_be_bytes());
        bytes.extend(900_i64.to_be_bytes());
        bytes.push(4);
        for voter in 1..=3_i32 {
            bytes.extend(voter.to_be_bytes());
            bytes.extend(900_i64.to_be_bytes());
            bytes.extend((1_000 + i64::from(voter)).to_be_bytes());
            bytes.extend(0_i64.to_be_bytes());
            // A tag that this version does not know.
            bytes.extend([1, 5, 2, 0xaa, 0xbb]);
        }
        bytes.extend([1, 0, 0, 0]);
        bytes
    }

    #[test]
    fn the_leader_s_own_time_is_the_controller_s() {
        assert_eq!(controller_ms(&answer(0)), Ok(1_002));
        let denied = controller_ms(&answer(CLUSTER_AUTHORIZATION_FAILED));
        assert_eq!(denied, Err(Unknown::Forbidden));
        let unknown = controller_ms(&answer(UNSUPPORTED_VERSION));
        assert!(matches!(unknown, Err(Unknown::Other(_))));
    }

    #[test]
    fn bytes_that_are_cut_short_or_something_else_are_no_time() {
        let whole = answer(0);
        let until_leader = whole.len() - 37;
        for length in 0..until_leader - 33 {
            let cut = controller_ms(&whole[..length]);
            assert!(matches!(cut, Err(Unknown::Other(_))), "{length}: {cut:?}");
        }
        assert!(controller_ms(&[0xff; 200]).is_err());
        assert!(controller_ms(b"HTTP/1.1 400 Bad Request\r\n\r\n").is_err());
    }

    #[test]
    fn a_peer_that_is_no_kafka_is_an_error_without_a_large_allocation() {
        struct Peer(&'static [u8]);
        impl Read for Peer {
            fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
                self.0.read(bytes)
            }
        }
        impl Write for Peer {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = ask(&mut Peer(b"HTTP/1.1 400")).expect_err("it is HTTP");
        assert!(error.to_string().contains("not Kafka's"), "{error}");
        assert!(ask(&mut Peer(&[0, 0, 0, 9, 1])).is_err());
        assert_eq!(ask(&mut Peer(&[0, 0, 0, 1, 7])).ok(), Some(vec![7]));
    }
}
