//! `landfall demo`: servers, faulty connections, people who chat, and two chats that get the same keys
//! and the same faults.
//!
//! `show` plays acts, the tour, scenarios and free play. `stage` has the servers (`process`), the
//! proxies and the people (`person`, `author`), in a `folder`; `copies` are of the servers' data, `freeze` stops a
//! client, `fault` lists what a visitor can break, and `proof` compares typed
//! messages with the logs. `naive` is the chat to compare with.

mod author;
mod copies;
mod fault;
mod folder;
mod freeze;
mod naive;
mod options;
mod person;
mod process;
mod proof;
mod show;
mod stage;

use std::io::IsTerminal as _;

pub(super) use self::options::DemoOptions;
pub(in crate::cli) use self::show::{PLAN_USAGE, scenarios};
use super::exit::Failure;
use crate::config::Config;

pub(super) fn run(config: &Config, options: &DemoOptions) -> Result<u8, Failure> {
    if options.naive.naive_server {
        return naive::run_server(&options.naive);
    }
    if options.headless {
        return show::run_headless(options);
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "the demo needs a terminal: without one there is `landfall demo --headless`",
        ));
    }
    show::run_in_terminal(config, options)
}
