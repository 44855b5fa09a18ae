//! The program's own log: to a file, never to the screen, of bounded size; a server's to standard
//! error. `RUST_LOG` chooses what.
//!
//! No thread that has other work ever waits for a reader: lines go through a bounded queue, and
//! lines that find it full are dropped and counted. A text of a peer is foreign, so each line
//! is bounded and sanitized here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::protocol::sanitize_line;

/// Maximum bytes of a log file. The current one and one older one are kept.
const LOG_BYTES_MAX: u64 = 1024 * 1024;
/// Maximum bytes of one line; the rest is cut off.
const LINE_BYTES_MAX: usize = 1024;
/// Maximum number of queued lines: 2 MiB at most.
const LINES_MAX: usize = 2_000;

/// Writes the queued lines when dropped, for at most a second.
#[must_use = "the log ends when this is dropped"]
pub(super) struct LogGuard(
    #[expect(dead_code, reason = "only its drop counts")] Option<WorkerGuard>,
);

/// Starts logging to a file. If that fails, nothing is logged.
pub(super) fn to_file(path: &Path) -> LogGuard {
    LogGuard(Rolling::open(path).ok().map(|file| start("info", file)))
}

/// Starts logging to standard error, for a server in the foreground.
pub(super) fn to_stderr() -> LogGuard {
    LogGuard(Some(start("warn", io::stderr())))
}

fn start(default: &str, writer: impl Write + Send + 'static) -> WorkerGuard {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let (queue, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .finish(writer);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // Internal errors would go to standard error: they would spoil the screen, or cause a panic if
        // that write fails.
        .log_internal_errors(false)
        .with_writer(Lines {
            queue,
            reported: std::sync::Arc::default(),
        });
    let _ = subscriber.try_init(); // fails if logging has started already
    guard
}

/// Queues one line for each event.
#[derive(Clone)]
struct Lines {
    queue: NonBlocking,
    /// Number of dropped lines that the log has reported already.
    reported: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use std::sync::atomic::Ordering::Relaxed;
        let dropped = || self.queue.error_counter().dropped_lines();
        let (before, reported) = (dropped(), self.reported.load(Relaxed));
        if before > reported {
            let text = format!(
                "WARN {} log lines were dropped: they could not be written in time\n",
                before - reported
            );
            self.queue.write_all(text.as_bytes())?;
            if self.queue.error_counter().dropped_lines() == before {
                self.reported.store(before, Relaxed);
            } else {
                self.reported.fetch_add(1, Relaxed); // the report was dropped too; it is no line of the log
            }
        }
        self.queue.write_all(line(bytes).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Formats one event as one line, with any content.
fn line(bytes: &[u8]) -> String {
    let end = bytes.len().min(LINE_BYTES_MAX);
    let text = String::from_utf8_lossy(&bytes[..end]);
    let text = sanitize_line(text.trim_end_matches(['\n', '\u{fffd}']));
    let is_cut = bytes.len() > LINE_BYTES_MAX;
    format!("{text}{}\n", if is_cut { " …" } else { "" })
}

struct Rolling {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Rolling {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
        })
    }
}

impl Write for Rolling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes > LOG_BYTES_MAX {
            std::fs::rename(&self.path, self.path.with_extension("old.log"))?;
            *self = Self::open(&self.path.clone())?;
        }
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    #[test]
    fn event_becomes_one_bounded_harmless_line() {
        assert_eq!(
            line(b"INFO \x1b]0;x\x07 a\nWARN fake\n"),
            "INFO ␛]0;x␇ a␊WARN fake\n"
        );
        let long = line("é".repeat(LINE_BYTES_MAX).as_bytes());
        assert!(
            long.len() < LINE_BYTES_MAX + 8 && long.ends_with("é …\n"),
            "{long}"
        );
    }

    /// Takes the first line, then blocks until the gate opens.
    struct Stuck {
        lines: Sender<String>,
        gate: Receiver<()>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // the test has ended
            let _ = self.lines.send(String::from_utf8_lossy(bytes).into_owned());
            let _ = self.gate.recv(); // let go for good when the test drops its end
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn log_with_blocked_reader_drops_and_counts_lines() {
        let (tx, lines) = channel();
        let (open, gate) = channel();
        let (queue, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(4)
            .finish(Stuck { lines: tx, gate });
        let mut log = Lines {
            queue,
            reported: std::sync::Arc::default(),
        };
        log.write_all(b"first\n").expect("queued");
        assert_eq!(
            lines.recv().as_deref(),
            Ok("first\n"),
            "the writer blocks now"
        );
        for n in 0..100 {
            log.write_all(format!("line {n}\n").as_bytes())
                .expect("queued or dropped");
        }
        open.send(()).expect("the writer waits");
        assert_eq!(
            lines.recv().as_deref(),
            Ok("line 0\n"),
            "there is room again"
        );
        log.write_all(b"last\n").expect("queued");
        drop(open);
        drop(guard);
        let written: Vec<String> = lines.try_iter().collect();
        let dropped = written
            .iter()
            .find(|line| line.contains("log lines were dropped"))
            .expect("a count");
        let count: usize = dropped
            .split(' ')
            .nth(1)
            .and_then(|count| count.parse().ok())
            .expect("a number");
        assert_eq!(count, 96, "{written:?}");
    }
}
