//! `ringback send`: posts events as their sender would, and prints the answers as the sender sees them.

mod answer;
mod messages;
mod samples;
mod signing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::sleep_until;

use super::progress::ProgressLine;
use super::sender::{Sender, SenderArgs};
use super::webhook::{Answer, PostError, WebhookClient, WebhookUrl, connector};
use super::{CommandError, block_on, print_line};
use crate::command::output::warn;
use crate::ingest::Signer;

pub(super) use messages::{Message, SendError, id};
pub(super) use samples::samples;
pub(super) use signing::sign;

use answer::{Answered, Expected, Tally};
use messages::{MessageArgs, Messages};

/// What sends, unless the request says something else.
pub(super) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("ringback-send/", env!("CARGO_PKG_VERSION")));
/// Between two progress lines if standard error is not a terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// More answers than this are only counted, and the refusals shown.
const MAX_SHOWN: u64 = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback send                                  a sample of each Retell event
  ringback send -c ringback.toml --source stripe --event invoice.paid
  ringback send --preset github --key-env SECRET --url http://localhost:8080/gh
  ringback send -c ringback.toml --event call_ended --call-id test-1 --tamper
  ringback send -c ringback.toml --count 1000 --rate 200
  ringback send -c ringback.toml --file events.ndjson --json
  ringback send --file recording.ndjson --rate 20

Without options it posts to http://localhost:8080/webhook, where `ringback dev` listens, signed with RETELL_API_KEY if that is set.
Retell's call_inbound and chat_inbound are sent only by --event, because Retell waits for an answer with content to them, which no relay gives.
A recording of `ringback dev --record` is sent as it was, so signatures that have a time are stale after a while.
Consumers of the topic see the events as real ones; their ids begin with send-.

Exit codes: 0 every answer was 2xx, or 401 with --tamper and --stale; 1 one was not, or nothing listens there; 2 wrong usage; 78 bad configuration.")]
pub struct SendArgs {
    /// The webhook URL, plain http [default: the source's in the configuration, else http://localhost:8080/webhook]
    #[arg(long)]
    url: Option<WebhookUrl>,
    #[command(flatten)]
    sender: SenderArgs,
    #[command(flatten)]
    messages: MessageArgs,
    /// Events to send in all, beginning again after the last [default: each once]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Events per second at most [default: each after the answer to the one before]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Change the body after it is signed, which must be refused
    #[arg(long)]
    tamper: bool,
    /// Sign as if it were two days ago, which must be refused
    #[arg(long)]
    stale: bool,
    /// Print each answer as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Sends, and prints each answer.
pub(super) fn run(arguments: &SendArgs) -> Result<(), CommandError> {
    let sender = arguments.sender.sender()?;
    let signer = sender.keys()?.into_iter().next().map(|key| key.signer);
    let messages = arguments.messages.read(&sender.source)?;
    let url = arguments.webhook_url(&sender);
    if messages.are_recorded() {
        let flags = [("--tamper", arguments.tamper), ("--stale", arguments.stale)];
        if let Some((flag, _)) = flags.into_iter().find(|(_, is_set)| *is_set) {
            return Err(SendError::Recorded(flag).into());
        }
    } else if arguments.tamper {
        match &signer {
            Some(signer) if signer.signs_body() => {}
            Some(signer) => return Err(SendError::signs_no("body", "--tamper", signer).into()),
            None => return Err(SendError::Unsigned("--tamper", "body").into()),
        }
    }
    let certificate = url.certificate.as_deref();
    let tls = certificate.map(connector).transpose();
    let tls = tls.map_err(SendError::Certificate)?;
    let url = Arc::new(url);
    let post = Post {
        client: WebhookClient::new(url.clone(), tls),
        url,
        signer,
        tamper: arguments.tamper,
        stale: arguments.stale,
    };
    let are_recorded = messages.are_recorded();
    let tally = block_on(Some(1), send(arguments, post, messages))?;
    let expected = if arguments.tamper || arguments.stale {
        Expected::Unauthorized
    } else {
        Expected::Accepted
    };
    let others = tally.sent - tally.expected(expected);
    if others == 0 {
        return Ok(());
    }
    if let Some(variable) = sender.missing_variable().filter(|_| !are_recorded) {
        warn(format_args!(
            "Nothing was signed, because {variable} is not set."
        ));
    }
    Err(CommandError::OtherAnswers {
        others,
        sent: tally.sent,
        expected: expected.words(),
    })
}

impl SendArgs {
    fn webhook_url(&self, sender: &Sender) -> WebhookUrl {
        let configured = || WebhookUrl::of_source(sender.relay.as_ref()?, &sender.source);
        self.url.clone().or_else(configured).unwrap_or_default()
    }
}

async fn send(
    arguments: &SendArgs,
    mut post: Post,
    messages: Messages,
) -> Result<Tally, CommandError> {
    let count = arguments.count.unwrap_or(messages.len());
    let started = Instant::now();
    let mut line = ProgressLine::new(PROGRESS_INTERVAL);
    let mut tally = Tally::default();
    for number in 0..count {
        if let Some(rate) = arguments.rate {
            let due = Duration::from_secs(1).mul_f64(number_f64(number) / f64::from(rate));
            sleep_until((started + due).into()).await;
        }
        let message = messages.get(number);
        let answered = post.answered(&message).await?;
        if number == 0
            && let Err(PostError::Connect(error)) = &answered.answer
        {
            line.hide();
            return Err(SendError::unreachable(&post.url, error).into());
        }
        tally.count(&answered);
        let row = if arguments.json {
            Some(answered.json().to_string())
        } else {
            let is_shown = !answered.is_accepted() && tally.refused <= MAX_SHOWN;
            (count <= MAX_SHOWN || is_shown).then(|| answered.text())
        };
        if let Some(row) = row {
            line.hide();
            print_line(&row)?;
        }
        let share = number_f64(number + 1) / number_f64(count);
        line.show(|| tally.progress(count, share));
    }
    drop(line);
    if (count > MAX_SHOWN || messages.are_recorded()) && !arguments.json {
        print_line(&tally.text(started.elapsed()))?;
    }
    if let Some(sentence) = messages.left_out() {
        warn(format_args!("{sentence}"));
    }
    Ok(tally)
}

/// For shares and times only, for which the nearest number is exact enough.
#[allow(clippy::cast_precision_loss)]
fn number_f64(number: u64) -> f64 {
    number as f64
}

/// What is the same for every event.
struct Post {
    client: WebhookClient,
    url: Arc<WebhookUrl>,
    signer: Option<Signer>,
    tamper: bool,
    stale: bool,
}

impl Post {
    async fn answered(&mut self, message: &Message) -> Result<Answered, SendError> {
        if let Some((method, target)) = &message.recorded {
            let Message { headers, body, .. } = message;
            let begun = Instant::now();
            let answer = self.client.send(method, target, headers, body).await;
            return Ok(answered(message, body.len(), answer, begun));
        }
        let mut headers = message.headers.clone();
        headers.entry(USER_AGENT).or_insert(AGENT);
        let mut query = None;
        match &self.signer {
            Some(signer) => {
                let Message { body, delivery, .. } = message;
                query = sign(signer, &mut headers, None, body, delivery, self.stale)?;
            }
            None if self.stale => return Err(SendError::Unsigned("--stale", "time")),
            None => {}
        }
        let mut body = message.body.clone();
        if self.tamper {
            body = [body.as_ref(), b" "].concat().into();
        }
        let begun = Instant::now();
        let answer = self.client.post(&headers, query.as_deref(), &body).await;
        Ok(answered(message, body.len(), answer, begun))
    }
}

fn answered(
    message: &Message,
    bytes: usize,
    answer: Result<Answer, PostError>,
    begun: Instant,
) -> Answered {
    Answered {
        event: message.event.clone(),
        id: message.id.clone(),
        bytes,
        answer,
        elapsed: begun.elapsed(),
    }
}

/// `Name: value`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parts = text.split_once(':').and_then(|(name, value)| {
        let name: HeaderName = name.trim().parse().ok()?;
        Some((name, value.trim().parse().ok()?))
    });
    parts.ok_or_else(|| String::from("write it as 'Name: value'"))
}

/// The headers of a body of this type.
fn typed(content_type: &'static str) -> HeaderMap {
    let value = HeaderValue::from_static(content_type);
    HeaderMap::from_iter([(CONTENT_TYPE, value)])
}
