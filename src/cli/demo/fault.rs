//! PURE. Everything that can be broken in the demo: its key, its name, and what it means in a plain
//! line.

use crate::chaos::FaultCommand;

/// Something to break, or to mend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Cut,
    HalfOpen,
    DeadUp,
    DeadDown,
    Latency,
    Slow,
    Lossy,
    Flap,
    KillServer,
    StartServer,
    PutServerBack,
    Sleep,
    Fill,
    Pass,
    Tour,
}

/// A fault, with what a person sees of it.
pub(super) struct FaultEntry {
    pub(super) key: char,
    pub(super) fault: Fault,
    pub(super) name: &'static str,
    means: &'static str,
}

const fn entry(key: char, fault: Fault, name: &'static str, means: &'static str) -> FaultEntry {
    FaultEntry {
        key,
        fault,
        name,
        means,
    }
}

impl Fault {
    pub(super) const ALL: [FaultEntry; 15] = [
        entry(
            'c',
            Self::Cut,
            "cut",
            "the connection is reset, and new ones are refused",
        ),
        entry(
            'h',
            Self::HalfOpen,
            "half-open",
            "bytes vanish both ways, and the connection seems to stand",
        ),
        entry(
            'u',
            Self::DeadUp,
            "dead up",
            "what you say vanishes, while the others are still heard",
        ),
        entry(
            'w',
            Self::DeadDown,
            "dead down",
            "what the server says vanishes, while it hears you",
        ),
        entry(
            'l',
            Self::Latency,
            "latency",
            "each way takes 800 ms more, give or take 300",
        ),
        entry(
            's',
            Self::Slow,
            "slow",
            "two kilobytes a second: messages take their turn, and of values only the newest are told",
        ),
        entry(
            'y',
            Self::Lossy,
            "lossy",
            "the next three acks and two pieces of the log are lost, and the connection stands",
        ),
        entry(
            'f',
            Self::Flap,
            "flap",
            "three seconds cut, three seconds not, in turn",
        ),
        entry(
            'k',
            Self::KillServer,
            "kill server",
            "the server is killed with SIGKILL",
        ),
        entry(
            'n',
            Self::StartServer,
            "start server",
            "the server is started again",
        ),
        entry(
            'b',
            Self::PutServerBack,
            "put back",
            "the server is killed, and started again over an older copy of its data",
        ),
        entry(
            'z',
            Self::Sleep,
            "suspend",
            "the server stands still, as a machine that sleeps",
        ),
        entry(
            'q',
            Self::Fill,
            "fill outbox",
            "you type two hundred messages at once",
        ),
        entry('a', Self::Tour, "all in turn", "a tour through all of it"),
        entry(
            'p',
            Self::Pass,
            "pass",
            "every fault ends, and your chat looks at once whether its link is alive",
        ),
    ];

    /// The fault of a key.
    pub(super) fn of_key(key: char) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.fault)
    }

    /// Returns the key that switches the fault on.
    pub(super) fn key(self) -> Option<char> {
        Self::ALL
            .iter()
            .find(|entry| entry.fault == self)
            .map(|entry| entry.key)
    }

    /// Returns what the fault does to a connection.
    pub(super) fn means(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|entry| entry.fault == self)
            .map_or("", |entry| entry.means)
    }

    /// Whether it lasts until [`Fault::Pass`].
    pub(super) const fn lasts(self) -> bool {
        !matches!(
            self,
            Self::StartServer
                | Self::PutServerBack
                | Self::Fill
                | Self::Pass
                | Self::Tour
                | Self::Lossy
        )
    }

    /// What to do to see something of it.
    pub(super) const fn hint(self) -> &'static str {
        match self {
            Self::HalfOpen | Self::DeadUp | Self::DeadDown | Self::Sleep => {
                "nothing yet: type a line (Tab) and silence is noticed in seconds, else within 40"
            }
            Self::Lossy => "nothing yet: type a line (Tab), or wait until somebody says something",
            _ => "",
        }
    }

    /// The word before what it means.
    pub(super) const fn event_name(self) -> &'static str {
        match self {
            Self::Pass | Self::StartServer => "mended",
            Self::Fill | Self::Tour => "now",
            _ => "broken",
        }
    }

    /// Applies what the fault does to connections.
    pub(super) fn apply_to(self, mut apply: impl FnMut(&FaultCommand)) {
        for command in self.commands().iter().filter_map(|text| text.parse().ok()) {
            apply(&command);
        }
    }

    /// What the proxy gets, as it is written.
    const fn commands(self) -> &'static [&'static str] {
        match self {
            Self::Cut => &["cut"],
            Self::HalfOpen => &["half"],
            Self::DeadUp => &["dead up"],
            Self::DeadDown => &["dead down"],
            Self::Latency => &["latency 800ms 300ms"],
            Self::Slow => &["rate 2000"],
            Self::Lossy => &["swallow ack 3", "swallow entries 2"],
            Self::Flap => &["flap 3s"],
            Self::Pass => &["pass"],
            Self::KillServer
            | Self::StartServer
            | Self::PutServerBack
            | Self::Sleep
            | Self::Fill
            | Self::Tour => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_keys_are_unique_and_known_to_the_proxy() {
        for entry in Fault::ALL {
            let fault = entry.fault;
            assert_eq!(
                (Fault::of_key(entry.key), fault.key()),
                (Some(fault), Some(entry.key))
            );
            assert!(
                !matches!(entry.key, 'r' | 'd' | ' ' | '/' | '0'..='9'),
                "{fault:?}"
            );
            assert!(
                fault
                    .commands()
                    .iter()
                    .all(|command| command.parse::<FaultCommand>().is_ok()),
                "{fault:?}"
            );
        }
    }
}
