//! PURE. Everything that a visitor can break in free play: its key, its name, and its caption.

use super::process::ServerAction;
use crate::chaos::FaultCommand;

/// Something to break, or to repair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Cut,
    Silent,
    DeafServer,
    DeafClient,
    Latency,
    Slow,
    LoseAnswers,
    Flap,
    KillServer,
    StartServer,
    RestoreServer,
    FreezeServer,
    Flood,
    Repair,
}

/// A fault, as a visitor sees it.
pub(super) struct FaultEntry {
    pub(super) key: char,
    pub(super) fault: Fault,
    /// Beside its key.
    pub(super) name: &'static str,
    pub(super) headline: &'static str,
    pub(super) sentence: &'static str,
}

const fn entry(
    key: char,
    fault: Fault,
    name: &'static str,
    headline: &'static str,
    sentence: &'static str,
) -> FaultEntry {
    FaultEntry {
        key,
        fault,
        name,
        headline,
        sentence,
    }
}

/// All faults, in the order of the keys on the screen.
pub(super) const FAULTS: [FaultEntry; 14] = [
    entry(
        'c',
        Fault::Cut,
        "cut",
        "The cable is cut.",
        "New lines are saved on this computer, and sent when the cable is back.",
    ),
    entry(
        'h',
        Fault::Silent,
        "silent",
        "The connection is silent.",
        "The network swallows everything, both ways, and reports nothing. Only a missing answer shows it.",
    ),
    entry(
        'u',
        Fault::DeafServer,
        "deaf server",
        "The server hears nothing.",
        "What Ana sends vanishes; what others write still arrives.",
    ),
    entry(
        'w',
        Fault::DeafClient,
        "deaf client",
        "Ana hears nothing.",
        "What she sends arrives; every answer vanishes.",
    ),
    entry(
        'l',
        Fault::Latency,
        "latency",
        "A long way: 800 ms more.",
        "Every byte takes 800 ms longer, each way, and up to 300 ms more at random.",
    ),
    entry(
        's',
        Fault::Slow,
        "slow",
        "Slow connection: 3 kB/s.",
        "Messages wait their turn and all arrive. Gauges skip: only the newest value is sent.",
    ),
    entry(
        'y',
        Fault::LoseAnswers,
        "lose 3 answers",
        "Three answers will be lost.",
        "The next lines arrive, but no chat can know it. Both must send them again.",
    ),
    entry(
        'f',
        Fault::Flap,
        "flapping",
        "The network comes and goes.",
        "It is cut for three seconds, then not for three, again and again.",
    ),
    entry(
        'k',
        Fault::KillServer,
        "kill -9 server",
        "The servers are killed.",
        "SIGKILL: they have no time to save or to say anything.",
    ),
    entry(
        'n',
        Fault::StartServer,
        "start server",
        "The servers start.",
        "Each client reconnects at its next attempt.",
    ),
    entry(
        'b',
        Fault::RestoreServer,
        "restore old backup",
        "An old backup is put back.",
        "The servers forget what came after it. Landfall's clients give it back.",
    ),
    entry(
        'z',
        Fault::FreezeServer,
        "freeze server",
        "The servers hang.",
        "Their processes are stopped (SIGSTOP): they accept bytes and answer nothing.",
    ),
    entry(
        'o',
        Fault::Flood,
        "200 messages at once",
        "Ana sends 200 messages.",
        "They are saved first, and sent as fast as the server permits.",
    ),
    entry(
        'p',
        Fault::Repair,
        "repair all",
        "Everything is repaired.",
        "All faults end. What is on disk is sent now.",
    ),
];

impl Fault {
    /// The fault of a key.
    pub(super) fn of_key(key: char) -> Option<&'static FaultEntry> {
        FAULTS.iter().find(|entry| entry.key == key)
    }

    /// Whether the servers are well after it: a copy of their data is worth something.
    pub(super) const fn leaves_servers_well(self) -> bool {
        !matches!(
            self,
            Self::KillServer | Self::FreezeServer | Self::RestoreServer
        )
    }

    /// What is done to the servers.
    pub(super) const fn server_action(self) -> Option<ServerAction> {
        match self {
            Self::KillServer => Some(ServerAction::Kill),
            Self::StartServer => Some(ServerAction::Start),
            Self::RestoreServer => Some(ServerAction::Restore),
            Self::FreezeServer => Some(ServerAction::Stop),
            _ => None,
        }
    }

    /// What is done to the networks.
    pub(super) fn network_commands(self) -> Vec<FaultCommand> {
        let commands = self.commands().iter();
        commands.filter_map(|text| text.parse().ok()).collect()
    }

    /// The commands of the proxies, as they are written.
    const fn commands(self) -> &'static [&'static str] {
        match self {
            Self::Cut => &["cut"],
            Self::Silent => &["half"],
            Self::DeafServer => &["dead up"],
            Self::DeafClient => &["dead down"],
            Self::Latency => &["latency 800ms 300ms"],
            Self::Slow => &["rate 3000"],
            Self::LoseAnswers => &["swallow ack 3", "swallow entries 3", "swallow line 3"],
            Self::Flap => &["flap 3s"],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_keys_are_unique_and_known_to_the_proxy() {
        for entry in &FAULTS {
            let found = Fault::of_key(entry.key).expect("a fault");
            assert_eq!(found.fault, entry.fault);
            let commands = entry.fault.commands();
            assert_eq!(entry.fault.network_commands().len(), commands.len());
            assert!(!matches!(
                entry.key,
                'v' | 'e' | 'q' | ' ' | '?' | '0'..='9'
            ));
        }
    }
}
