//! What people do and what goes wrong in a world, one thing at a time, and what each fault is
//! counted as.

use std::time::Duration;

use crate::net::{Flow, Weather};

/// One thing that somebody does or that goes wrong. Numbers of people and rooms count from 0.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum UserAction {
    Say {
        who: usize,
        room: usize,
        lines: usize,
        bytes: usize,
    },
    /// Another process on the profile puts a line into the outbox; it may die before it tells the
    /// one that has the link.
    SayBeside {
        who: usize,
        room: usize,
        is_told: bool,
    },
    /// A half-typed line of so many bytes; none once it was cleared.
    Draft {
        who: usize,
        room: usize,
        bytes: usize,
    },
    /// The last message but so many is changed.
    Edit {
        who: usize,
        back: usize,
    },
    /// The same, taken back once it stands in the log.
    Redact {
        who: usize,
        back: usize,
    },
    /// The same, taken back while it waits.
    Discard {
        who: usize,
        back: usize,
    },
    Retry {
        who: usize,
    },
    Join {
        who: usize,
        room: usize,
    },
    Leave {
        who: usize,
        room: usize,
    },
    Read {
        who: usize,
        room: usize,
        seq: u64,
    },
    FetchBefore {
        who: usize,
        room: usize,
    },
    RetryNow {
        who: usize,
    },
    Focus {
        who: usize,
        room: usize,
    },
    ToggleOffline {
        who: usize,
    },
    /// One more device of the same person: another one of the people, who was not there before.
    LinkDevice {
        who: usize,
        to: usize,
    },
    /// A copy of the profile is started elsewhere: another one of the people, who was not there
    /// before.
    CopyProfile {
        who: usize,
        to: usize,
    },
    Cut {
        who: usize,
        is_server_told: bool,
    },
    /// Cut again and again.
    Flap {
        who: usize,
        every: Duration,
        times: u64,
    },
    Weather {
        who: usize,
        name: &'static str,
        weather: Weather,
        lasts: Duration,
    },
    KillClient {
        who: usize,
        lasts: Duration,
    },
    /// The program says goodbye and ends.
    Quit {
        who: usize,
        lasts: Duration,
    },
    /// One more process on the profile is started. It takes over when the one that has the link
    /// ends.
    StartSecond {
        who: usize,
    },
    CopyClient {
        who: usize,
    },
    RestoreClient {
        who: usize,
    },
    /// The copy is put over the store while the program has it open, as `cp` does.
    OverwriteClient {
        who: usize,
    },
    /// The store's files are deleted while the program has them open.
    DeleteClient {
        who: usize,
    },
    ClientDiskFull {
        who: usize,
        lasts: Duration,
    },
    /// The machine sleeps, and its monotonic clock with it.
    Suspend {
        who: usize,
        lasts: Duration,
    },
    /// The program is stopped, and the clock goes on.
    Stop {
        who: usize,
        lasts: Duration,
    },
    StepClock {
        ms: i64,
    },
    KillServer {
        lasts: Duration,
    },
    /// Who hosts the server quits, and another program on the machine hosts it.
    HandOver,
    CopyServer,
    RestoreServer {
        lasts: Duration,
    },
    /// Nothing can be committed. `is_unsure`: it is, and the server is told that it is not.
    ServerDiskFails {
        is_unsure: bool,
        lasts: Duration,
    },
    /// Each commit takes so long.
    ServerDiskSlow {
        takes: Duration,
        lasts: Duration,
    },
    /// Refused for good while it lasts.
    Ban {
        who: usize,
        lasts: Duration,
    },
    /// Refused for a while while it lasts.
    Mute {
        who: usize,
        lasts: Duration,
    },
    /// The server does not know the device's token while it lasts.
    Revoke {
        who: usize,
        lasts: Duration,
    },
}

impl UserAction {
    /// What it is counted as; none when it is nothing that goes wrong.
    pub(crate) const fn fault(&self) -> Option<&'static str> {
        Some(match self {
            Self::Cut {
                is_server_told: true,
                ..
            } => "cut",
            Self::Cut {
                is_server_told: false,
                ..
            } => "cut, server not told",
            Self::Flap { .. } => "flapping link",
            Self::Weather { name, .. } => name,
            Self::KillClient { .. } => "client killed",
            Self::Quit { .. } => "client quit",
            Self::CopyClient { .. } | Self::CopyServer | Self::StartSecond { .. } => return None,
            Self::HandOver => "hosting handed over",
            Self::RestoreClient { .. } => "client put back from a copy",
            Self::OverwriteClient { .. } => "open store overwritten",
            Self::DeleteClient { .. } => "open store deleted",
            Self::ClientDiskFull { .. } => "client's disk full",
            Self::Suspend { .. } => "machine asleep",
            Self::Stop { .. } => "program stopped",
            Self::StepClock { .. } => "clock stepped",
            Self::KillServer { .. } => "server killed",
            Self::RestoreServer { .. } => "server put back from a copy",
            Self::ServerDiskFails {
                is_unsure: false, ..
            } => "server's disk full",
            Self::ServerDiskFails {
                is_unsure: true, ..
            } => "server's commit unsure",
            Self::ServerDiskSlow { .. } => "server's disk slow",
            Self::Ban { .. } => "banned for a while",
            Self::Mute { .. } => "muted for a while",
            Self::Revoke { .. } => "token revoked for a while",
            Self::SayBeside { is_told: false, .. } => "sender died before it told",
            Self::Say { .. }
            | Self::SayBeside { is_told: true, .. }
            | Self::Draft { .. }
            | Self::Edit { .. }
            | Self::Redact { .. }
            | Self::Discard { .. }
            | Self::Retry { .. }
            | Self::Join { .. }
            | Self::Leave { .. }
            | Self::Read { .. }
            | Self::FetchBefore { .. }
            | Self::RetryNow { .. }
            | Self::Focus { .. }
            | Self::ToggleOffline { .. }
            | Self::LinkDevice { .. }
            | Self::CopyProfile { .. } => return None,
        })
    }

    /// Whose wish this is: what a person asks of the program, and no trouble.
    pub(crate) const fn who_asks(&self) -> Option<usize> {
        match *self {
            Self::Say { who, .. }
            | Self::Draft { who, .. }
            | Self::Edit { who, .. }
            | Self::Redact { who, .. }
            | Self::Discard { who, .. }
            | Self::Retry { who }
            | Self::Join { who, .. }
            | Self::Leave { who, .. }
            | Self::Read { who, .. }
            | Self::FetchBefore { who, .. }
            | Self::RetryNow { who }
            | Self::Focus { who, .. }
            | Self::ToggleOffline { who } => Some(who),
            _ => None,
        }
    }

    /// Whether drivers can be asked to go through this.
    pub(crate) const fn is_for_drivers(&self) -> bool {
        match self {
            // Nobody tells the world there what was refused by then, and drafts are the screen's.
            Self::Retry { .. } | Self::Draft { .. } => false,
            _ if self.who_asks().is_some() => true,
            Self::Cut { .. }
            | Self::Flap { .. }
            | Self::KillClient { .. }
            | Self::CopyClient { .. }
            | Self::RestoreClient { .. }
            | Self::StepClock { .. }
            | Self::KillServer { .. }
            | Self::CopyServer
            | Self::RestoreServer { .. } => true,
            Self::Weather { weather, .. } => {
                let is_both = matches!((weather.up, weather.down), (Flow::Hold, Flow::Hold));
                let holds = matches!(weather.up, Flow::Hold) || matches!(weather.down, Flow::Hold);
                !weather.refuses && weather.bytes_per_second.is_none() && (is_both || !holds)
            }
            _ => false,
        }
    }
}

/// Every kind of fault that a plan may hold.
pub(crate) const FAULTS: [&str; 32] = [
    "cut",
    "cut, server not told",
    "flapping link",
    "half-open",
    "way up dead",
    "way down dead",
    "stalled",
    "way up held",
    "way down held",
    "refused",
    "slow",
    "far",
    "client killed",
    "client quit",
    "second process takes over",
    "client put back from a copy",
    "open store overwritten",
    "open store deleted",
    "client's disk full",
    "machine asleep",
    "program stopped",
    "clock stepped",
    "server killed",
    "hosting handed over",
    "server put back from a copy",
    "server's disk full",
    "server's commit unsure",
    "server's disk slow",
    "banned for a while",
    "muted for a while",
    "token revoked for a while",
    "sender died before it told",
];
