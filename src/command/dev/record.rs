//! `--record`: writes each request into a file as it is answered, on a thread of its own.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};

use super::inspector::Store;
use crate::command::CommandError;
use crate::command::recording::HEADER;
use crate::command::render::{count, grouped};

/// Requests that wait for the disk; only their numbers wait, the store has the rest.
const MAX_WAITING: usize = 65_536;

/// The running recorder.
pub struct Recorder {
    queue: SyncSender<Step>,
    thread: JoinHandle<io::Result<Recording>>,
}

/// What the thread does next.
enum Step {
    /// Writes the kept request with this number.
    Record(u64),
    /// Ends. A message of its own, because connections that were cut off may hold a queue for ever.
    Stop,
}

/// How many requests are in the recording, and how many are not.
#[derive(Debug, Default)]
pub struct Recording {
    pub written: u64,
    pub left_out: u64,
}

impl Recording {
    pub fn text(&self, file: Option<&Path>) -> String {
        let file = file.unwrap_or(Path::new("")).display();
        let written = count(self.written, "request");
        match self.left_out {
            0 => format!("{written} recorded in {file}."),
            left_out => format!(
                "{written} recorded in {file}; {} left out, because their bodies were not read to their end or too large to be kept.",
                grouped(left_out)
            ),
        }
    }
}

impl Recorder {
    /// Creates the file, which must not exist; only this user can read it, because requests hold credentials.
    pub fn start(file: &Path, store: Arc<Store>) -> Result<Self, CommandError> {
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(file);
        let opened = opened.map_err(|source| CommandError::Record {
            file: file.display().to_string(),
            source,
        })?;
        let (queue, waiting) = mpsc::sync_channel(MAX_WAITING);
        let thread = thread::Builder::new()
            .name(String::from("recorder"))
            .spawn(move || write(BufWriter::new(opened), &store, &waiting))?;
        Ok(Self { queue, thread })
    }

    /// The handle by which answered requests are recorded.
    pub fn queue(&self) -> RecorderQueue {
        RecorderQueue(self.queue.clone())
    }

    /// Writes what waits.
    pub fn stop(self) -> io::Result<Recording> {
        // Fails only if the thread has ended on an error.
        let _ = self.queue.send(Step::Stop);
        let written = self.thread.join();
        written.unwrap_or_else(|_| Err(io::Error::other("the recorder's thread has panicked")))
    }
}

/// See [`Recorder::queue`].
pub struct RecorderQueue(SyncSender<Step>);

impl RecorderQueue {
    /// Records the kept request with this number, without waiting.
    pub fn record(&self, n: u64) {
        // If the thread has ended, it has reported why.
        if let Err(TrySendError::Full(_)) = self.0.try_send(Step::Record(n)) {
            tracing::warn!("the recording lacks a request: the disk is slower than the senders");
        }
    }
}

fn write(
    mut file: BufWriter<impl Write>,
    store: &Store,
    waiting: &Receiver<Step>,
) -> io::Result<Recording> {
    let mut recorded = Recording::default();
    let written = write_lines(&mut file, store, waiting, &mut recorded);
    if let Err(error) = &written {
        tracing::error!(%error, "the recording cannot be written and ends here");
    }
    written.map(|()| recorded)
}

fn write_lines(
    file: &mut BufWriter<impl Write>,
    store: &Store,
    waiting: &Receiver<Step>,
    recorded: &mut Recording,
) -> io::Result<()> {
    writeln!(file, "{HEADER}")?;
    file.flush()?;
    let mut next = waiting.recv();
    while let Ok(Step::Record(n)) = next {
        let request = store.get(n).map(|entry| entry.request);
        match request.filter(|request| request.is_whole) {
            Some(request) => {
                writeln!(file, "{}", request.recorded().line())?;
                recorded.written += 1;
            }
            None => recorded.left_out += 1,
        }
        next = if let Ok(step) = waiting.try_recv() {
            Ok(step)
        } else {
            file.flush()?;
            waiting.recv()
        };
    }
    file.flush()
}
