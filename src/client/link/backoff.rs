//! PURE. The delay before the next dial, and when to give up.
//!
//! Exponential backoff with full jitter (Brooker, AWS Architecture Blog, 2015). A server's hint has
//! priority.

use std::time::Duration;

use super::Now;
use super::timing::BACKOFF_FIRST;
use crate::client::cause::Cause;
use crate::client::ring_buffer::RingBuffer;
use crate::planted_bug::planted_bug;
use crate::protocol::CloseAction;

/// The user's settings of a link.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// Maximum consecutive failed dials before giving up; `None` for no limit.
    pub max_attempts: Option<u32>,
    /// Maximum time without a connection before giving up; `None` for no limit.
    pub give_up_after: Option<Duration>,
    /// Interval of checks after giving up; `None` for no checks.
    pub probe_every: Option<Duration>,
    /// Maximum delay between two dials.
    pub backoff_max: Duration,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            max_attempts: None,
            give_up_after: None,
            probe_every: None,
            backoff_max: Duration::from_secs(30),
        }
    }
}

/// The longest hint of a server that is followed.
const HINT_MAX: Duration = Duration::from_secs(300);

/// The limits of retries, and how close they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Number of consecutive failed dials.
    pub failures: u32,
    pub max_attempts: Option<u32>,
    /// When the time limit is reached.
    pub gives_up_at: Option<Now>,
    /// After giving up: the time of the next check.
    pub next_check: Option<Now>,
}

impl Limits {
    /// No failures and no limits.
    pub const NONE: Self = Self {
        failures: 0,
        max_attempts: None,
        gives_up_at: None,
        next_check: None,
    };
}

/// A delay before a dial, and the upper bound from which it was drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait {
    pub drawn: Duration,
    /// The longest that could have been drawn; the same, when a server sent the delay.
    pub longest: Duration,
}

/// The reaction to a failed connection.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Next {
    Dial {
        after: Duration,
    },
    /// Not before the user asks, or the next probe is due.
    Stop {
        why: Cause,
        check_after: Option<Duration>,
    },
}

/// The delays between dials.
#[derive(Debug)]
pub(crate) struct Backoff {
    settings: LinkSettings,
    rng: fastrand::Rng,
    failures: u32,
    failing_since: Option<Now>,
    /// Whether the limit was reached; further dials are periodic checks.
    gave_up: bool,
    waits: RingBuffer<Wait, 32>,
}

impl Backoff {
    pub(super) fn new(settings: LinkSettings, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self {
            settings,
            rng,
            failures: 0,
            failing_since: None,
            gave_up: false,
            waits: RingBuffer::default(),
        }
    }

    /// Number of consecutive failed connections.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Resets after a stable connection, or when the user reconnects.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
        self.failing_since = None;
        self.gave_up = false;
    }

    /// Counts a failed connection or dial.
    pub(super) fn on_failed(&mut self, cause: &Cause, now: Now) -> Next {
        self.failing_since.get_or_insert(now);
        self.failures = self.failures.saturating_add(u32::from(!self.gave_up));
        self.next(cause, now)
    }

    /// Decides about the dial after a failure that was counted.
    pub(super) fn next(&mut self, cause: &Cause, now: Now) -> Next {
        let since = self.failing_since.unwrap_or(now);
        match self.gives_up(cause, now.saturating_sub(since)) {
            Some(why @ Cause::GaveUp { .. }) => {
                self.gave_up = true;
                Next::Stop {
                    why,
                    check_after: self.settings.probe_every,
                }
            }
            Some(why) => Next::Stop {
                why,
                check_after: None,
            },
            None => Next::Dial {
                after: self.delay(cause),
            },
        }
    }

    fn gives_up(&self, cause: &Cause, failing_for: Duration) -> Option<Cause> {
        if cause.stops() {
            return Some(cause.clone());
        }
        let out_of_attempts = self
            .settings
            .max_attempts
            .is_some_and(|max| self.failures >= max);
        let out_of_time = self
            .settings
            .give_up_after
            .is_some_and(|max| failing_for >= max);
        (out_of_attempts || out_of_time).then(|| Cause::GaveUp {
            attempts: self.failures,
            last: cause.to_string(),
        })
    }

    fn delay(&mut self, cause: &Cause) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let ceiling = BACKOFF_FIRST
            .saturating_mul(1 << doublings)
            .min(self.settings.backoff_max);
        let drawn = if planted_bug!(NoJitter) {
            ceiling
        } else {
            ceiling.mul_f64(self.rng.f64())
        };
        let wait = match cause {
            // The server's hint never shortens our own delay, except the first one: a restarting
            // server spreads its clients.
            Cause::Bye {
                retry_after: Some(hint),
                ..
            } if self.failures == 1 => fixed((*hint).min(HINT_MAX)),
            Cause::Bye {
                retry_after: Some(hint),
                ..
            } => {
                let hint = (*hint).min(HINT_MAX);
                Wait {
                    drawn: hint.max(drawn),
                    longest: hint.max(ceiling),
                }
            }
            Cause::Bye { code, .. }
                if code.action() == CloseAction::RetryNow && self.failures == 1 =>
            {
                fixed(Duration::ZERO)
            }
            _ => Wait {
                drawn,
                longest: ceiling,
            },
        };
        debug_assert!(wait.drawn <= wait.longest, "{wait:?}");
        self.waits.push(wait);
        wait.drawn
    }

    /// Returns the retry limits, and how close they are: attempts so far, and the end of the time.
    pub(crate) fn limits(&self) -> Limits {
        debug_assert_eq!(self.failing_since.is_some(), self.failures > 0);
        Limits {
            failures: self.failures,
            max_attempts: self.settings.max_attempts,
            next_check: None,
            gives_up_at: self
                .failing_since
                .zip(self.settings.give_up_after)
                .map(|(since, after)| since + after),
        }
    }

    /// The delays before dials, from old to new.
    pub(crate) fn waits(&self) -> impl Iterator<Item = &Wait> {
        self.waits.iter()
    }

    /// Returns the current or last delay.
    pub(crate) fn last_wait(&self) -> Option<Wait> {
        self.waits.iter().last().copied()
    }
}

const fn fixed(wait: Duration) -> Wait {
    Wait {
        drawn: wait,
        longest: wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::CloseCode;

    const SEED: u64 = 7;

    fn bye(code: CloseCode, retry_after: Option<Duration>) -> Cause {
        Cause::Bye {
            code,
            reason: String::new(),
            retry_after,
        }
    }

    /// The waits after failures in a row.
    fn waits_of(cause: &Cause, count: usize) -> Vec<Wait> {
        let mut backoff = Backoff::new(LinkSettings::default(), SEED);
        for _ in 0..count {
            let next = backoff.on_failed(cause, Now::ZERO);
            assert_eq!(
                next,
                Next::Dial {
                    after: backoff.last_wait().expect("a wait").drawn
                }
            );
        }
        backoff.waits().copied().collect()
    }

    #[test]
    fn ceiling_doubles_up_to_the_longest() {
        let waits = waits_of(&Cause::Refused, 40);
        let longest: Vec<u128> = waits
            .iter()
            .map(|wait| wait.longest.as_millis())
            .take(8)
            .collect();
        assert_eq!(waits.len(), 32, "the last ones are kept");
        assert_eq!(longest[..], [30_000; 8], "and the first ones are not");
        let first: Vec<u128> = waits_of(&Cause::Refused, 9)
            .iter()
            .map(|wait| wait.longest.as_millis())
            .collect();
        assert_eq!(
            first,
            [
                500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000
            ]
        );
        assert!(waits.iter().all(|wait| wait.drawn <= wait.longest));
        assert!(
            waits.iter().any(|wait| wait.drawn < wait.longest / 2),
            "jitter"
        );
    }

    #[test]
    fn backoff_with_server_hint_starts_with_it() {
        let hint = Duration::from_secs(3);
        let waits = waits_of(&bye(CloseCode::Draining, Some(hint)), 8);
        assert_eq!(
            waits[0],
            Wait {
                drawn: hint,
                longest: hint
            }
        );
        assert_eq!(
            waits[1],
            Wait {
                drawn: hint,
                longest: hint
            },
            "ours would be up to 1 s"
        );
        assert_eq!(waits[7].longest, Duration::from_secs(30));
        assert!(waits.iter().all(|wait| wait.drawn >= hint));
        let short = Duration::from_millis(100);
        let first = waits_of(&bye(CloseCode::Draining, Some(short)), 2);
        assert_eq!(
            first[0],
            Wait {
                drawn: short,
                longest: short
            },
            "clients are spread by the server, not by us"
        );
        assert_eq!(
            first[1].longest,
            Duration::from_secs(1),
            "it was not enough"
        );
        let long = waits_of(
            &bye(CloseCode::Draining, Some(Duration::from_secs(9_999))),
            2,
        );
        assert_eq!(
            long.iter().map(|wait| wait.drawn).collect::<Vec<_>>(),
            [HINT_MAX, HINT_MAX]
        );
    }

    #[test]
    fn close_with_retry_now_is_obeyed_once() {
        assert_eq!(CloseCode::StaleDial.action(), CloseAction::RetryNow);
        let waits = waits_of(&bye(CloseCode::StaleDial, None), 2);
        assert_eq!(
            waits[0],
            Wait {
                drawn: Duration::ZERO,
                longest: Duration::ZERO
            }
        );
        assert_eq!(waits[1].longest, BACKOFF_FIRST * 2);
        let other = waits_of(&bye(CloseCode::Overloaded, None), 1);
        assert_eq!(other[0].longest, BACKOFF_FIRST, "others are not");
    }

    #[test]
    fn backoff_limits_end_it_and_reset_restarts_it() {
        let settings = LinkSettings {
            max_attempts: Some(3),
            give_up_after: Some(Duration::from_secs(60)),
            probe_every: Some(Duration::from_secs(5)),
            ..LinkSettings::default()
        };
        let mut backoff = Backoff::new(settings, SEED);
        assert_eq!(
            backoff.limits(),
            Limits {
                max_attempts: Some(3),
                ..Limits::NONE
            }
        );
        let at = Duration::from_secs;
        assert!(matches!(
            backoff.on_failed(&Cause::Refused, at(1)),
            Next::Dial { .. }
        ));
        let limits = backoff.limits();
        assert_eq!((limits.failures, limits.gives_up_at), (1, Some(at(61))));
        assert!(
            matches!(
                backoff.on_failed(&Cause::Refused, at(60)),
                Next::Dial { .. }
            ),
            "59 s and two tries"
        );
        let stops = |next: &Next, tries: u32| matches!(next, Next::Stop { why: Cause::GaveUp { attempts, .. }, check_after: Some(after) } if *attempts == tries && *after == at(5));
        assert!(stops(&backoff.on_failed(&Cause::Refused, at(60)), 3));
        assert!(
            stops(&backoff.on_failed(&Cause::Refused, at(61)), 3),
            "a look is no try"
        );
        assert_eq!(backoff.failures(), 3);
        backoff.reset();
        assert_eq!(
            (backoff.failures(), backoff.limits().gives_up_at),
            (0, None)
        );
        assert!(matches!(
            backoff.on_failed(&Cause::Refused, at(100)),
            Next::Dial { .. }
        ));
        assert!(
            stops(&backoff.on_failed(&Cause::Refused, at(160)), 2),
            "the time is up"
        );
        backoff.reset();
        let unknown = bye(CloseCode::Unauthorized, None);
        assert_eq!(
            backoff.on_failed(&unknown, at(200)),
            Next::Stop {
                why: unknown,
                check_after: None
            }
        );
    }
}
