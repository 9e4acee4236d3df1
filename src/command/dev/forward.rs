//! `--forward`: hands each accepted event to a handler on this machine too, in the order of the answers, one at a time.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use http::header::HOST;
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};

use super::inspector::{Forwarded, Store};
use super::output::Lines;
use crate::command::render::printable;
use crate::command::terminal::{columns, fitted};
use crate::command::webhook::{WebhookClient, WebhookUrl, remove_transport};

/// Events that wait for a slow handler; only their numbers wait, the store has the rest.
const MAX_WAITING: usize = 10_000;

/// The URL of `--forward`.
pub fn handler(text: &str) -> Result<WebhookUrl, String> {
    text.parse::<WebhookUrl>().map_err(|reason| {
        if text.starts_with("http://") {
            reason
        } else {
            String::from(
                "give the handler as http://host:port/path, for example http://localhost:3000/webhook; it is posted to without TLS",
            )
        }
    })
}

/// True if `url` leads to the webhook listener on `port` of 127.0.0.1, which would forward each event to itself for ever.
pub fn is_own(url: &WebhookUrl, port: u16) -> bool {
    url.port == port && ["localhost", "127.0.0.1", "0.0.0.0"].contains(&url.host.as_str())
}

/// Where accepted events are handed over.
pub struct Forwarder {
    url: Arc<WebhookUrl>,
    store: Arc<Store>,
    queue: Sender<u64>,
}

impl Forwarder {
    /// Forwards on a task of its own, until it is dropped.
    pub fn start(url: WebhookUrl, store: Arc<Store>, lines: Lines) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let url = Arc::new(url);
        tokio::spawn(run(Arc::clone(&url), Arc::clone(&store), lines, waiting));
        Self { url, store, queue }
    }

    /// Hands over the kept request with this number, without waiting.
    pub fn forward(&self, n: u64) {
        if let Err(TrySendError::Full(n)) = self.queue.try_send(n) {
            let error = format!("left out: {MAX_WAITING} events wait for the handler already");
            self.store.forwarded(n, failed(&self.url, 0.0, error));
        }
    }
}

fn failed(url: &WebhookUrl, ms: f64, error: String) -> Forwarded {
    Forwarded {
        url: url.to_string(),
        status: None,
        ms,
        error: Some(error),
        body: String::new(),
    }
}

async fn run(url: Arc<WebhookUrl>, store: Arc<Store>, lines: Lines, mut waiting: Receiver<u64>) {
    let mut client = WebhookClient::new(Arc::clone(&url), None);
    while let Some(n) = waiting.recv().await {
        // Newer requests may have taken its place: the handler is slower than the senders.
        let Some(entry) = store.get(n) else {
            lines.print(format!(
                "  not forwarded  request {n} is not kept any more: the handler is too slow"
            ));
            continue;
        };
        let forwarded = forward(&mut client, &url, &entry.request).await;
        let event = printable(entry.row.event.as_deref().unwrap_or("(no name)"));
        let outcome = match (&forwarded.status, &forwarded.error) {
            (Some(status), _) => format!("forwarded {status}"),
            (None, error) => format!("not forwarded  {}", error.as_deref().unwrap_or_default()),
        };
        let row = format!("  {outcome}  {event}  {:.0} ms  {url}", forwarded.ms);
        lines.print(fitted(&row, columns(io::stdout()), 4));
        store.forwarded(n, forwarded);
    }
}

async fn forward(
    client: &mut WebhookClient,
    url: &WebhookUrl,
    request: &super::inspector::Captured,
) -> Forwarded {
    if !request.is_whole {
        let error = "the body is larger than what is kept of one";
        return failed(url, 0.0, String::from(error));
    }
    let mut headers = request.headers.to_map();
    remove_transport(&mut headers);
    // The handler's own name.
    headers.remove(HOST);
    let begun = Instant::now();
    let query = request.query.as_deref();
    let answer = client.post(&headers, query, &request.body).await;
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    match answer {
        Ok(answer) => Forwarded {
            url: url.to_string(),
            status: Some(answer.status),
            ms,
            error: None,
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        },
        Err(error) => failed(url, ms, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_a_url_without_tls_that_is_not_the_relay_itself() {
        for text in ["https://localhost:3000/a", "localhost:3000"] {
            let reason = handler(text).unwrap_err();
            assert!(
                reason.starts_with("give the handler as http://"),
                "{reason}"
            );
        }
        let own = |text: &str| is_own(&handler(text).unwrap(), 8080);
        assert!(own("http://localhost:8080/webhook") && own("http://127.0.0.1:8080/"));
        assert!(!own("http://localhost:3000/webhook") && !own("http://10.0.0.7:8080/webhook"));
    }
}
