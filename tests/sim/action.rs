//! The actions of users and the faults in a world, and how each fault is counted.

use std::time::Duration;

use crate::net::{Flow, Weather};

/// One action of a user, or one fault. Users and rooms are numbered from 0.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum UserAction {
    Say {
        who: usize,
        room: usize,
        lines: usize,
        bytes: usize,
    },
    /// Another process of the profile adds a line to the outbox. It may die before it wakes the
    /// process with the connection.
    SayBeside {
        who: usize,
        room: usize,
        is_told: bool,
    },
    /// A draft of this many bytes; 0 clears it.
    Draft {
        who: usize,
        room: usize,
        bytes: usize,
    },
    /// Edits a recent message, counted from the last one.
    Edit {
        who: usize,
        back: usize,
    },
    /// Redacts a recent message that is in the log.
    Redact {
        who: usize,
        back: usize,
    },
    /// Discards a recent message that is pending.
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
    /// Adds a device of the same account: another user of the plan, who was not there before.
    LinkDevice {
        who: usize,
        to: usize,
    },
    /// Starts a copy of the profile elsewhere: another user of the plan, who was not there before.
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
    /// Starts one more process on the profile. It takes over when the one with the connection ends.
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
    /// Each write to the store takes this long.
    ClientDiskSlow {
        who: usize,
        takes: Duration,
        lasts: Duration,
    },
    /// The machine sleeps, and its monotonic clock with it.
    Suspend {
        who: usize,
        lasts: Duration,
    },
    /// Suspends the program while the clock advances.
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
    /// Each commit takes this long.
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
    /// Returns the name under which a fault is counted; `None` for an action of a user.
    pub(crate) const fn fault(&self) -> Option<&'static str> {
        Some(match self {
            Self::Cut {
                is_server_told: true,
                ..
            } => "cut",
            Self::Cut {
                is_server_told: false,
                ..
            } => "cut, server does not notice",
            Self::Flap { .. } => "flapping link",
            Self::Weather { name, .. } => name,
            Self::KillClient { .. } => "client killed",
            Self::Quit { .. } => "client quit",
            Self::CopyClient { .. } | Self::CopyServer | Self::StartSecond { .. } => return None,
            Self::HandOver => "hosting handed over",
            Self::RestoreClient { .. } => "client restored from a copy",
            Self::OverwriteClient { .. } => "open store overwritten",
            Self::DeleteClient { .. } => "open store deleted",
            Self::ClientDiskFull { .. } => "client's disk full",
            Self::ClientDiskSlow { .. } => "client's disk slow",
            Self::Suspend { .. } => "machine asleep",
            Self::Stop { .. } => "program stopped",
            Self::StepClock { .. } => "clock stepped",
            Self::KillServer { .. } => "server killed",
            Self::RestoreServer { .. } => "server restored from a copy",
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
            Self::SayBeside { is_told: false, .. } => "sender died before it notified",
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

    /// Returns the user of an action; `None` for a fault.
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
            // In these worlds rejections are not visible from outside, and drafts belong to the
            // screen.
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
    "cut, server does not notice",
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
    "client restored from a copy",
    "open store overwritten",
    "open store deleted",
    "client's disk full",
    "machine asleep",
    "program stopped",
    "clock stepped",
    "server killed",
    "hosting handed over",
    "server restored from a copy",
    "server's disk full",
    "server's commit unsure",
    "server's disk slow",
    "banned for a while",
    "muted for a while",
    "token revoked for a while",
    "sender died before it notified",
];
