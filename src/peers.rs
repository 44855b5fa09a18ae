//! Other processes that use the same database: each writes a loopback port into a folder, and is
//! woken when something changed.
//!
//! A datagram only wakes, and contains one letter; the changes are read from the database. So a
//! second chat, `tail` or `send` of a profile, and a server after an operator's command, react at
//! once and without polling.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

/// The folder of the port files, within the folder of the database.
const FOLDER: &str = "peers";

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
            if parse(&file.file_name().to_string_lossy()).is_none_or(|(pid, _)| !is_running(pid)) {
                let _ = fs::remove_file(file.path()); // another process may have removed it
            }
        }
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let file = folder.join(format!(
            "{}-{}",
            std::process::id(),
            socket.local_addr()?.port()
        ));
        fs::write(&file, [])?;
        Ok(Listening { socket, file })
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

fn is_running(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
