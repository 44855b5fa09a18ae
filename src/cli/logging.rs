//! The program's own log: to a file, never to the screen, of bounded size. `RUST_LOG` chooses what.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// One file and one older one are kept, each up to so many bytes.
const LOG_BYTES_MAX: u64 = 1024 * 1024;

/// Starts logging to a file; when that cannot be, nothing is logged.
pub(super) fn to_file(path: &Path) {
    if let Ok(file) = Rolling::open(path) {
        start("info", Mutex::new(file));
    }
}

/// Logs of a server in the foreground go to standard error.
pub(super) fn to_stderr() {
    start("warn", io::stderr);
}

fn start(unless_told: &str, writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(unless_told));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // What cannot be logged would be told on standard error: over the screen, or with a panic where that is full too.
        .log_internal_errors(false)
        .with_writer(writer);
    let _ = subscriber.try_init(); // once is enough
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
        Ok(Self { path: path.to_owned(), file, bytes })
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
