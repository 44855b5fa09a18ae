//! The arguments of every command, as the user writes them: what each may be, and its help.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::demo::DemoOptions;
use super::explain::Topic;

use super::help::{
    AFTER_HELP, BACKUP_HELP, CHAOS_HELP, CHECK_HELP, DEVICE_HELP, EVERYWHERE, FEED_HELP,
    INVITE_HELP, JOIN_HELP, JOURNAL_HELP, OUTBOX_HELP, RESTORE_HELP, SEND_HELP, SERVE_HELP,
    TAIL_HELP, demo_help,
};
use crate::protocol::Seq;

#[derive(Debug, Parser)]
#[command(name = "landfall", version, about = "A terminal chat that never loses a message", after_help = AFTER_HELP)]
pub(super) struct Cli {
    /// Keep config, data and state under this folder (or set LANDFALL_HOME)
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR")]
    pub(super) home: Option<PathBuf>,
    /// Use this profile: one account on one server
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// Chat as NAME on this machine's own server, with the profile as-NAME
    #[arg(long = "as", global = true, help_heading = EVERYWHERE, value_name = "NAME", conflicts_with = "profile")]
    pub(super) as_name: Option<String>,
    #[command(subcommand)]
    pub(super) command: Option<CliCommand>,
}

#[derive(Debug, Subcommand)]
pub(super) enum CliCommand {
    /// Run a server; prints its address and its invite
    #[command(after_help = SERVE_HELP)]
    Serve {
        /// Address to listen on; port 0 lets the system choose
        #[arg(long, default_value = "127.0.0.1:7000", value_name = "HOST:PORT", value_parser = listen)]
        listen: SocketAddr,
        /// Folder for its data
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// End when standard input ends
        #[arg(long, hide = true)]
        until_eof: bool,
    },
    /// Join a server with an invite
    #[command(after_help = JOIN_HELP)]
    Join {
        /// ws://HOST:PORT#CODE
        #[arg(value_name = "URL#INVITE")]
        invite: String,
        /// Your name on that server
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Send a message, or stdin if there is no text
    #[command(after_help = SEND_HELP)]
    Send {
        /// The room's name
        room: String,
        /// The text
        text: Vec<String>,
        /// Each line of stdin is one message
        #[arg(long, conflicts_with = "text")]
        lines: bool,
        /// Seconds to wait for the acknowledgement; 0 does not wait
        #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = whole, allow_hyphen_values = true)]
        wait: u64,
        /// Do not wait: save the message; it is sent the next time landfall runs with this profile
        #[arg(long, conflicts_with = "wait")]
        no_wait: bool,
    },
    /// Print a room's messages, in order
    #[command(after_help = TAIL_HELP)]
    Tail {
        /// The room's name
        room: String,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
        /// Start after the message with this sequence number
        #[arg(long, default_value = "0", value_name = "SEQ", value_parser = seq, allow_hyphen_values = true)]
        after: Seq,
        /// Print new messages as they arrive
        #[arg(long)]
        follow: bool,
        /// Print only messages that the server lost when it was restored from a backup; they are saved
        /// here
        #[arg(long, conflicts_with_all = ["follow", "after"])]
        orphaned: bool,
    },
    /// Show connection state and pending messages (works without a connection)
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List unconfirmed messages
    #[command(after_help = OUTBOX_HELP)]
    #[command(args_conflicts_with_subcommands = true)]
    Outbox {
        #[command(subcommand)]
        action: Option<OutboxAction>,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Send live values into a room, from lines of stdin: key and value
    #[command(after_help = FEED_HELP)]
    Feed {
        /// The room's name
        room: String,
    },
    /// Show the live values of a room
    Watch {
        /// The room's name
        room: String,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
        /// End after this many seconds
        #[arg(long = "for", value_name = "SECONDS", value_parser = whole)]
        for_s: Option<u64>,
    },
    /// Show the connection history
    #[command(after_help = JOURNAL_HELP)]
    Journal {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
        /// Start at this time, or this long ago
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Draw it as a ladder between this computer and the server
        #[arg(long, conflicts_with = "json")]
        ladder: bool,
    },
    /// Explain a mechanism: how it works, the numbers in force, and where to see it
    Explain {
        /// What to explain; without it, the topics are listed
        topic: Option<Topic>,
    },
    /// Print or replace a server's invite
    #[command(after_help = INVITE_HELP)]
    Invite {
        /// The server's data folder
        #[arg(long, global = true, value_name = "DIR")]
        data: Option<PathBuf>,
        #[command(subcommand)]
        action: Option<InviteAction>,
    },
    /// List a server's devices, or revoke one
    #[command(after_help = DEVICE_HELP)]
    Device {
        /// The server's data folder
        #[arg(long, global = true, value_name = "DIR")]
        data: Option<PathBuf>,
        #[command(subcommand)]
        action: DeviceAction,
    },
    /// Write a backup of a profile or a server, also while it is in use
    #[command(after_help = BACKUP_HELP)]
    Backup {
        /// A server's data folder instead of a profile
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// A new file, or a folder for it
        #[arg(value_name = "TO")]
        to: PathBuf,
    },
    /// Restore a profile or a server's data from a backup
    #[command(after_help = RESTORE_HELP)]
    Restore {
        /// A server's data folder instead of a profile
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Restore a damaged backup too, as far as it can be read
        #[arg(long)]
        force: bool,
        /// The backup
        #[arg(value_name = "FROM")]
        from: PathBuf,
    },
    /// Check a profile, a server's data, or a backup for damage
    #[command(after_help = CHECK_HELP)]
    Check {
        /// A server's data folder instead of a profile
        #[arg(long, value_name = "DIR", conflicts_with = "file")]
        data: Option<PathBuf>,
        /// A backup to check instead
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Break the connection and watch: runs a server, a faulty connection, two other users and your chat
    #[command(after_help = demo_help())]
    Demo(DemoOptions),
    /// Run a proxy that injects faults
    #[command(after_help = CHAOS_HELP)]
    Chaos {
        /// Where clients connect; port 0 lets the system choose
        #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT", value_parser = listen)]
        listen: SocketAddr,
        /// The server's address
        #[arg(long, value_name = "HOST:PORT", value_parser = upstream)]
        upstream: String,
        /// Run the commands of this file first
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum OutboxAction {
    /// List it (the default)
    List {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Send a rejected message again, or all of them
    Retry {
        /// Its id
        id: Option<String>,
    },
    /// Delete an unsent message
    Drop {
        /// Its id
        id: String,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum InviteAction {
    /// Make a new invite and invalidate the old one
    New,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum DeviceAction {
    /// List the devices that have access
    List {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Revoke the access of a device
    Revoke {
        /// Its id
        id: String,
    },
}

impl CliCommand {
    /// Whether the arguments name every path that the command uses.
    pub(super) const fn names_its_paths(&self) -> bool {
        match self {
            Self::Serve { data, .. }
            | Self::Invite { data, .. }
            | Self::Device { data, .. }
            | Self::Backup { data, .. }
            | Self::Restore { data, .. } => data.is_some(),
            Self::Check { data, file } => data.is_some() || file.is_some(),
            Self::Chaos { .. } => true,
            _ => false, // the folder of a profile, or the demo's own one, which it prints
        }
    }
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "write a whole number, 0 or more".to_owned())
}

fn seq(text: &str) -> Result<Seq, String> {
    let number = whole(text)?;
    Seq::try_from(number).map_err(|_| format!("write a number up to {}", Seq::MAX))
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let found = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    found.ok_or_else(|| "write it as HOST:PORT, such as 127.0.0.1:7000".to_owned())
}

/// Parses a server's address with or without `ws://`.
fn upstream(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("ws://").unwrap_or(text);
    let is_address = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    let is_address = is_address && !address.contains('/');
    is_address
        .then(|| address.to_owned())
        .ok_or_else(|| "write it as HOST:PORT, such as 127.0.0.1:7000".to_owned())
}
