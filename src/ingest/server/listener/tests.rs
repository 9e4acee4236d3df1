//! Connections that are made in the moment in which the listener closes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as Socket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use http::Response;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower::service_fn;
use tower::util::BoxService;

use super::*;
use crate::ingest::metrics::Metrics;
use crate::ingest::refusal_log::RefusalLog;
use crate::ingest::server::Phases;
use crate::telemetry::Registry;

/// How often a listener is closed under load. If it just closes, every tenth time cuts a client off.
const CLOSINGS: usize = 250;
const CLIENTS: usize = 4;

/// Answers whatever is asked.
fn server() -> Server {
    let patience = Duration::from_mins(1);
    Server {
        tls: None,
        max_connections: 1_000,
        header_timeout: patience,
        idle_timeout: patience,
        body_timeout: patience,
        started: Instant::now(),
        phases: Phases::new(),
        metrics: Arc::new(Metrics::register(&Registry::new()).unwrap()),
        refusal_log: Arc::new(RefusalLog::new(std::iter::empty())),
        make_service: Box::new(|_, _| {
            BoxService::new(service_fn(async |_| Ok(Response::default())))
        }),
        cut_stalled_body: Box::new(|| false),
    }
}

/// Asks on one connection after another until none can be made, and counts the answers; false if one does not come.
fn ask(address: SocketAddr, answers: &AtomicUsize) -> bool {
    while let Ok(mut stream) = Socket::connect(address) {
        let request = b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
        let mut answer = String::new();
        let sent = stream.write_all(request);
        let read = sent.and_then(|()| stream.read_to_string(&mut answer));
        if read.is_err() || !answer.starts_with("HTTP/1.1 200 ") {
            return false;
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_that_was_made_before_the_listener_closed_is_served() {
    let mut clients = Vec::new();
    let mut closings = Vec::new();
    for _ in 0..CLOSINGS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (close, closed) = oneshot::channel::<()>();
        closings.push(tokio::spawn(serve(listener, Arc::new(server()), async {
            _ = closed.await;
        })));
        let answers = Arc::new(AtomicUsize::new(0));
        for _ in 0..CLIENTS {
            let answers = Arc::clone(&answers);
            clients.push(thread::spawn(move || ask(address, &answers)));
        }
        while answers.load(Ordering::Relaxed) < 20 {
            tokio::task::yield_now().await;
        }
        drop(close);
    }
    for closing in closings {
        closing.await.unwrap().unwrap();
    }
    let all_answered = clients.into_iter().map(|client| client.join().unwrap());
    let cut_off = all_answered.filter(|all| !all);
    assert_eq!(cut_off.count(), 0);
}
