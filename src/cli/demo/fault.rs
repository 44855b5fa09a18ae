//! PURE. What the demo breaks and mends, and what that means in a plain line.

/// Something to break, or to mend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Cut,
    HalfOpen,
    DeadDown,
    PutServerBack,
    StartServer,
    Pass,
}

impl Fault {
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::Cut, "the connection is reset, and new ones are refused"),
        (Self::HalfOpen, "bytes vanish both ways, and the connection seems to stand"),
        (Self::DeadDown, "what the server says vanishes, while it hears you"),
        (Self::PutServerBack, "the server is killed, and an older copy of its data put in place"),
        (Self::StartServer, "the server is started again"),
        (Self::Pass, "every fault ends"),
    ];

    /// What it means.
    pub(super) fn means(self) -> &'static str {
        Self::ALL.iter().find(|(fault, _)| *fault == self).map_or("", |(_, means)| means)
    }

    /// What the proxy is told.
    pub(super) const fn command(self) -> Option<&'static str> {
        match self {
            Self::Cut => Some("cut"),
            Self::HalfOpen => Some("half"),
            Self::DeadDown => Some("dead down"),
            Self::Pass => Some("pass"),
            Self::StartServer | Self::PutServerBack => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::Command;

    #[test]
    fn the_proxy_knows_what_it_is_told() {
        for (fault, _) in Fault::ALL {
            assert!(fault.command().is_none_or(|command| command.parse::<Command>().is_ok()), "{fault:?}");
        }
    }
}
