//! A sender on one kept-alive connection.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::{PATIENCE, events};

/// An answer's parts that matter.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The relay will close the connection.
    pub close: bool,
}

/// One connection.
pub struct Sender {
    stream: BufReader<TcpStream>,
    key: String,
}

impl Sender {
    /// Connects; signs with `key`.
    pub fn connect(address: SocketAddr, key: &str) -> Result<Self> {
        Self::over(TcpStream::connect(address)?, key, PATIENCE)
    }

    /// As [`Sender::connect`], as the client with this address, which waits this long for an answer.
    pub fn connect_from(
        local: Ipv4Addr,
        address: SocketAddr,
        key: &str,
        timeout: Duration,
    ) -> Result<Self> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddrV4::new(local, 0))?;
        connect(&socket, &address)?;
        Self::over(socket.into(), key, timeout)
    }

    fn over(stream: TcpStream, key: &str, timeout: Duration) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        Ok(Self {
            stream: BufReader::new(stream),
            key: key.to_owned(),
        })
    }

    /// Posts one event and reads the answer; an error means that no answer came.
    pub fn post(&mut self, body: &[u8]) -> Result<Answer> {
        self.post_at(body, events::now_ms())
    }

    /// As [`Sender::post`], signed at this time.
    pub fn post_at(&mut self, body: &[u8], unix_ms: i64) -> Result<Answer> {
        let mut request = format!(
            "POST /webhook HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             X-Retell-Signature: {}\r\n\r\n",
            body.len(),
            events::signature(&self.key, body, unix_ms)
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Answer> {
        let broken = || Error::from(ErrorKind::UnexpectedEof);
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let code = line.get(9..12).and_then(|code| code.parse().ok());
        let mut answer = Answer {
            code: code.ok_or_else(broken)?,
            retry_after: None,
            close: false,
        };
        let mut length = 0;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(|_| broken())?,
                "retry-after" => answer.retry_after = value.parse().ok(),
                "connection" => answer.close = value == "close",
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(answer)
    }
}
