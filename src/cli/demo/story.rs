//! PURE. What a link went through since something was broken, as one plain line.

use crate::client::brief;
use crate::client::link::LinkState;
use crate::protocol::sanitize_line;

/// A story of a link, as it goes on.
#[derive(Debug, Default)]
pub(super) struct Story {
    was_up: bool,
    lost: Option<String>,
    dials: u32,
    last: Option<String>,
    back: Option<String>,
}

/// What a state of the link is in plain words, after the state before it.
pub(super) fn words(was_up: bool, link: &LinkState) -> String {
    let cause = |cause: &crate::client::Cause| sanitize_line(&cause.to_string()).into_owned();
    match link {
        LinkState::Backoff { cause: why, .. } if was_up => {
            format!("the link is lost: {}", cause(why))
        }
        LinkState::Backoff { cause: why, .. } => format!("not yet: {}", cause(why)),
        LinkState::Connecting { .. } => "dials".to_owned(),
        LinkState::Resyncing { .. } if was_up => "something is missing: asks for it".to_owned(),
        LinkState::Resyncing { .. } => "the link stands: asks what it missed".to_owned(),
        LinkState::Connected { .. } => "connected, and nothing is missing".to_owned(),
        LinkState::Offline { why } => format!("offline: {}", cause(why)),
    }
}

impl Story {
    /// Something else was broken: a new story begins.
    pub(super) fn begin(&mut self) {
        *self = Self {
            was_up: self.was_up,
            ..Self::default()
        };
    }

    /// Whether a link stood at last.
    pub(super) const fn was_up(&self) -> bool {
        self.was_up
    }

    /// The link's next state, so many ms after something was broken.
    pub(super) fn on(&mut self, link: &LinkState, after_ms: Option<u64>) {
        let after = after_ms.map_or_else(String::new, |ms| format!(" after {}", brief(ms)));
        match link {
            LinkState::Backoff { cause, .. } | LinkState::Offline { why: cause }
                if self.was_up || self.lost.is_none() =>
            {
                let why = sanitize_line(&cause.to_string()).into_owned();
                let why = why.strip_prefix("connection lost: ").unwrap_or(&why);
                *self = Self {
                    lost: Some(format!("lost{after}: {why}")),
                    ..Self::default()
                };
            }
            LinkState::Backoff { cause, .. } => {
                self.last = Some(sanitize_line(&cause.to_string()).into_owned())
            }
            LinkState::Connecting { .. } => self.dials += 1,
            LinkState::Connected { .. } => {
                let what = if self.dials > 0 {
                    "connected again"
                } else {
                    "caught up"
                };
                (self.last, self.back) = (None, Some(format!("{what}{after}")));
            }
            LinkState::Resyncing { .. } | LinkState::Offline { .. } => {}
        }
        self.was_up = matches!(
            link,
            LinkState::Connected { .. } | LinkState::Resyncing { .. }
        );
    }
}

impl std::fmt::Display for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dials = match (self.dials, &self.last) {
            (0, _) => None,
            (1, None) => Some("dials once".to_owned()),
            (dials, None) => Some(format!("dials {dials} times")),
            (1, Some(last)) => Some(format!("dials once: {last}")),
            (dials, Some(last)) => Some(format!("dials {dials} times: {last}")),
        };
        let parts: Vec<_> = [self.lost.clone(), dials, self.back.clone()]
            .into_iter()
            .flatten()
            .collect();
        f.write_str(&parts.join(" · "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::Cause;

    #[test]
    fn story_of_a_cut_connection_is_one_line() {
        let mut story = Story::default();
        let up = LinkState::Connected { rtt: None };
        let waits = |cause| LinkState::Backoff {
            attempt: 1,
            until: Duration::ZERO,
            cause,
        };
        story.on(&up, None);
        story.begin();
        assert_eq!(story.to_string(), "");
        story.on(
            &waits(Cause::Dropped {
                what: "reset".to_owned(),
            }),
            Some(3),
        );
        assert_eq!(story.to_string(), "lost after 3 ms: reset");
        for _ in 0..2 {
            story.on(&LinkState::Connecting { attempt: 2 }, Some(500));
            story.on(&waits(Cause::Refused), Some(500));
        }
        assert_eq!(
            story.to_string(),
            "lost after 3 ms: reset · dials 2 times: connection refused (is the server running?)"
        );
        story.on(&up, Some(2_100));
        assert_eq!(
            story.to_string(),
            "lost after 3 ms: reset · dials 2 times · connected again after 2.1 s"
        );
        story.on(&waits(Cause::Refused), Some(9_000));
        assert_eq!(
            story.to_string(),
            "lost after 9.0 s: connection refused (is the server running?)",
            "another one"
        );
        story.on(&up, None);
        story.begin();
        story.on(
            &LinkState::Resyncing {
                rooms_left: 1,
                entries_left: 2,
            },
            Some(700),
        );
        story.on(&up, Some(800));
        assert_eq!(story.to_string(), "caught up after 800 ms");
    }
}
