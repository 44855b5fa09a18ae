//! The program's own log: to a file, never to the screen, of bounded size. `RUST_LOG` chooses what.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

/// One file and one older one are kept, each up to so many bytes.
const LOG_BYTES_MAX: u64 = 1024 * 1024;

/// Starts logging to a file; when that cannot be, nothing is logged.
pub(super) fn to_file(path: &Path) {
    let Ok(file) = Rolling::open(path) else { return };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .log_internal_errors(false) // they would go to the screen
        .with_writer(Mutex::new(file));
    let _ = subscriber.try_init(); // once is enough
}

/// Logs of a server in the foreground go to standard error.
pub(super) fn to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .log_internal_errors(false) // a log on a full disk must not end the thread that writes to it
        .with_writer(io::stderr);
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
