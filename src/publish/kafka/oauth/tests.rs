//! The source of tokens, against a token endpoint on this machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use super::token::tests::jwt;
use super::*;
use crate::publish::kafka::oauth::settings::tests::settings;
use crate::secret::SecretSource;

/// Bounds every wait.
const PATIENCE: Duration = Duration::from_mins(1);

/// A token endpoint with prescribed answers; it sends each request's head and body.
struct Endpoint {
    url: String,
    answers: mpsc::Sender<String>,
    requests: mpsc::Receiver<String>,
}

fn endpoint() -> Endpoint {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
    let address = listener.local_addr().expect("it is bound");
    let (answers, next) = mpsc::channel::<String>();
    let (seen, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in next {
            let (mut stream, _) = listener.accept().expect("a client comes");
            if seen.send(read_request(&stream)).is_err() {
                return;
            }
            stream.write_all(answer.as_bytes()).expect("it is read");
        }
    });
    Endpoint {
        url: format!("http://{address}/token"),
        answers,
        requests,
    }
}

fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        reader.read_line(&mut text).expect("a line");
    }
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().expect("a number"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    text + &String::from_utf8(body).expect("it is text")
}

impl Endpoint {
    fn answers(&self, status: u16, body: &str) {
        let answer = format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.answers.send(answer).expect("it runs");
    }

    fn gives(&self, subject: &str, seconds: u64) {
        let exp = now_ms() / 1_000 + seconds;
        let token = jwt(&format!(r#"{{"sub":"{subject}","exp":{exp}}}"#));
        self.answers(200, &format!(r#"{{"access_token":"{token}"}}"#));
    }

    fn source(&self, change: impl FnOnce(&mut Settings)) -> Arc<TokenSource> {
        let mut settings = settings(&self.url);
        change(&mut settings);
        let throttle = Arc::new(LogThrottle::new(Duration::ZERO));
        Arc::new(TokenSource::new(settings, throttle))
    }
}

fn subject(source: &Arc<TokenSource>) -> String {
    source.token().expect("it is valid").principal_name
}

#[test]
fn one_token_serves_until_most_of_its_time_is_over() {
    let endpoint = endpoint();
    let source = endpoint.source(|settings| settings.scope = Some(String::from("kafka a/b")));
    endpoint.gives("first", 1_000);
    for _ in 0..3 {
        source.prepare().expect("the endpoint gives one");
        assert_eq!(subject(&source), "first");
    }
    let request = endpoint.requests.recv().expect("it came");
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("authorization: Basic cmVsYXk6czNjcmV0\r\n"),
        "{request}"
    );
    assert!(
        request.ends_with("grant_type=client_credentials&scope=kafka%20a%2Fb"),
        "{request}"
    );
    assert!(endpoint.requests.try_recv().is_err(), "it was asked once");

    // Time passes; the callback gets the old one for a short while, and then the new one.
    source.lock().token.as_mut().expect("there is one").renew_ms = 0;
    endpoint.gives("second", 1_000);
    let token = source.token().expect("it is valid");
    assert_eq!(token.principal_name, "first");
    let soon = i64::try_from(now_ms() + MIN_LIFETIME_MS).expect("it is small");
    assert!(token.lifetime_ms <= soon, "librdkafka asks again soon");
    let deadline = Instant::now() + PATIENCE;
    while subject(&source) != "second" {
        assert!(Instant::now() < deadline, "it is never renewed");
        std::thread::yield_now();
    }
}

#[test]
fn a_failing_endpoint_is_asked_again_while_the_token_is_valid_and_the_failure_is_shown() {
    let endpoint = endpoint();
    let source = endpoint.source(|_| ());
    endpoint.gives("first", 1_000);
    source.prepare().expect("the endpoint gives one");
    source.lock().token.as_mut().expect("there is one").renew_ms = 0;
    endpoint.answers(503, "");
    endpoint.answers(401, "");
    assert_eq!(subject(&source), "first");
    let deadline = Instant::now() + PATIENCE;
    let words = "correct \"sasl.oauthbearer.client.id\" and \"sasl.oauthbearer.client.secret\"";
    while !source
        .failure()
        .is_some_and(|failure| failure.contains(words))
    {
        assert!(Instant::now() < deadline, "{:?}", source.failure());
        std::thread::yield_now();
    }
    assert_eq!(subject(&source), "first");
    // Once it has expired, only the failure is left.
    let token = source.lock().token.take().expect("there is one");
    assert_eq!(source.token().err(), source.lock().failure.clone());
    source.lock().token = Some(token);
    endpoint.gives("second", 1_000);
    while subject(&source) != "second" {
        assert!(Instant::now() < deadline, "it is never renewed");
        std::thread::yield_now();
    }
    assert_eq!(source.failure(), None);
}

#[test]
fn another_secret_is_used_for_the_next_producer_and_what_is_none_leaves_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let endpoint = endpoint();
    let source = endpoint.source(|settings| {
        settings.secret_file = Some(SecretSource::File(file.clone()));
    });
    endpoint.gives("first", 1_000);
    source.prepare().expect("there is no file, but a secret");
    endpoint.requests.recv().expect("it came");
    std::fs::write(&file, "new one\n").unwrap();
    // A failure leaves the first token, and the secret is tried again with the next producer.
    endpoint.answers(500, "");
    source.prepare().expect("the first one is valid");
    assert!(source.failure().is_some());
    endpoint.requests.recv().expect("it came");
    endpoint.gives("second", 1_000);
    source.prepare().expect("the endpoint gives one");
    assert_eq!(
        (subject(&source), source.failure()),
        (String::from("second"), None)
    );
    let request = endpoint.requests.recv().expect("it came");
    // relay:new%20one
    assert!(
        request.contains("Basic cmVsYXk6bmV3JTIwb25l\r\n"),
        "{request}"
    );
    std::fs::write(&file, "").unwrap();
    source.prepare().expect("the second one is valid");
    assert!(endpoint.requests.try_recv().is_err());
}

#[test]
fn an_endpoint_that_is_away_or_speaks_something_else_is_named() {
    let fault = |url: &str| {
        let settings = settings(url);
        request::post(&settings, &settings.secret)
            .map(|_| ())
            .expect_err("it fails")
    };
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let said = fault(&format!("http://{address}/token")).to_string();
    assert!(
        said.contains("cannot be reached (Connection refused"),
        "{said}"
    );
    assert!(
        said.contains("correct \"sasl.oauthbearer.token.endpoint.url\""),
        "{said}"
    );
    let said = fault("https://nowhere.invalid/token").to_string();
    assert!(
        said.contains("cannot be reached (failed to lookup"),
        "{said}"
    );

    let endpoint = endpoint();
    endpoint
        .answers
        .send(String::from("SSH-2.0-x\r\n"))
        .expect("it runs");
    let said = fault(&endpoint.url).to_string();
    assert!(said.contains("breaks off or is not HTTP"), "{said}");
    let body = "x".repeat(1024 * 1024);
    endpoint.answers(200, &body);
    let said = fault(&endpoint.url).to_string();
    assert!(said.contains("length limit exceeded"), "{said}");
}
