//! PURE. The server's core for one connection.
//!
//! Frames leave in two lanes. The lane of answers (ack, reject, reply, pong) is bounded, since a
//! connection with too many unsent answers is not read. The log lane may lag; it then continues
//! from the storage instead of from memory.

mod answers;
mod io;
mod pacer;
mod room_changes;
mod signals;
mod subscriptions;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use self::io::{Admission, Effect, Input, Lane, Live, Located, PageSize, Settings};
pub use self::pacer::Confirmed;
use self::pacer::Pacer;
use self::room_changes::RoomChanges;
use self::signals::OutgoingSignals;
use self::subscriptions::{AnsweredOpen, Subscriptions};
use super::rate::Bucket;
use super::storage::{Append, LogPage, ReceiptUpdate, Verdict};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, Bye, ClientFrame, CloseCode, DeviceId, Entries, Fetch, Op, Open, Position,
    RejectCode, Room, RoomId, SendEntry, Seq, ServerFrame, encode, limits,
};

pub use crate::protocol::Now;

/// Maximum unsent frames in the log lane of one client.
pub const LOG_LANE_FRAMES: usize = 16;
/// Maximum unsent answers; a connection with more is not read.
pub const ANSWERS_MAX: usize = 128;

#[derive(Clone, PartialEq, Eq, Debug)]
enum SessionPhase {
    AwaitHello { deadline: Now },
    Admitting,
    Live { account: AccountId },
    Closed,
}

/// The server's protocol for one connection as a state machine. It owns the connection's
/// subscriptions, rate limits and pacing; the log and the accounts belong to the storage.
///
/// A driver calls [`ServerSession::step`] with each [`Input`] and the current time, carries out the
/// returned [`Effect`]s in their order, and reports the results as further inputs.
///
/// Invariants:
/// - Every `send` gets exactly one answer: an ack or a reject.
/// - An ack is sent only after the storage has committed the entry.
/// - A subscription receives a contiguous run of its log; when the connection lags, the session
///   continues from the storage instead of dropping entries.
/// - With `answers_max` unsent answers, the connection is not read.
#[derive(Debug)]
pub struct ServerSession {
    settings: Settings,
    phase: SessionPhase,
    device: DeviceId,
    last_in: Now,
    bucket: Bucket,
    subscriptions: Subscriptions,
    changes: RoomChanges,
    member_of: BTreeSet<RoomId>,
    /// Number of answers that are not sent yet.
    outstanding: usize,
    /// Number of unsent frames in the log lane.
    in_log_lane: usize,
    pace: Pacer,
    signals: OutgoingSignals,
    now: Now,
    effects: Vec<Effect>,
}

impl ServerSession {
    /// Makes the session of a connection that was just upgraded.
    #[must_use]
    pub fn new(settings: Settings, now: Now) -> Self {
        let bucket = Bucket::new(settings.rate_burst, settings.rate_per_second, now);
        Self {
            settings,
            phase: SessionPhase::AwaitHello {
                deadline: now + Duration::from_millis(limits::HELLO_MS_MAX),
            },
            device: DeviceId::NIL,
            last_in: now,
            bucket,
            subscriptions: Subscriptions::default(),
            changes: RoomChanges::default(),
            member_of: BTreeSet::new(),
            outstanding: 0,
            in_log_lane: 0,
            pace: Pacer::default(),
            signals: OutgoingSignals::new(now),
            now,
            effects: Vec::new(),
        }
    }

    /// Returns the account and its rooms, once the device is admitted.
    #[must_use]
    pub const fn member(&self) -> Option<(AccountId, &BTreeSet<RoomId>)> {
        match self.phase {
            SessionPhase::Live { account } => Some((account, &self.member_of)),
            SessionPhase::AwaitHello { .. } | SessionPhase::Admitting | SessionPhase::Closed => {
                None
            }
        }
    }

    /// Whether the driver may read another frame; `false` while too many answers are unsent.
    #[must_use]
    pub const fn may_read(&self) -> bool {
        let Settings {
            answers_max,
            log_lane_frames,
            ..
        } = self.settings;
        self.outstanding < answers_max && self.in_log_lane < log_lane_frames + answers_max
    }

    /// Returns when [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        let resumes = self.pace.lets_log_pass_at();
        [self.silence_deadline(), self.signals.due(), resumes]
            .into_iter()
            .flatten()
            .min()
    }

    /// Returns when a silent client times out.
    fn silence_deadline(&self) -> Option<Now> {
        match self.phase {
            SessionPhase::AwaitHello { deadline } => Some(deadline),
            SessionPhase::Admitting | SessionPhase::Live { .. } => {
                Some(self.last_in + self.silence_max())
            }
            SessionPhase::Closed => None,
        }
    }

    /// A client pings after one idle interval; the rest is time for a slow connection.
    fn silence_max(&self) -> Duration {
        self.settings.heartbeat * 2 + Duration::from_secs(15)
    }

    /// Processes one input at `now` and returns the effects, in their order.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        if self.phase == SessionPhase::Closed {
            return Vec::new();
        }
        self.now = now;
        match input {
            Input::Tick => {}
            Input::Bytes => self.last_in = now,
            Input::Frame(frame) => {
                self.last_in = now;
                self.on_frame(*frame, now);
            }
            Input::BadFrame(code, reason) => self.close(code, &reason),
            Input::Closed => self.close(CloseCode::Normal, "goodbye"),
            Input::Admitted(admission) => self.on_admitted(*admission, now),
            Input::Judged(append, verdict) => self.on_judged(&append, verdict),
            Input::Located(open, found) => self.on_located(&open, found),
            Input::Page(room, after, page) => self.on_page(room, after, page),
            Input::Fetched(fetch, page) => self.on_fetched(&fetch, page),
            Input::Replied(reply) => self.effects.push(Effect::Answer(ServerFrame::Reply(reply))),
            Input::Live(live) => self.on_live(&live),
            Input::Heads(heads) => {
                for (room, head) in heads {
                    self.subscriptions.change(room, |known| known.on_head(head));
                }
            }
            Input::Watermarks(lowest) => self.changes.put_watermarks(lowest),
            Input::Presence(room, online) => self.changes.put_online(room, online),
            Input::Signals(signals) => self.on_signals(signals),
            Input::Confirmed(confirmed) => self.pace.on_confirmed(confirmed, now),
            Input::Room(room) => self.on_room(room),
            Input::Rooms(rooms) => rooms.into_iter().for_each(|room| self.on_room(room)),
            Input::Drained(frames) => self.in_log_lane = self.in_log_lane.saturating_sub(frames),
            Input::Answered => self.outstanding = self.outstanding.saturating_sub(1),
            Input::Bye(bye) => self.bye(bye),
        }
        self.tick(now);
        std::mem::take(&mut self.effects)
    }

    fn tick(&mut self, now: Now) {
        if self
            .silence_deadline()
            .is_some_and(|deadline| now >= deadline)
        {
            let what = if matches!(self.phase, SessionPhase::AwaitHello { .. }) {
                "no hello received in time"
            } else {
                "no frame received for too long"
            };
            self.close(CloseCode::Timeout, what);
            return;
        }
        self.pace.expire(now);
        self.flush_signals(now);
        self.flush_changes();
        self.read_next_page();
    }

    fn on_room(&mut self, room: Room) {
        if room.member {
            self.member_of.insert(room.room);
        } else {
            self.member_of.remove(&room.room);
        }
        self.changes.put_room(room);
    }

    fn flush_changes(&mut self) {
        while matches!(self.phase, SessionPhase::Live { .. }) && self.log_has_space() {
            let Some(frames) = self.changes.pop() else {
                return;
            };
            for frame in frames {
                self.send_in_log_lane(&frame);
            }
        }
    }

    fn read_next_page(&mut self) {
        if self.phase == SessionPhase::Closed || !self.log_has_space() {
            return;
        }
        if let Some((room, after)) = self.subscriptions.next_read() {
            let size = self.page_size();
            self.effects.push(Effect::ReadPage(room, after, size));
        }
    }

    /// Limits of a page that is read now.
    fn page_size(&self) -> PageSize {
        let PageSize { entries, bytes } = self.settings.page;
        let bytes = bytes.min(self.pace.log_frame_bytes(self.now));
        PageSize { entries, bytes }
    }

    fn log_has_space(&self) -> bool {
        self.in_log_lane < self.settings.log_lane_frames && self.pace.lets_log_pass(self.now)
    }

    fn send_in_log_lane(&mut self, frame: &ServerFrame) {
        match encode(frame) {
            Ok(text) => self.send_text_in_log_lane(text.into()),
            Err(error) => self.close(CloseCode::Overloaded, &error.to_string()),
        }
    }

    fn send_text_in_log_lane(&mut self, text: Arc<str>) {
        self.in_log_lane += 1;
        let probe = self.pace.on_log(text.len(), self.now);
        self.effects.push(Effect::Log(text));
        self.effects
            .extend(probe.map(|probe| Effect::Probe(Lane::Log, probe)));
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        self.bye(Bye {
            code,
            reason: reason.to_owned(),
            retry_after_ms: None,
            instance: None,
        });
    }

    fn bye(&mut self, bye: Bye) {
        self.phase = SessionPhase::Closed;
        self.effects.push(Effect::Close(bye));
    }

    fn on_frame(&mut self, frame: ClientFrame, now: Now) {
        let reason = match (&self.phase, frame) {
            (SessionPhase::AwaitHello { .. }, ClientFrame::Hello(hello)) => {
                self.phase = SessionPhase::Admitting;
                self.device = hello.device;
                return self.effects.push(Effect::Admit(Box::new(hello)));
            }
            (SessionPhase::Live { account }, frame) => {
                return self.on_live_frame(*account, frame, now);
            }
            (
                SessionPhase::AwaitHello { .. } | SessionPhase::Admitting | SessionPhase::Closed,
                _,
            ) => "the first frame must be a hello; the next one must follow the welcome",
        };
        self.close(CloseCode::BadFrame, reason);
    }

    fn on_live_frame(&mut self, account: AccountId, frame: ClientFrame, now: Now) {
        match frame {
            ClientFrame::Hello(_) => self.close(CloseCode::BadFrame, "a second hello"),
            ClientFrame::Open(open) => self.on_open(open),
            ClientFrame::Close { room } => {
                self.subscriptions.close(room);
                self.effects.push(Effect::Unsubscribe(room));
            }
            ClientFrame::Fetch(fetch) => {
                self.outstanding += 1;
                let size = self.page_size();
                self.effects.push(Effect::Fetch(fetch, size));
            }
            ClientFrame::Send(send) => self.on_send(account, send, now),
            // A room that the account has left has no watermarks of it.
            ClientFrame::Mark(mark) if !self.member_of.contains(&mark.room) => {}
            ClientFrame::Mark(mark) => self.effects.push(Effect::Mark(ReceiptUpdate {
                room: mark.room,
                account,
                device: self.device,
                delivered: mark.delivered,
                read: mark.read,
            })),
            ClientFrame::Signal(signal) => self.on_signal(account, signal),
            ClientFrame::Request { request, op } => self.on_request(account, request, op, now),
            ClientFrame::Ping { n } => self.on_ping(n),
        }
    }

    fn on_send(&mut self, account: AccountId, send: SendEntry, now: Now) {
        self.outstanding += 1;
        // A client over its rate has to wait until it may send a whole batch. If it waited for each
        // entry, each one would cost a commit.
        let batch = self.settings.rate_per_second / 4;
        let over_rate_ms = self.bucket.take(now).map(|_| self.bucket.wait_ms(batch));
        let append = Append {
            send,
            author: account,
            device: self.device,
            over_rate_ms,
        };
        self.effects.push(Effect::Append(Box::new(append)));
    }

    /// A request that writes costs as much of the rate as an entry.
    fn on_request(&mut self, account: AccountId, request: u64, op: Op, now: Now) {
        self.outstanding += 1;
        let effect = if op.changes() && self.bucket.take(now).is_some() {
            Effect::Answer(ServerFrame::Reply(answers::over_rate(request)))
        } else {
            Effect::Request(request, account, op)
        };
        self.effects.push(effect);
    }

    fn on_ping(&mut self, n: u64) {
        self.outstanding += 1;
        let heads = self.subscriptions.unreported_heads();
        self.effects
            .push(Effect::Answer(ServerFrame::Pong { n, heads }));
    }

    fn on_open(&mut self, open: Open) {
        let count = open
            .locator
            .as_ref()
            .map_or_else(|| usize::from(open.have.is_some()), Vec::len);
        if count == 0 || count > limits::LOCATOR_POSITIONS_MAX {
            return self.close(
                CloseCode::BadFrame,
                "open needs a position, or a locator of up to 64",
            );
        }
        if !open.compare && !self.subscriptions.open(open.room) {
            return self.close(CloseCode::BadFrame, "too many rooms are open");
        }
        self.outstanding += 1;
        self.effects.push(Effect::Locate(open));
    }

    fn on_located(&mut self, open: &Open, found: Option<Located>) {
        self.outstanding = self.outstanding.saturating_sub(1);
        let room = open.room;
        let common = found.and_then(|found| Some((found.common?, found.head)));
        let answer = match common {
            Some((from, head)) => ServerFrame::Opened { room, from, head },
            None => ServerFrame::Diverged { room },
        };
        if open.compare {
            return self.send_in_log_lane(&answer);
        }
        match (self.subscriptions.on_answer(room), common) {
            (AnsweredOpen::Outlived, _) | (AnsweredOpen::Earlier, None) => {}
            (AnsweredOpen::Latest | AnsweredOpen::Earlier, Some((from, head))) => {
                let snapshot = self.settings.snapshot_entries;
                self.subscriptions.change(room, |known| {
                    known.on_located(from.seq, head, open.jump, snapshot);
                });
            }
            // Without a common position, nothing is sent until the client opens the room again.
            (AnsweredOpen::Latest, None) => {
                self.subscriptions.close(room);
                self.effects.push(Effect::Unsubscribe(room));
            }
        }
        self.send_in_log_lane(&answer);
    }

    fn on_live(&mut self, live: &Live) {
        // what is too long for one frame now is read in shorter pages
        let has_space =
            self.log_has_space() && live.text.len() <= self.pace.log_frame_bytes(self.now);
        let is_next = self
            .subscriptions
            .change(live.room, |known| {
                known.on_live(live.prev, live.last, has_space)
            })
            .unwrap_or(false);
        if is_next {
            self.send_text_in_log_lane(live.text.clone());
        }
    }

    fn on_page(&mut self, room: RoomId, after: Seq, page: Option<LogPage>) {
        self.subscriptions.on_read();
        let Some(LogPage { prev, entries }) = page else {
            return self.close(CloseCode::Overloaded, "the log could not be read");
        };
        let last = entries.last().map_or(after, |entry| entry.seq);
        let is_next = self
            .subscriptions
            .change(room, |known| known.on_page(after, last))
            .unwrap_or(false);
        if is_next && !entries.is_empty() {
            self.send_in_log_lane(&ServerFrame::Entries(Entries {
                room,
                prev,
                entries,
                skip: None,
                request: None,
            }));
        }
    }

    fn on_fetched(&mut self, fetch: &Fetch, page: Option<LogPage>) {
        self.outstanding = self.outstanding.saturating_sub(1);
        let (prev, entries) = page.map_or((Position::start(fetch.room), Vec::new()), |page| {
            (page.prev, page.entries)
        });
        let request = Some(fetch.request);
        self.send_in_log_lane(&ServerFrame::Entries(Entries {
            room: fetch.room,
            prev,
            entries,
            skip: None,
            request,
        }));
    }

    fn on_admitted(&mut self, admission: Result<Admission, Bye>, now: Now) {
        let admission = match admission {
            Ok(admission) => admission,
            Err(bye) => return self.bye(bye),
        };
        self.phase = SessionPhase::Live {
            account: admission.account,
        };
        self.last_in = now;
        let rooms = admission.rooms.iter().map(|room| room.room);
        self.member_of.extend(rooms);
        let frames = answers::welcome(admission, self.settings.heartbeat);
        self.outstanding += frames.len();
        self.effects.extend(frames.into_iter().map(Effect::Answer));
    }

    fn on_judged(&mut self, append: &Append, verdict: Result<Verdict, String>) {
        if planted_bug!(AnswersDropped) && !self.log_has_space() {
            self.outstanding = self.outstanding.saturating_sub(1);
            return;
        }
        let costs_token = match &verdict {
            Ok(Verdict::Stored(_)) | Err(_) => true,
            Ok(Verdict::Known { .. }) => false,
            Ok(Verdict::Rejected(rejection)) => rejection.code != RejectCode::OutOfOrder,
        };
        let has_paid = append.over_rate_ms.is_none();
        if has_paid && !costs_token {
            self.bucket.give_back(); // the entry paid before, or will pay when it is sent again
        }
        self.effects
            .push(Effect::Answer(answers::verdict(&append.send, verdict)));
    }
}

#[cfg(test)]
mod tests;
