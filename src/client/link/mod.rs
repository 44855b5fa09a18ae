//! PURE. The link state of a client: dials, heartbeats that are sent early when an answer is late,
//! and backoff.
//!
//! The rules are those of PROTOCOL.md, "The link". This core neither dials nor waits: the
//! [`super::session`] asks at a given time what is due. Only a reply proves that a connection works
//! both ways. Inbound bytes merely extend a deadline, at most threefold, so a dead uplink is detected
//! while the peer keeps sending.

mod backoff;
mod moves;
mod patience;
mod phase;
mod state;
pub mod timing;
mod up;

use std::time::Duration;

use self::backoff::{Backoff, Next};
pub use self::backoff::{Limits, LinkSettings, Wait};
pub use self::moves::{MOVES, Move, diagram, is_move};
use self::patience::{DIAL_DEADLINE, HANDSHAKE_DEADLINE, Patience};
pub use self::phase::LinkPhase;
pub use self::state::{LinkState, Timers};
use self::timing::{PONG_DEADLINE, STABLE_AFTER};
pub(crate) use self::up::{Up, Waiting};
use super::cause::Cause;
use crate::planted_bug::planted_bug;
use crate::protocol::{CloseAction, CloseCode, Dial};

pub use crate::protocol::Now;

/// A dial is not replaced by a new one before this time.
const DIAL_PATIENCE: Duration = Duration::from_secs(1);

/// What is due at a given time.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Due {
    Nothing,
    Dial(Dial),
    Ping(u64),
    /// The deadline of this dial passed.
    Dead(Dial, Cause),
}

/// The phase of the current connection attempt, with its data. [`LinkState`] is what others see of it;
/// [`LinkPhase`] is only the name of that state, without data.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum ConnectionPhase {
    Offline {
        why: Cause,
        next_check: Option<Now>,
    },
    Backoff {
        until: Now,
        cause: Cause,
    },
    Dialing {
        dial: Dial,
        since: Now,
        deadline: Now,
    },
    Handshake {
        dial: Dial,
        since: Now,
        deadline: Now,
    },
    Up(Up),
}

/// The link state machine of a client. It owns the current connection attempt, the backoff, and the
/// estimate of the round-trip time; sockets belong to the driver.
///
/// The session reports events by `on_*`, and calls [`Link::poll`] at [`Link::deadline`]; the returned
/// [`Due`] is carried out by the session.
///
/// Invariants:
/// - At most one dial is current; inputs of other dials do not count.
/// - A phase changes only along [`MOVES`].
/// - A connection without any reply ends after a bounded time.
#[derive(Debug)]
pub(crate) struct Link {
    backoff: Backoff,
    phase: ConnectionPhase,
    dial: Dial,
    patience: Patience,
    pings: u64,
    /// Why the last connection ended, until the next one is welcomed.
    last_cause: Option<Cause>,
}

impl Link {
    pub(crate) fn new(settings: LinkSettings, seed: u64, now: Now) -> Self {
        Self {
            backoff: Backoff::new(settings, seed),
            phase: ConnectionPhase::Backoff {
                until: now,
                cause: Cause::Start,
            },
            dial: Dial(0),
            patience: Patience::default(),
            pings: 0,
            last_cause: None,
        }
    }

    pub(crate) const fn phase(&self) -> &ConnectionPhase {
        &self.phase
    }

    pub(crate) const fn up(&self) -> Option<&Up> {
        match &self.phase {
            ConnectionPhase::Up(up) => Some(up),
            _ => None,
        }
    }

    /// Whether the connection is welcomed.
    pub(crate) const fn is_up(&self) -> bool {
        self.up().is_some()
    }

    const fn up_mut(&mut self) -> Option<&mut Up> {
        match &mut self.phase {
            ConnectionPhase::Up(up) => Some(up),
            _ => None,
        }
    }

    /// Returns the dial whose inputs count; all others belong to abandoned connections.
    pub(crate) const fn current(&self) -> Option<Dial> {
        match &self.phase {
            ConnectionPhase::Dialing { dial, .. } | ConnectionPhase::Handshake { dial, .. } => {
                Some(*dial)
            }
            ConnectionPhase::Up(up) => Some(up.dial),
            ConnectionPhase::Offline { .. } | ConnectionPhase::Backoff { .. } => None,
        }
    }

    /// Returns why the last connection ended, until the next one is welcomed.
    pub(crate) const fn last_cause(&self) -> Option<&Cause> {
        self.last_cause.as_ref()
    }

    /// Abandons a slow dial in favour of a new one, after Ctrl-R or a change of the network.
    pub(crate) fn abandon_dial(&mut self, now: Now) -> Option<Dial> {
        let (dial, since) = match self.phase {
            ConnectionPhase::Dialing { dial, since, .. }
            | ConnectionPhase::Handshake { dial, since, .. } => (dial, since),
            ConnectionPhase::Offline { .. }
            | ConnectionPhase::Backoff { .. }
            | ConnectionPhase::Up(_) => return None,
        };
        if now.saturating_sub(since) < DIAL_PATIENCE {
            return None;
        }
        self.phase = ConnectionPhase::Backoff {
            until: now,
            cause: Cause::DialTimeout,
        };
        Some(dial)
    }

    /// Returns the latest dial, also after its end.
    pub(crate) const fn last_dial(&self) -> Dial {
        self.dial
    }

    pub(crate) const fn rtt(&self) -> Option<Duration> {
        self.patience.rtt()
    }

    pub(crate) const fn attempt(&self) -> u32 {
        self.backoff.failures() + 1
    }

    /// Returns the limits of retries, and how close they are.
    pub(crate) fn limits(&self) -> Limits {
        let next_check = match self.phase {
            ConnectionPhase::Offline { next_check, .. } => next_check,
            _ => None,
        };
        Limits {
            next_check,
            ..self.backoff.limits()
        }
    }

    /// Returns the backoff.
    pub(crate) const fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// Number of doublings of the deadlines.
    pub(crate) const fn doublings(&self) -> u32 {
        self.patience.doublings()
    }

    /// Returns when to call [`Link::poll`] next.
    pub(crate) fn deadline(&self) -> Option<Now> {
        match &self.phase {
            ConnectionPhase::Offline { next_check, .. } => *next_check,
            ConnectionPhase::Backoff { until, .. } => Some(*until),
            ConnectionPhase::Dialing { deadline, .. }
            | ConnectionPhase::Handshake { deadline, .. } => Some(*deadline),
            ConnectionPhase::Up(up) => Some(up.deadline(&self.patience)),
        }
    }

    /// Returns what is due at `now`.
    pub(crate) fn poll(&mut self, now: Now) -> Due {
        match &self.phase {
            ConnectionPhase::Offline {
                next_check: Some(at),
                ..
            } if now >= *at => self.start_dial(now),
            ConnectionPhase::Offline { .. } => Due::Nothing,
            ConnectionPhase::Backoff { until, .. } if now >= *until => self.start_dial(now),
            ConnectionPhase::Dialing { dial, deadline, .. } if now >= *deadline => {
                Due::Dead(*dial, Cause::DialTimeout)
            }
            ConnectionPhase::Handshake { dial, deadline, .. } if now >= *deadline => {
                Due::Dead(*dial, Cause::HandshakeTimeout)
            }
            ConnectionPhase::Backoff { .. }
            | ConnectionPhase::Dialing { .. }
            | ConnectionPhase::Handshake { .. } => Due::Nothing,
            ConnectionPhase::Up(up) => {
                let suspicion = up.suspicion_due(&self.patience);
                let is_suspect = suspicion.is_some_and(|due| now >= due);
                match &up.ping {
                    Some(ping) if now >= up.pong_deadline(ping) => Due::Dead(
                        up.dial,
                        Cause::NoAnswer {
                            waited: now.saturating_sub(ping.sent_at),
                        },
                    ),
                    Some(_) if is_suspect => self.tighten(now),
                    None if is_suspect => self.ping(now, self.patience.suspicion_deadline()),
                    None if now >= up.ping_due(&self.patience) => self.ping(now, PONG_DEADLINE),
                    Some(_) | None => Due::Nothing,
                }
            }
        }
    }

    fn start_dial(&mut self, now: Now) -> Due {
        debug_assert!(self.current().is_none(), "one dial at a time");
        self.dial = self.dial.next();
        self.phase = ConnectionPhase::Dialing {
            dial: self.dial,
            since: now,
            deadline: now + self.patience.doubled(DIAL_DEADLINE),
        };
        Due::Dial(self.dial)
    }

    fn ping(&mut self, now: Now, base: Duration) -> Due {
        let ConnectionPhase::Up(up) = &mut self.phase else {
            return Due::Nothing;
        };
        self.pings += 1;
        up.start_ping(self.pings, base, &self.patience, now);
        Due::Ping(self.pings)
    }

    /// An ack is late while a ping is unanswered: the ping gets the short deadline.
    fn tighten(&mut self, now: Now) -> Due {
        if let ConnectionPhase::Up(up) = &mut self.phase {
            up.tighten(&self.patience, now);
        }
        Due::Nothing
    }

    /// How long an ack may take on a connection that answers pings. After this time the entry is sent
    /// again; after twice the time, the connection ends.
    pub(crate) fn ack_patience(&self) -> Duration {
        self.patience.ack(self.unproved())
    }

    /// Bytes sent whose arrival no reply has proved.
    pub(crate) fn unproved(&self) -> u64 {
        self.up().map_or(0, Up::unproved)
    }

    /// Pings, unless a ping is unanswered.
    pub(crate) fn probe(&mut self, now: Now) -> Due {
        match self.up() {
            Some(Up { ping: None, .. }) => self.ping(now, PONG_DEADLINE),
            Some(_) | None => Due::Nothing,
        }
    }

    /// The connection is open and `hello` is sent.
    pub(crate) fn on_opened(&mut self, dial: Dial, now: Now) {
        self.phase = ConnectionPhase::Handshake {
            dial,
            since: now,
            deadline: now + self.patience.doubled(HANDSHAKE_DEADLINE),
        };
    }

    /// The server sent its welcome.
    pub(crate) fn on_welcome(&mut self, dial: Dial, heartbeat: Duration, now: Now) {
        if let ConnectionPhase::Handshake { since, .. } = self.phase {
            self.patience.on_handshake(now.saturating_sub(since));
        }
        self.last_cause = None;
        self.patience.interval = heartbeat.clamp(Duration::from_secs(1), Duration::from_secs(600));
        self.phase = ConnectionPhase::Up(Up::new(dial, now));
    }

    /// Bytes arrived. This proves only that the inbound direction works.
    pub(crate) fn on_bytes(&mut self, now: Now) {
        if let Some(up) = self.up_mut() {
            up.on_bytes(now);
        }
    }

    /// A frame was sent. Returns the number of bytes sent up to its end. A reply to the frame proves
    /// that all of them arrived.
    pub(crate) fn on_sent(&mut self, bytes: usize, now: Now) -> u64 {
        self.up_mut().map_or(0, |up| up.on_sent(bytes, now))
    }

    /// Whether a reply to a later frame proved that everything up to `sent_up_to` arrived.
    pub(crate) fn has_proved(&self, sent_up_to: u64) -> bool {
        self.up().is_some_and(|up| up.has_proved(sent_up_to))
    }

    /// A frame that was sent at `sent_at`, and ended after `sent_up_to` bytes, was replied to: the
    /// connection works both ways.
    pub(crate) fn on_answer(&mut self, sent_at: Now, sent_up_to: u64, now: Now) {
        self.patience.on_round_trip(now.saturating_sub(sent_at));
        if let Some(up) = self.up_mut() {
            up.on_answer(sent_up_to, now);
        }
    }

    /// A pong. An unsolicited one proves nothing.
    pub(crate) fn on_pong(&mut self, n: u64, now: Now) {
        let Some(proof) = self.up_mut().and_then(|up| up.on_pong(n, now)) else {
            return;
        };
        if proof.is_quick {
            self.patience.on_quick_reply();
        }
        self.on_answer(proof.sent_at, proof.sent_up_to, now);
    }

    /// Sets the oldest entry without an answer.
    pub(crate) const fn set_waiting(&mut self, waiting: Option<Waiting>) {
        if let Some(up) = self.up_mut() {
            up.waiting = waiting;
        }
    }

    /// The connection ended, or could not be opened.
    pub(crate) fn on_ended(&mut self, cause: Cause, now: Now) {
        if let ConnectionPhase::Up(up) = &self.phase
            && (now.saturating_sub(up.since) >= STABLE_AFTER || planted_bug!(BackoffForgets))
        {
            self.backoff.reset();
        }
        if cause.is_deadline() {
            self.patience.on_timeout();
        }
        let next = self.backoff.on_failed(&cause, now);
        self.wait(next, cause, now);
    }

    /// The instance that has replaced this one is an earlier process of this profile. The link dials,
    /// the first time at once: two that replace each other get slower like any failure.
    pub(crate) fn on_replaced_by_own(&mut self, now: Now) -> Due {
        if self.backoff.failures() == 1 {
            return self.start_dial(now);
        }
        let what = "another process of this profile was connected".to_owned();
        let cause = Cause::Dropped { what };
        let next = self.backoff.next(&cause, now);
        self.wait(next, cause, now);
        Due::Nothing
    }

    fn wait(&mut self, next: Next, cause: Cause, now: Now) {
        self.last_cause = Some(cause.clone());
        self.phase = match next {
            Next::Dial { after } => ConnectionPhase::Backoff {
                until: now + after,
                cause,
            },
            Next::Stop { why, check_after } => ConnectionPhase::Offline {
                why,
                next_check: check_after.map(|after| now + after),
            },
        };
    }

    /// The latest round-trip times, from old to new.
    pub(crate) fn rtts(&self) -> impl Iterator<Item = &Duration> {
        self.patience.rtts()
    }

    /// Time since the welcome.
    pub(crate) fn uptime(&self, now: Now) -> Option<Duration> {
        self.up().map(|up| now.saturating_sub(up.since))
    }

    /// Dials now, or probes the open connection: after Ctrl-R, a change of the network, or a wake-up.
    pub(crate) fn retry_now(&mut self, now: Now) -> Due {
        match &self.phase {
            ConnectionPhase::Offline { .. } => {
                self.backoff.reset();
                self.start_dial(now)
            }
            ConnectionPhase::Backoff { .. } => self.start_dial(now),
            ConnectionPhase::Dialing { .. } | ConnectionPhase::Handshake { .. } => Due::Nothing,
            ConnectionPhase::Up(up) => match &up.ping {
                None => self.ping(now, self.patience.suspicion_deadline()),
                Some(_) => self.tighten(now),
            },
        }
    }

    /// The machine has slept, or its network changed. During a backoff, or after giving up, it dials
    /// now; an open connection is probed. A user who went offline stays offline.
    pub(crate) fn on_network_changed(&mut self, now: Now) -> Due {
        match &self.phase {
            ConnectionPhase::Offline { why, .. } if !matches!(why, Cause::GaveUp { .. }) => {
                Due::Nothing
            }
            ConnectionPhase::Offline { .. }
            | ConnectionPhase::Backoff { .. }
            | ConnectionPhase::Dialing { .. }
            | ConnectionPhase::Handshake { .. }
            | ConnectionPhase::Up(_) => self.retry_now(now),
        }
    }

    /// Stops dialling until the user asks.
    pub(crate) fn go_offline(&mut self, why: Cause) {
        self.phase = ConnectionPhase::Offline {
            why,
            next_check: None,
        };
    }

    /// Whether the reaction to a `bye` of this code depends on the instance that it names.
    pub(crate) fn is_by_instance(code: CloseCode) -> bool {
        code.action() == CloseAction::ByInstance
    }
}

/// Rounds a round-trip time down to 1, 2, 5, 10 … ms. A rounded value does not flicker, and causes no
/// redraw at rest.
pub(crate) fn coarse(rtt: Duration) -> Duration {
    let ms = rtt.as_millis() as u64;
    let steps = (0..5).flat_map(|power| [1, 2, 5].map(|step| step * 10_u64.pow(power)));
    Duration::from_millis(steps.filter(|step| *step <= ms).max().unwrap_or(0))
}

#[cfg(test)]
mod tests;
