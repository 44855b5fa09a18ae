//! The arguments of the demo.

use clap::{Args, value_parser};

use super::show::ACTS;

/// What the demo plays, and how.
#[derive(Args, Debug)]
pub(in crate::cli) struct DemoOptions {
    /// Show every mechanism, one after the other
    #[arg(long, conflicts_with = "act")]
    pub(in crate::cli) tour: bool,
    /// Break the connection yourself, with single keys
    #[arg(long, conflicts_with_all = ["act", "headless", "tour"])]
    pub(in crate::cli) free: bool,
    /// Play only this act of the show
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(1..=ACTS))]
    pub(in crate::cli) act: Option<u8>,
    /// Inject no fault: the acts end with "nothing happened"
    #[arg(long, requires = "headless", conflicts_with = "tour")]
    pub(in crate::cli) without_fault: bool,
    /// No screen: print lines and the proof
    #[arg(long)]
    pub(in crate::cli) headless: bool,
    /// Print one JSON object per line
    #[arg(long, requires = "headless")]
    pub(in crate::cli) json: bool,
}
