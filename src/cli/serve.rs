//! `landfall serve`: a server in the foreground.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::data_folder;
use super::exit::{self, Failure};
use super::stopping::Ends;
use crate::config::Config;
use crate::print;
use crate::server::session::Settings;
use crate::server::{self, Server};

pub(super) struct ServeOptions {
    pub(super) listen: SocketAddr,
    pub(super) data: Option<PathBuf>,
    /// Ends at the end of standard input, so it ends with the process at the other end.
    pub(super) until_eof: bool,
}

pub(super) fn run(config: &Config, options: ServeOptions) -> Result<u8, Failure> {
    let ServeOptions {
        listen,
        data,
        until_eof,
    } = options;
    let _log = super::logging::to_stderr();
    crate::system::raise_file_limit();
    let folder = data.unwrap_or_else(|| config.server());
    let mut lock = data_folder::lock(&folder)?; // until the drain has written everything
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut ends = Ends::listen()?;
        let options = server::ServerOptions {
            listen,
            folder: folder.clone(),
            settings: Settings::default(),
        };
        let server = Server::start(options).await?;
        if let Err(error) = announce(&server, &folder) {
            tracing::warn!(%error, "the address could not be printed"); // it serves nevertheless
        }
        let address = server.address();
        let over = tokio::select! {
            () = ends.next() => None,
            () = end_of_input(), if until_eof => None,
            error = server.over() => Some(error.into()),
            failure = data_folder::keep_names(&folder, &address, &mut lock) => Some(failure),
        };
        server.drain().await;
        over.map_or(Ok(exit::OK), Err)
    })
}

/// Prints the address. The invite is a secret: it is printed when it was just made, and on a
/// terminal, but not into a service's journal at each start.
fn announce(server: &Server, folder: &Path) -> std::io::Result<()> {
    print::line(format!("listening on {}", server.address()))?;
    if server.is_new() || std::io::stdout().is_terminal() {
        print::line(format!("invite {}#{}", server.address(), server.invite()))?;
    }
    data_folder::write_address(folder, &server.address())
}

/// Waits for the end of standard input.
pub(super) async fn end_of_input() {
    let (tx, rx) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // an error ends the input too
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(tx);
    });
    let _ = rx.await; // the sender is dropped without sending
}
