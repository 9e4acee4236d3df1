//! `ringback dev`: everything on this machine, with nothing to install and nothing left behind.
//!
//! The relay is the real one, on a temporary journal. Kafka is librdkafka's in-process mock, to which other clients that use
//! librdkafka can connect too. Others ask for a newer list of API versions than it knows, and cannot read its answer.

mod body;
mod configuration;
mod display;
mod forward;
mod inspector;
mod kafka;
mod output;
mod record;
mod row;
mod signatures;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use super::render::{printable_path, shell_path, shell_word};
use super::terminal::wrapped;
use super::webhook::WebhookUrl;
use super::{CommandError, RETELL_KEY, block_on};
use crate::app::{App, AppError, BindError, NamedAddress, Ports};
use crate::ingest::{Observation, SourceConfig};
use crate::signal::Signals;
use crate::telemetry;
use display::EventPrinter;
use forward::Forwarder;
use inspector::{Bounds, Inspected, KnownSources, Store};
use kafka::{EmbeddedKafka, PARTITIONS};
use output::{Lines, Output};
use record::{Recorder, RecorderQueue};
use signatures::SignatureNotes;

/// The blanks before what stands below a value of the greeting.
const MARGIN: &str = "              ";
/// The source that the quick start posts to.
const SOURCE: &str = "retell";

/// Everything else is fixed, so that the quick start's curl works word for word.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback dev
  ringback dev --port 9000 --admin-port 9001
  ringback dev --config ringback.toml
  ringback dev --forward http://localhost:3000/webhook --record calls.ndjson
  RETELL_API_KEY=key_… ringback dev --require-signature

The inspector is a page on this machine: the live list of requests, each one in full, with what its signature shows and where its \
event is in Kafka. It sends samples of every sender, and requests again. Other senders than Retell AI have the paths /webhooks/<name>, \
with keys that are made at each start and that only the inspector knows.

A row has the time at which the event arrived in the topic, its name, key, partition and offset, its size, and the \
time from the POST to Kafka. A terminal gets what fits its width, and colours unless NO_COLOR is set: refused requests are red, \
dead letters yellow, and events whose id came before dim. A pipe or file gets each row whole. The embedded Kafka is for kcat, confluent-kafka and other clients that use librdkafka; Java's \
clients wait for ever, and so does kafka-python without api_version=(2, 3).

With RETELL_API_KEY set, each row shows whether the event's signature is valid; with --require-signature, events \
without a valid signature are refused. With --config, signatures are required as the file says.

A recording holds the requests with their credentials. `ringback send --file FILE` sends it again.")]
pub struct DevArgs {
    /// Port of the webhook listener on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Port of /metrics, /livez and /readyz on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 9464)]
    admin_port: u16,
    /// Port of the inspector, a page on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 4041)]
    inspector_port: u16,
    /// Take the sources, and the limits of [listen], from this configuration file (TOML); Kafka, journal and ports stay dev's own
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Post each accepted event to this URL too, plain http, and show its answer
    #[arg(long, value_name = "URL", value_parser = forward::handler)]
    forward: Option<WebhookUrl>,
    /// Write each request into this new file as it is answered
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Refuse events without a valid signature (needs RETELL_API_KEY)
    #[arg(long, conflicts_with = "config")]
    require_signature: bool,
    /// Show each event's body below its row, at most 4 KiB of it
    #[arg(short, long)]
    verbose: bool,
}

/// Runs until Ctrl-C.
pub fn run(arguments: &DevArgs) -> Result<(), CommandError> {
    // The terminal belongs to the events; problems still show.
    // The journal is temporary: it may be on any kind of volume.
    telemetry::log("warn,librdkafka=error,ringback::journal::disk::volume=off")?;
    let key = std::env::var_os(RETELL_KEY).filter(|key| !key.is_empty());
    let key_is_set = key.is_some() && arguments.config.is_none();
    if arguments.require_signature && !key_is_set {
        return Err(CommandError::NoKey);
    }
    block_on(None, relay(arguments, key_is_set))
}

async fn relay(arguments: &DevArgs, key_is_set: bool) -> Result<(), CommandError> {
    // First, so that an early signal leaves no temporary folder behind.
    let signals = Signals::listen()?.without_reload();
    if let Some(url) = &arguments.forward
        && forward::is_own(url, arguments.port)
    {
        return Err(CommandError::ForwardLoop(url.to_string()));
    }
    let own = configuration::own(arguments)?;
    let topics = configuration::topics(own.as_ref());
    let [webhooks, admin, address] = arguments.addresses()?;
    let ports = Ports::bind(admin, webhooks);
    let page = TcpListener::bind(address.0).map_err(BindError::of(address));
    let (ports, page) = BindError::both(ports, page).map_err(CommandError::Ports)?;
    let inspector_port = page.local_addr()?.port();
    let folder = tempfile::Builder::new().prefix("ringback-dev-").tempdir()?;
    let kafka = EmbeddedKafka::start(topics.clone())?;
    let bootstrap = kafka.bootstrap.as_str();
    let config = configuration::read(arguments, own, folder.path(), bootstrap, key_is_set)?;

    let is_lenient = key_is_set && !arguments.require_signature;
    let lenient = is_lenient.then(|| String::from(SOURCE));
    let notes = is_lenient.then(SignatureNotes::default);
    let store = Arc::new(Store::new(arguments.bounds()));
    let output = Output::start()?;
    let lines = output.lines();
    let recorder = arguments.record.as_deref();
    let recorder = recorder.map(|file| Recorder::start(file, Arc::clone(&store)));
    let recorder = recorder.transpose()?;
    let watch = Watch {
        store: Arc::clone(&store),
        notes: notes.clone(),
        forwarder: arguments
            .forward
            .clone()
            .map(|url| Forwarder::start(url, Arc::clone(&store), lines.clone())),
        lines: lines.clone(),
        recorder: recorder.as_ref().map(Recorder::queue),
    };
    let sources = config.source.clone();
    let consumed = Arc::clone(&store);
    let shown = display::Shown {
        notes,
        verbose: arguments.verbose,
        store: consumed,
        lines: lines.clone(),
    };
    let app = App::start(config, None, ports, |ingest| {
        ingest.observing(lenient, move |observation| watch.observe(observation))
    })
    .await
    .map_err(|error| match error {
        AppError::Bind(error) => CommandError::Ports(error),
        other => CommandError::App(other),
    })?;
    // It reads the topics from their beginning. After a failed start it would only report that Kafka is gone.
    let printer = EventPrinter::start(bootstrap, &topics, PARTITIONS, shown)?;
    let greeting = Greeting {
        arguments,
        key_is_set,
        inspector_port,
        topic: &topics[0],
        sources: &sources,
    };
    lines.print(greeting.text(&app, bootstrap));
    display::heading(&lines, is_lenient);
    let known = KnownSources::new(sources, arguments.config.is_some());
    let topic = topics[0].clone();
    let inspected = Inspected::new(store, known, app.address(), topic, bootstrap.to_owned());
    let inspector = inspector::start(page, inspected)?;
    let (_summary, outcome) = app.run(signals).await;
    drop(inspector);
    printer.stop();
    lines.print(String::from(
        "\nStopped. The journal and the topic were temporary and are gone.",
    ));
    if let Some(recorder) = recorder {
        // It has reported already what went wrong.
        let total = recorder.stop().unwrap_or_default();
        lines.print(total.text(arguments.record.as_deref()));
    }
    let written = output.end();
    outcome?;
    written.map_err(CommandError::Output)
}

impl DevArgs {
    /// Of the webhooks, of the admin listener and of the inspector.
    fn addresses(&self) -> Result<[NamedAddress; 3], CommandError> {
        let options = [
            (self.port, "--port"),
            (self.admin_port, "--admin-port"),
            (self.inspector_port, "--inspector-port"),
        ];
        for (index, (port, option)) in options.iter().enumerate() {
            let mut later = options[index + 1..].iter();
            let same = later.find(|(other, _)| *port != 0 && port == other);
            if let Some((_, other)) = same {
                return Err(CommandError::SamePort(option, other, *port));
            }
        }
        Ok(options.map(|(port, option)| (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), option)))
    }

    fn bounds(&self) -> Bounds {
        let usual = Bounds::default();
        let is_handed_on = self.forward.is_some() || self.record.is_some();
        Bounds {
            // What is handed on must be whole.
            body: if is_handed_on {
                usual.bytes / 2
            } else {
                usual.body
            },
            ..usual
        }
    }
}

/// What learns of each request.
struct Watch {
    store: Arc<Store>,
    notes: Option<SignatureNotes>,
    forwarder: Option<Forwarder>,
    recorder: Option<RecorderQueue>,
    lines: Lines,
}

impl Watch {
    fn observe(&self, observation: &Observation<'_>) {
        let answered = self.store.observe(observation);
        self.show(observation);
        let Some(n) = answered else { return };
        if let Some(recorder) = &self.recorder {
            recorder.record(n);
        }
        let is_new = matches!(
            observation,
            Observation::Answered {
                request: None,
                refusal: None,
                is_duplicate: false,
                ..
            }
        );
        if let Some(forwarder) = self.forwarder.as_ref().filter(|_| is_new) {
            forwarder.forward(n);
        }
    }

    /// Prints what the topic does not show, and keeps the notes on signatures until it shows their events.
    fn show(&self, observation: &Observation<'_>) {
        match observation {
            Observation::Accepted(request) => {
                let notes = self.notes.as_ref().zip(request.signature.as_ref());
                if let Some(error) = request.unparsed {
                    display::unparsed(&self.lines, error);
                } else if let Some((notes, verdict)) = notes {
                    notes.keep(request.id.unwrap_or_default(), verdict.as_ref().err());
                }
            }
            Observation::Answered {
                status,
                refusal: Some(refusal),
                ..
            } => {
                let request = (refusal.method, refusal.path);
                display::refusal(
                    &self.lines,
                    request,
                    *status,
                    refusal.reason,
                    refusal.detail,
                );
            }
            Observation::Answered { .. } | Observation::Left { .. } => {}
        }
    }
}

/// What is printed once, when everything runs.
struct Greeting<'a> {
    arguments: &'a DevArgs,
    key_is_set: bool,
    inspector_port: u16,
    topic: &'a str,
    sources: &'a [SourceConfig],
}

impl Greeting<'_> {
    fn text(&self, app: &App, bootstrap: &str) -> String {
        let bold = anstyle::Style::new().bold();
        let (on, off) = (bold.render(), bold.render_reset());
        let (inspector, topic) = (self.inspector_port, self.topic);
        format!(
            "{on}ringback dev{off}: relay, Kafka and journal on this machine; nothing is kept

  {on}Inspector{off}   http://localhost:{inspector}/
  {on}Webhooks{off}    {webhooks}
  {on}Signatures{off}  {signatures}
  {on}Kafka{off}       {bootstrap}, topic {topic}, {PARTITIONS} partitions: an embedded
              mock in memory, for kcat, confluent-kafka and other clients that
              use librdkafka (Java's clients wait for ever); beyond 5 MiB per
              partition it deletes the oldest events
  {on}Status{off}      http://localhost:{admin}/, with metrics at /metrics

  {try_it}
  Read the topic:
    kcat -C -b {bootstrap} -t {topic} -f '%k %h %s\\n'

  Below: each event as it arrives in the topic, and each refused request.
  Ctrl-C stops.
",
            webhooks = self.webhooks(app.address().port()),
            signatures = self.signatures(),
            try_it = self.try_it(app.address().port(), bootstrap),
            admin = app.admin_address().port(),
        )
    }

    /// The first source's URL, and the paths of the others.
    fn webhooks(&self, port: u16) -> String {
        let mut paths = self
            .sources
            .iter()
            .filter_map(|source| source.path.iter().next());
        let first = paths.next().unwrap_or_default();
        let others = if self.arguments.config.is_some() {
            paths
                .map(|path| format!("\n{MARGIN}{path}"))
                .collect::<Vec<_>>()
                .concat()
        } else {
            let names = configuration::SENDERS.join(", ");
            format!(
                "\n{MARGIN}{}",
                wrapped(&format!("/webhooks/NAME for {names}"), 64, 2)
                    .replace('\n', &format!("\n{MARGIN}"))
            )
        };
        format!("http://localhost:{port}{first}{others}")
    }

    fn signatures(&self) -> String {
        if let Some(file) = &self.arguments.config {
            return format!("as {} says", printable_path(file));
        }
        String::from(match (self.key_is_set, self.arguments.require_signature) {
            (false, _) => "not checked on /webhook: set RETELL_API_KEY to check each one",
            (true, false) => "checked, not required (--require-signature refuses invalid ones)",
            (true, true) => "required",
        })
    }

    /// A command for another terminal whose event is answered 204.
    fn try_it(&self, port: u16, bootstrap: &str) -> String {
        if let Some((file, first)) = self.arguments.config.as_ref().zip(self.sources.first()) {
            let (file, name) = (shell_path(file), &first.name);
            let path = first.path.iter().next().unwrap_or_default();
            let url = shell_word(format!("http://localhost:{port}{path}"));
            return format!(
                "Try it in another terminal, which needs the sources' keys too:
    ringback send --config {file} --source {name} \\
      --url {url}"
            );
        }
        if self.arguments.require_signature {
            // Few enough bytes for the mock's partitions.
            return format!(
                "Try it in another terminal. Set {RETELL_KEY} there too, because it signs
  the events:
    ringback prove --url http://localhost:{port}/webhook \\
      --bootstrap {bootstrap} --rate 20 --duration 5s --size 2KiB"
            );
        }
        format!(
            r#"Try it:
    curl --location 'localhost:{port}/webhook' --include \
      --header 'Content-Type: application/json' \
      --data '{{"event":"call_ended",
        "call":{{"call_id":"Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6"}}}}'"#
        )
    }
}
