//! PURE. One link's life: its states, its heartbeat with early suspicion, its backoff.
//!
//! The rules are those of PROTOCOL.md, "The link". Nothing here dials or waits: the
//! [`super::session`] asks what to do at a time it is given. A link is trusted only while the other
//! side *answers*; inbound bytes alone stretch a deadline, and to three times at most, so a link
//! whose way out is dead is noticed though the other side keeps talking.

mod backoff;
mod moves;
mod phase;
mod state;

use std::time::Duration;

use self::backoff::{Backoff, Next};
pub use self::backoff::{Limits, LinkSettings, Wait};
pub use self::moves::{MOVES, diagram, is_move};
pub use self::phase::LinkPhase;
pub use self::state::{LinkState, Timers};
use super::cause::Cause;
use super::ring_buffer::RingBuffer;
use crate::planted_bug::planted_bug;
use crate::protocol::{CloseAction, CloseCode, Dial, limits};

pub use crate::protocol::Now;

/// A connection that lasted for so long resets the backoff.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Deadlines, before they grow.
/// A dial is not given up before this, even when another one is wanted.
const DIAL_PATIENCE: Duration = Duration::from_secs(1);
const DIAL_DEADLINE: Duration = Duration::from_secs(10);
const GREETING_DEADLINE: Duration = Duration::from_secs(10);
const PONG_DEADLINE: Duration = Duration::from_secs(10);
const SUSPICION_AFTER: Duration = Duration::from_secs(2);
const SUSPICION_DEADLINE: Duration = Duration::from_secs(3);
const ACK_DEADLINE: Duration = Duration::from_secs(10);
/// No deadline is doubled past this.
const DEADLINE_MAX: Duration = Duration::from_secs(120);
/// The slowest link that is still a link, bytes each second.
const SLOWEST_BYTES_PER_SECOND: u64 = 1_000;

/// What the session is to do about the link now.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Due {
    Nothing,
    Dial(Dial),
    Ping(u64),
    /// The deadline of this dial passed.
    Dead(Dial, Cause),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum ConnectionPhase {
    Offline {
        why: Cause,
        look_at: Option<Now>,
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
    Greeting {
        dial: Dial,
        since: Now,
        deadline: Now,
    },
    Up(Up),
}

/// A link that was welcomed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Up {
    pub(crate) dial: Dial,
    since: Now,
    last_in: Now,
    last_out: Now,
    last_answer: Now,
    ping: Option<Ping>,
    /// Bytes handed to this link, and how many of them an answer proved to have arrived.
    sent_bytes: u64,
    proved_bytes: u64,
    /// When the oldest entry that is not answered was sent, and the byte count behind it.
    waiting: Option<(Now, u64)>,
}

#[derive(Clone, PartialEq, Debug)]
struct Ping {
    n: u64,
    sent_at: Now,
    base: Duration,
    /// How long an answer takes that shows the link to be quick.
    undoubled: Duration,
    mark: u64,
    /// It was given the shorter deadline of an ack that grew late; once is enough, however late
    /// that is noticed.
    is_tight: bool,
}

/// The pure core of the link.
#[derive(Debug)]
pub(crate) struct Link {
    backoff: Backoff,
    phase: ConnectionPhase,
    dial: Dial,
    interval: Duration,
    rtt: Option<Duration>,
    /// Each death by deadline doubles the deadlines of the next link.
    doublings: u32,
    pings: u64,
    /// Why the last link ended, until the next one is welcomed.
    last_cause: Option<Cause>,
    rtts: RingBuffer<Duration, 64>,
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
            interval: Duration::from_millis(limits::HEARTBEAT_MS),
            rtt: None,
            doublings: 0,
            pings: 0,
            last_cause: None,
            rtts: RingBuffer::default(),
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

    const fn up_mut(&mut self) -> Option<&mut Up> {
        match &mut self.phase {
            ConnectionPhase::Up(up) => Some(up),
            _ => None,
        }
    }

    /// The dial whose inputs count; all others are of abandoned links.
    pub(crate) const fn current(&self) -> Option<Dial> {
        match &self.phase {
            ConnectionPhase::Dialing { dial, .. } | ConnectionPhase::Greeting { dial, .. } => {
                Some(*dial)
            }
            ConnectionPhase::Up(up) => Some(up.dial),
            ConnectionPhase::Offline { .. } | ConnectionPhase::Backoff { .. } => None,
        }
    }

    /// Why the last link ended, as long as there is none again.
    pub(crate) const fn last_cause(&self) -> Option<&Cause> {
        self.last_cause.as_ref()
    }

    /// A dial that takes long is given up for a new one: the user wants it now, or the network is
    /// another one.
    pub(crate) fn abandon_dial(&mut self, now: Now) -> Option<Dial> {
        let (dial, since) = match self.phase {
            ConnectionPhase::Dialing { dial, since, .. }
            | ConnectionPhase::Greeting { dial, since, .. } => (dial, since),
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

    /// The newest dial, whatever became of it.
    pub(crate) const fn last_dial(&self) -> Dial {
        self.dial
    }

    pub(crate) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    pub(crate) const fn attempt(&self) -> u32 {
        self.backoff.failures() + 1
    }

    /// How near it is to giving up.
    pub(crate) fn limits(&self) -> Limits {
        let looks_at = match self.phase {
            ConnectionPhase::Offline { look_at, .. } => look_at,
            _ => None, // it dials by itself
        };
        Limits {
            looks_at,
            ..self.backoff.limits()
        }
    }

    /// The waits between dials, and how near it is to giving up.
    pub(crate) const fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// How often deadlines are doubled now.
    pub(crate) const fn doublings(&self) -> u32 {
        self.doublings
    }

    /// When [`Link::poll`] wants to be asked next.
    pub(crate) fn deadline(&self) -> Option<Now> {
        match &self.phase {
            ConnectionPhase::Offline { look_at, .. } => *look_at,
            ConnectionPhase::Backoff { until, .. } => Some(*until),
            ConnectionPhase::Dialing { deadline, .. }
            | ConnectionPhase::Greeting { deadline, .. } => Some(*deadline),
            ConnectionPhase::Up(up) => {
                let probe = match &up.ping {
                    Some(ping) => self.pong_deadline(up, ping),
                    None => self.ping_due(up),
                };
                Some(probe.min(self.suspicion_due(up).unwrap_or(probe)))
            }
        }
    }

    /// What is due at `now`.
    pub(crate) fn poll(&mut self, now: Now) -> Due {
        match &self.phase {
            ConnectionPhase::Offline {
                look_at: Some(at), ..
            } if now >= *at => self.start_dial(now),
            ConnectionPhase::Offline { .. } => Due::Nothing,
            ConnectionPhase::Backoff { until, .. } if now >= *until => self.start_dial(now),
            ConnectionPhase::Dialing { dial, deadline, .. } if now >= *deadline => {
                Due::Dead(*dial, Cause::DialTimeout)
            }
            ConnectionPhase::Greeting { dial, deadline, .. } if now >= *deadline => {
                Due::Dead(*dial, Cause::GreetingTimeout)
            }
            ConnectionPhase::Backoff { .. }
            | ConnectionPhase::Dialing { .. }
            | ConnectionPhase::Greeting { .. } => Due::Nothing,
            ConnectionPhase::Up(up) => {
                let suspicious = self.suspicion_due(up).is_some_and(|due| now >= due);
                match &up.ping {
                    Some(ping) if now >= self.pong_deadline(up, ping) => Due::Dead(
                        up.dial,
                        Cause::NoAnswer {
                            waited: now.saturating_sub(ping.sent_at),
                        },
                    ),
                    Some(_) if suspicious => self.tighten(now),
                    None if suspicious => self.ping(now, self.suspicion_base()),
                    None if now >= self.ping_due(up) => self.ping(now, PONG_DEADLINE),
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
            deadline: now + self.doubled(DIAL_DEADLINE),
        };
        Due::Dial(self.dial)
    }

    fn ping(&mut self, now: Now, base: Duration) -> Due {
        self.pings += 1;
        let (n, doubled) = (self.pings, self.doubled(base));
        let Some(up) = self.up_mut() else {
            return Due::Nothing;
        };
        let growth = transfer_time(up.sent_bytes - up.proved_bytes);
        up.ping = Some(Ping {
            n,
            sent_at: now,
            base: doubled + growth,
            undoubled: base + growth,
            mark: up.sent_bytes,
            is_tight: false,
        });
        Due::Ping(n)
    }

    /// A ping is out already when an ack grows late: from here on it has the shorter deadline.
    fn tighten(&mut self, now: Now) -> Due {
        let base = self.doubled(self.suspicion_base());
        if let Some(Up {
            ping: Some(ping),
            proved_bytes,
            ..
        }) = self.up_mut()
        {
            let wanted = now.saturating_sub(ping.sent_at)
                + base
                + transfer_time(ping.mark.saturating_sub(*proved_bytes));
            ping.base = ping.base.min(wanted);
            ping.is_tight = true;
        }
        Due::Nothing
    }

    fn doubled(&self, base: Duration) -> Duration {
        if planted_bug!(DeadlinesStay) {
            return base;
        }
        base.saturating_mul(1 << self.doublings.min(16))
            .min(DEADLINE_MAX.max(base))
    }

    fn suspicion_base(&self) -> Duration {
        SUSPICION_DEADLINE.max(self.rtt.unwrap_or_default() * 4)
    }

    fn ping_due(&self, up: &Up) -> Now {
        if planted_bug!(OwnWritesAreLife) {
            return up.last_out + self.interval;
        }
        up.last_in.min(up.last_out) + self.interval
    }

    /// When a late ack makes the link suspect; not again while a ping with the short deadline is
    /// out.
    fn suspicion_due(&self, up: &Up) -> Option<Now> {
        let (since, mark) = up.waiting?;
        let since = if planted_bug!(OwnWritesAreLife) {
            up.last_out
        } else {
            since
        };
        let due = since.max(up.last_answer)
            + SUSPICION_AFTER.max(self.rtt.unwrap_or_default() * 4)
            // what was sent behind it does not delay it
            + transfer_time(mark.saturating_sub(up.proved_bytes));
        match &up.ping {
            None => Some(due),
            Some(ping) if ping.is_tight || ping.sent_at >= due => None,
            Some(ping) => {
                let short = due.saturating_sub(ping.sent_at)
                    + self.doubled(self.suspicion_base())
                    + transfer_time(ping.mark.saturating_sub(up.proved_bytes));
                (ping.base > short).then_some(due)
            }
        }
    }

    fn pong_deadline(&self, up: &Up, ping: &Ping) -> Now {
        let quiet = ping.sent_at.max(up.last_in) + ping.base;
        quiet.min(ping.sent_at + ping.base * 3)
    }

    /// How long an ack may stay out on a link that answers: then it is sent again, and after twice
    /// that the link ends.
    pub(crate) fn ack_patience(&self) -> Duration {
        let patience = ACK_DEADLINE.max(self.rtt.unwrap_or_default() * 8);
        self.doubled(patience) + transfer_time(self.unanswered())
    }

    /// Bytes that were sent and of which nothing proved yet that they arrived.
    pub(crate) fn unanswered(&self) -> u64 {
        self.up().map_or(0, |up| {
            debug_assert!(
                up.proved_bytes <= up.sent_bytes,
                "more arrived than was sent"
            );
            up.sent_bytes - up.proved_bytes
        })
    }

    /// Asks for an answer, unless one is on its way.
    pub(crate) fn probe(&mut self, now: Now) -> Due {
        match self.up() {
            Some(Up { ping: None, .. }) => self.ping(now, PONG_DEADLINE),
            Some(_) | None => Due::Nothing,
        }
    }

    /// Connected, and `hello` is on its way.
    pub(crate) fn on_opened(&mut self, dial: Dial, now: Now) {
        self.phase = ConnectionPhase::Greeting {
            dial,
            since: now,
            deadline: now + self.doubled(GREETING_DEADLINE),
        };
    }

    /// The server sent its welcome.
    pub(crate) fn on_welcome(&mut self, dial: Dial, heartbeat: Duration, now: Now) {
        if let ConnectionPhase::Greeting { since, .. } = self.phase {
            // a first guess, until something is answered
            self.rtt = Some(now.saturating_sub(since));
        }
        self.last_cause = None;
        self.interval = heartbeat.clamp(Duration::from_secs(1), Duration::from_secs(600));
        self.phase = ConnectionPhase::Up(Up {
            dial,
            since: now,
            last_in: now,
            last_out: now,
            last_answer: now,
            ping: None,
            sent_bytes: 0,
            proved_bytes: 0,
            waiting: None,
        });
    }

    /// Bytes came in: a sign of life of the way in only.
    pub(crate) fn on_bytes(&mut self, now: Now) {
        if let Some(up) = self.up_mut() {
            debug_assert!(now >= up.last_in, "time goes on");
            up.last_in = now;
            if planted_bug!(BytesAreAnswers) {
                (up.last_answer, up.ping) = (now, None);
            }
        }
    }

    /// A frame went out; returns the mark that an answer to it proves.
    pub(crate) fn on_sent(&mut self, bytes: usize, now: Now) -> u64 {
        self.up_mut().map_or(0, |up| {
            up.last_out = now;
            up.sent_bytes += bytes as u64;
            up.sent_bytes
        })
    }

    /// Whether an answer proved that everything up to `mark` has arrived.
    pub(crate) fn has_proved(&self, mark: u64) -> bool {
        self.up().is_some_and(|up| up.proved_bytes > mark)
    }

    /// An answer to something sent at `sent_at` with `mark`: the way out works.
    pub(crate) fn on_answer(&mut self, sent_at: Now, mark: u64, now: Now) {
        let took = now.saturating_sub(sent_at);
        self.rtts.push(took);
        // RFC 6298's smoothing; a way that became quick again is believed sooner, so that it is
        // watched as closely.
        let smoothed = |rtt: Duration| {
            if took < rtt {
                (rtt + took) / 2
            } else {
                (rtt * 7 + took) / 8
            }
        };
        self.rtt = Some(self.rtt.map_or(took, smoothed));
        if took <= PONG_DEADLINE {
            self.doublings = 0;
        }
        if let Some(up) = self.up_mut() {
            up.last_answer = now;
            up.proved_bytes = up.proved_bytes.max(mark);
        }
    }

    /// A pong; one that was not asked for proves nothing.
    pub(crate) fn on_pong(&mut self, n: u64, now: Now) {
        let Some(up) = self.up_mut() else { return };
        let Some(ping) = up.ping.take_if(|ping| ping.n == n) else {
            return;
        };
        if now.saturating_sub(ping.sent_at) <= ping.undoubled {
            self.doublings = 0;
        }
        self.on_answer(ping.sent_at, ping.mark, now);
    }

    /// Since when the oldest unanswered entry waits, and the byte count behind it.
    pub(crate) const fn set_waiting(&mut self, waiting: Option<(Now, u64)>) {
        if let Some(up) = self.up_mut() {
            up.waiting = waiting;
        }
    }

    /// The link ended, or could not be made: what comes next.
    pub(crate) fn on_ended(&mut self, cause: Cause, now: Now) {
        if let ConnectionPhase::Up(up) = &self.phase
            && (now.saturating_sub(up.since) >= STABLE_AFTER || planted_bug!(BackoffForgets))
        {
            self.backoff.reset();
        }
        if cause.is_deadline() {
            self.doublings = (self.doublings + 1).min(6);
        }
        self.last_cause = Some(cause.clone());
        self.phase = match self.backoff.on_failed(&cause, now) {
            Next::Dial { after } => ConnectionPhase::Backoff {
                until: now + after,
                cause,
            },
            Next::Stop { why, look_after } => ConnectionPhase::Offline {
                why,
                look_at: look_after.map(|after| now + after),
            },
        };
    }

    /// Round trips, from old to new.
    pub(crate) fn rtts(&self) -> impl Iterator<Item = &Duration> {
        self.rtts.iter()
    }

    /// How long it has been connected.
    pub(crate) fn stood_for(&self, now: Now) -> Option<Duration> {
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
            ConnectionPhase::Dialing { .. } | ConnectionPhase::Greeting { .. } => Due::Nothing,
            ConnectionPhase::Up(up) => match &up.ping {
                None => self.ping(now, self.suspicion_base()),
                Some(_) => self.tighten(now),
            },
        }
    }

    /// The machine has slept, or its network changed: dial now if it was waiting or had given up,
    /// ask for an answer if there is a link. No choice of the user is overruled.
    pub(crate) fn on_elsewhere(&mut self, now: Now) -> Due {
        match &self.phase {
            ConnectionPhase::Offline { why, .. } if !matches!(why, Cause::GaveUp { .. }) => {
                Due::Nothing
            }
            ConnectionPhase::Offline { .. }
            | ConnectionPhase::Backoff { .. }
            | ConnectionPhase::Dialing { .. }
            | ConnectionPhase::Greeting { .. }
            | ConnectionPhase::Up(_) => self.retry_now(now),
        }
    }

    /// Stop until the user asks.
    pub(crate) fn go_offline(&mut self, why: Cause) {
        self.phase = ConnectionPhase::Offline { why, look_at: None };
    }

    /// Whether `bye` of this code leaves it to the instance it names.
    pub(crate) fn is_by_instance(code: CloseCode) -> bool {
        code.action() == CloseAction::ByInstance
    }
}

/// A round trip as people want it: 1, 2, 5, 10 … ms. It does not flicker, and costs no redraw at
/// rest.
pub(crate) fn coarse(rtt: Duration) -> Duration {
    let ms = rtt.as_millis() as u64;
    let steps = (0..5).flat_map(|power| [1, 2, 5].map(|step| step * 10_u64.pow(power)));
    Duration::from_millis(steps.filter(|step| *step <= ms).max().unwrap_or(0))
}

/// How long `bytes` take on the slowest link that is still a link.
fn transfer_time(bytes: u64) -> Duration {
    if planted_bug!(DeadlinesStay) {
        return Duration::ZERO;
    }
    Duration::from_millis(bytes * 1_000 / SLOWEST_BYTES_PER_SECOND)
}

#[cfg(test)]
mod tests;
