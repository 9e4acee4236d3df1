//! A token endpoint (RFC 6749) with client credentials, over HTTPS, and the keys of its tokens (RFC 7517), over HTTP.

use std::io::{BufRead as _, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use openssl::base64;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};

use super::events::now_ms;

/// The client that it knows.
pub const CLIENT: &str = "relay";
/// The scope that it demands.
pub const SCOPE: &str = "kafka";

/// A running server; its threads end with the process.
pub struct TokenServer {
    state: Arc<State>,
    jwks: SocketAddr,
}

struct State {
    key: PKey<Private>,
    policy: Mutex<Policy>,
}

/// What it accepts and gives.
struct Policy {
    secret: String,
    /// Of a token, in seconds.
    lifetime: i64,
    given: u64,
}

impl TokenServer {
    /// Serves its keys at [`TokenServer::jwks`]; `secret` is the client's.
    pub fn start(secret: &str) -> Self {
        let rsa = Rsa::generate(2048).expect("a key");
        let policy = Policy {
            secret: secret.to_owned(),
            lifetime: 3_600,
            given: 0,
        };
        let state = Arc::new(State {
            key: PKey::from_rsa(rsa).expect("a key"),
            policy: Mutex::new(policy),
        });
        let (jwks, served) = (listen(), state.clone());
        let address = jwks.local_addr().expect("it is bound");
        thread::spawn(move || {
            for stream in jwks.incoming().flatten() {
                // A client that leaves early asks again.
                let _ = served.serve(stream);
            }
        });
        Self {
            state,
            jwks: address,
        }
    }

    /// The URL of its keys.
    pub fn jwks(&self) -> String {
        format!("http://{}/jwks", self.jwks)
    }

    /// Serves tokens with this certificate and key; returns the URL without a path, which says what kind of token is given.
    pub fn serve_tokens(&self, certificate: &Path, key: &Path) -> String {
        let mut tls = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("TLS");
        tls.set_certificate_chain_file(certificate)
            .expect("a certificate");
        tls.set_private_key_file(key, SslFiletype::PEM)
            .expect("its key");
        let (tls, listener, state) = (tls.build(), listen(), self.state.clone());
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that does not trust the certificate leaves.
                if let Ok(stream) = tls.accept(stream) {
                    let _ = state.serve(stream);
                }
            }
        });
        format!("https://{address}")
    }

    /// The client has another secret from now on.
    pub fn set_secret(&self, secret: &str) {
        self.policy().secret = secret.to_owned();
    }

    /// The next tokens are valid for so many seconds.
    pub fn set_lifetime(&self, seconds: i64) {
        self.policy().lifetime = seconds;
    }

    /// How many tokens it has given.
    pub fn given(&self) -> u64 {
        self.policy().given
    }

    fn policy(&self) -> std::sync::MutexGuard<'_, Policy> {
        self.state.policy.lock().expect("no thread panics")
    }
}

fn listen() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).expect("there is a port")
}

impl State {
    fn serve(&self, stream: impl Read + Write) -> Result<()> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let value = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(given, _)| given.eq_ignore_ascii_case(name));
            found.map_or("", |(_, value)| value)
        };
        let length = value("content-length").parse().unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let path = head.split(' ').nth(1).unwrap_or_default();
        let body = String::from_utf8_lossy(&body);
        let (status, answer) = self.answer(path, value("authorization"), &body);
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
            answer.len()
        )?;
        stream.get_mut().flush()
    }

    fn answer(&self, path: &str, authorization: &str, form: &str) -> (u16, String) {
        if path == "/jwks" {
            return (200, self.jwks());
        }
        let mut policy = self.policy.lock().expect("no thread panics");
        let known = base64::encode_block(format!("{CLIENT}:{}", policy.secret).as_bytes());
        if authorization != format!("Basic {known}") {
            return (401, String::from(r#"{"error":"invalid_client"}"#));
        }
        if form != format!("grant_type=client_credentials&scope={SCOPE}") {
            return (400, String::from(r#"{"error":"invalid_scope"}"#));
        }
        policy.given += 1;
        let now = now_ms() / 1_000;
        let expiry = format!(r#","exp":{}"#, now + policy.lifetime);
        let (audience, expiry) = match path {
            "/token" => ("kafka", expiry.as_str()),
            "/token-for-others" => ("others", expiry.as_str()),
            "/token-without-end" => ("kafka", ""),
            "/nothing" => return (200, String::from("{}")),
            _ => return (404, String::new()),
        };
        let claims = format!(
            r#"{{"iss":"lab","aud":"{audience}","sub":"{CLIENT}","scope":"{SCOPE}","iat":{now}{expiry}}}"#
        );
        let token = self.sign(&claims);
        let answer = format!(r#"{{"access_token":"{token}","token_type":"Bearer"}}"#);
        (200, answer)
    }

    fn sign(&self, claims: &str) -> String {
        let header = url_safe(br#"{"alg":"RS256","kid":"1","typ":"JWT"}"#);
        let signed = format!("{header}.{}", url_safe(claims.as_bytes()));
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).expect("a signer");
        let signature = signer.sign_oneshot_to_vec(signed.as_bytes());
        format!("{signed}.{}", url_safe(&signature.expect("it signs")))
    }

    fn jwks(&self) -> String {
        let rsa = self.key.rsa().expect("it is RSA");
        let (n, e) = (url_safe(&rsa.n().to_vec()), url_safe(&rsa.e().to_vec()));
        format!(
            r#"{{"keys":[{{"kty":"RSA","kid":"1","use":"sig","alg":"RS256","n":"{n}","e":"{e}"}}]}}"#
        )
    }
}

fn url_safe(bytes: &[u8]) -> String {
    let text = base64::encode_block(bytes);
    text.trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}
