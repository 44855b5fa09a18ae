//! The arguments of the demo.

use std::path::PathBuf;

use clap::Args;

/// What the demo plays, and how.
#[derive(Args, Debug)]
pub(in crate::cli) struct DemoOptions {
    /// Show each mechanism, one after the other: nine stations
    #[arg(long, conflicts_with = "act")]
    pub(in crate::cli) tour: bool,
    /// Break the connection yourself, with single keys
    #[arg(long, conflicts_with_all = ["act", "headless", "tour"])]
    pub(in crate::cli) free: bool,
    /// Play only this act of the show
    #[arg(long, value_name = "N")]
    pub(in crate::cli) act: Option<usize>,
    /// Play a story from life: one of the names below, or a plan file of your own
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["act", "free", "tour"])]
    pub(in crate::cli) scenario: Option<String>,
    /// Write the run to this file: one page that replays it in any browser, without a network
    #[arg(long, value_name = "FILE", conflicts_with = "free")]
    pub(in crate::cli) report: Option<PathBuf>,
    /// Inject no fault: the acts end with "nothing happened"
    #[arg(long, requires = "headless")]
    pub(in crate::cli) without_fault: bool,
    /// Change the screen at most once a second
    #[arg(long, conflicts_with = "headless")]
    pub(in crate::cli) no_motion: bool,
    /// No screen: print lines and the proof
    #[arg(long)]
    pub(in crate::cli) headless: bool,
    /// Print one JSON object per line
    #[arg(long, requires = "headless")]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) naive: NaiveServerOptions,
}

/// How the demo starts the server of the naive chat: a process of its own.
#[derive(Args, Debug)]
pub(in crate::cli) struct NaiveServerOptions {
    #[arg(long, hide = true, requires = "folder")]
    pub(in crate::cli) naive_server: bool,
    #[arg(long, hide = true, default_value_t = 0, requires = "naive_server")]
    pub(in crate::cli) port: u16,
    #[arg(long, hide = true, requires = "naive_server")]
    pub(in crate::cli) folder: Option<PathBuf>,
}
