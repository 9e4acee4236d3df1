//! What `dev` prints, written by a thread of its own: a reader that has stopped (`less`, a paused terminal) delays no answer and
//! not the end, and a full disk ends nothing.

use std::io::{self, ErrorKind, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

/// Texts that wait for the reader. Further ones are left out, and counted.
const MAX_WAITING: usize = 10_000;
/// How long the end waits for the reader.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where texts are handed over; clones print to the same place.
#[derive(Clone)]
pub struct Lines {
    queue: SyncSender<Message>,
    left_out: Arc<AtomicU64>,
}

enum Message {
    Text(String),
    End,
}

/// The running thread.
pub struct Output {
    lines: Lines,
    ended: Receiver<io::Result<()>>,
}

impl Lines {
    /// Prints `text` and a line break, without waiting.
    pub fn print(&self, text: String) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Text(text)) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Output {
    pub fn start() -> io::Result<Self> {
        let (queue, texts) = mpsc::sync_channel(MAX_WAITING);
        let (end, ended) = mpsc::channel();
        let lines = Lines {
            queue,
            left_out: Arc::default(),
        };
        let left_out = Arc::clone(&lines.left_out);
        thread::Builder::new()
            .name(String::from("output"))
            .spawn(move || {
                let written = write(&texts, &left_out);
                if let Err(error) = &written {
                    tracing::error!(%error, "cannot write to standard output: nothing more is shown");
                }
                // Fails only if nobody waits for the end any more.
                let _ = end.send(written);
            })?;
        Ok(Self { lines, ended })
    }

    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// Waits until everything is written, or the reader has stopped. An error is what has ended the output.
    pub fn end(self) -> io::Result<()> {
        // Full, or ended by an error.
        let _ = self.lines.queue.try_send(Message::End);
        self.ended.recv_timeout(PATIENCE).unwrap_or(Ok(()))
    }
}

fn write(texts: &Receiver<Message>, left_out: &AtomicU64) -> io::Result<()> {
    while let Ok(Message::Text(text)) = texts.recv() {
        let written = match left_out.swap(0, Ordering::Relaxed) {
            0 => writeln!(anstream::stdout(), "{text}"),
            count => writeln!(
                anstream::stdout(),
                "{text}\n  … {count} rows left out: this output was not read fast enough"
            ),
        };
        match written.and_then(|()| anstream::stdout().flush()) {
            // Its reader wanted no more (`head`).
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}
