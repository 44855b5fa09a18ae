//! Other processes that use the same database: each writes a loopback port into a folder, and is
//! woken when something changed.
//!
//! A datagram only wakes, and contains one letter; the changes are read from the database. So a
//! second chat, `tail` or `send` of a profile, and a server after an operator's command, react at
//! once and without polling.

use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The folder of the port files, within the folder of the database.
const FOLDER: &str = "peers";
/// Attempts to register.
const ATTEMPTS_MAX: u32 = 100;

/// What changed, as far as a wake-up contains it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// The outbox of a profile changed.
    Outbox,
    Everything,
}

impl News {
    const fn letter(self) -> &'static [u8] {
        match self {
            Self::Outbox => b"o",
            Self::Everything => b"l",
        }
    }
}

/// Notifies the other processes that use one database.
#[derive(Debug)]
pub struct Peers {
    folder: PathBuf,
    socket: Option<UdpSocket>,
}

/// The registration of this process as a peer, until dropped.
#[derive(Debug)]
pub struct Listening {
    socket: tokio::net::UdpSocket,
    file: PathBuf,
    /// Shows that the process runs. Its number does not: another container has other numbers.
    _lock: File,
}

impl Peers {
    /// The processes that use the database in a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok();
        Self {
            folder: folder.join(FOLDER),
            socket,
        }
    }

    /// Wakes all other processes.
    pub fn notify(&self, news: News) {
        let (Some(socket), Ok(files)) = (&self.socket, fs::read_dir(&self.folder)) else {
            return;
        };
        for file in files.flatten() {
            let Some((pid, port)) = parse(&file.file_name().to_string_lossy()) else {
                continue;
            };
            if pid != std::process::id() {
                // the process has ended
                let _ = socket.send_to(news.letter(), (Ipv4Addr::LOCALHOST, port));
            }
        }
    }

    /// Registers this process as a peer. Removes files of dead processes.
    ///
    /// # Errors
    /// When the folder or the socket cannot be made.
    pub async fn listen(folder: &Path) -> std::io::Result<Listening> {
        let folder = folder.join(FOLDER);
        fs::create_dir_all(&folder)?;
        for file in fs::read_dir(&folder)?.flatten() {
            remove_if_dead(&file.path(), &file.file_name().to_string_lossy());
        }
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = socket.local_addr()?.port();
        let file = folder.join(format!("{}-{port}", std::process::id()));
        for _ in 0..ATTEMPTS_MAX {
            let lock = File::create(&file)?;
            // a process that removes it has it locked for a moment, and then it has no name
            if lock.try_lock().is_ok() && lock.metadata()?.nlink() > 0 {
                return Ok(Listening {
                    socket,
                    file,
                    _lock: lock,
                });
            }
            tokio::task::yield_now().await;
        }
        Err(std::io::ErrorKind::AddrInUse.into())
    }
}

impl Listening {
    /// Waits for the next notification from another process.
    pub async fn next(&self) -> News {
        let mut letter = [0; 1];
        match self.socket.recv(&mut letter).await {
            Ok(1) if letter == *News::Outbox.letter() => News::Outbox,
            Ok(_) | Err(_) => News::Everything,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file); // a file left behind is removed by the next process
    }
}

fn parse(name: &str) -> Option<(u32, u16)> {
    let (pid, port) = name.split_once('-')?;
    Some((pid.parse().ok()?, port.parse().ok()?))
}

/// Removes a file that no process has locked, and whose process does not run: earlier versions lock
/// nothing. The lock is released after the removal, so that a new owner of the name sees it.
fn remove_if_dead(file: &Path, name: &str) {
    if parse(name).is_some_and(|(pid, _)| is_running(pid)) {
        return;
    }
    let Ok(lock) = File::open(file) else {
        return; // another user's, or removed by now
    };
    if lock.try_lock().is_ok() {
        let _ = fs::remove_file(file); // another process may have removed it
    }
}

fn is_running(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As with processes of two containers that share a folder: their numbers prove nothing.
    #[tokio::test]
    async fn file_of_a_running_process_is_kept() {
        let data = tempfile::tempdir().expect("a folder");
        let running = Peers::listen(data.path()).await.expect("listens");
        let folder = data.path().join(FOLDER);
        let alien = folder.join("3999999-7001");
        fs::rename(&running.file, &alien).expect("is renamed");
        let dead = folder.join("3999998-7002");
        fs::write(&dead, []).expect("is written");
        let second = Peers::listen(data.path()).await.expect("listens");
        assert!(alien.exists() && second.file.exists() && !dead.exists());
    }
}
