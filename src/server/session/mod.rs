//! PURE. The server's core for one connection: what each frame means, and when silence has lasted
//! too long.
//!
//! Two lanes lead to the client. Answers (ack, reject, reply, pong) are bounded by not reading a
//! connection that has too many of them outstanding; the log lane may lag, and then is served from
//! the log instead of from memory.

mod pacer;
mod signals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use self::pacer::Confirmed;
use self::pacer::Pacer;
use super::rate::Bucket;
use super::storage::{Append, Floor, LogPage, MarkUpdate, Verdict};
use super::subscription::Subscription;
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, Bye, ClientFrame, CloseCode, Conflated, DeviceId, Entries, Fetch, Head, Hello, Open,
    Position, Reject, RejectCode, Reply, Room, RoomId, SendEntry, Seq, ServerFrame, ServerId,
    SessionId, Signal, Welcome, encode, limits,
};

pub use crate::protocol::Now;

/// Frames of the log lane on their way to one client.
pub const LOG_LANE_FRAMES: usize = 16;
/// Answers outstanding before a connection is left unread.
pub const ANSWERS_MAX: usize = 128;
/// Rooms in one pong; the others come with the next.
const PONG_HEADS_MAX: usize = limits::PONG_HEADS_MAX;

/// Where a client's positions are in a room's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Located {
    /// The highest of the client's positions that the log contains, if it contains one.
    pub common: Option<Position>,
    /// The log's head.
    pub head: Position,
}

/// The most that one page contains: whichever is reached first, or one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageSize {
    /// Entries.
    pub entries: usize,
    /// Encoded bytes.
    pub bytes: usize,
}

/// What an operator may set, and sizes that a simulation makes small.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Sent in `welcome`.
    pub heartbeat: Duration,
    /// Entries of one device: so many at once …
    pub rate_burst: u32,
    /// … and so many each second.
    pub rate_per_second: u32,
    /// Entries before the head at which a subscription that jumps starts.
    pub snapshot_entries: u64,
    /// Size of a page.
    pub page: PageSize,
    /// Frames of the log lane on their way to one client.
    pub log_lane_frames: usize,
    /// Answers outstanding before a connection is left unread.
    pub answers_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(limits::HEARTBEAT_MS),
            rate_burst: 500,
            rate_per_second: 100,
            snapshot_entries: limits::SNAPSHOT_ENTRIES,
            page: PageSize {
                entries: 200,
                bytes: limits::ENTRIES_BYTES_MAX,
            },
            log_lane_frames: LOG_LANE_FRAMES,
            answers_max: ANSWERS_MAX,
        }
    }
}

/// A run that was just appended, serialised once for everybody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Live {
    /// The room.
    pub room: RoomId,
    /// It begins after this seq.
    pub prev: Seq,
    /// It ends here.
    pub last: Position,
    /// The `entries` frame.
    pub text: Arc<str>,
}

/// A device that was let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admission {
    /// The server.
    pub server: ServerId,
    /// Its presence.
    pub session: SessionId,
    /// Whether that presence was kept.
    pub resumed: bool,
    /// Whose device it is.
    pub account: AccountId,
    /// The account's name.
    pub name: String,
    /// The account's rooms.
    pub rooms: Vec<Room>,
    /// Wall clock, ms since 1970.
    pub now: u64,
}

/// Everything that can happen to a connection.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed.
    Tick,
    /// Bytes came in.
    Bytes,
    /// A frame came in.
    Frame(Box<ClientFrame>),
    /// What came in is not a frame.
    BadFrame(CloseCode, String),
    /// The client closed the connection.
    Closed,
    /// The hello was looked up.
    Admitted(Box<Result<Admission, Bye>>),
    /// An append was judged, or the storage failed.
    Judged(Box<SendEntry>, Result<Verdict, String>),
    /// Positions were looked up. `None` when there is no such room.
    Located(Open, Option<Located>),
    /// A page for a subscription.
    Page(RoomId, Seq, Option<LogPage>),
    /// A page that was asked for.
    Fetched(Fetch, Option<LogPage>),
    /// A request was answered.
    Replied(Reply),
    /// Entries were appended to a room that is subscribed.
    Live(Arc<Live>),
    /// Some news were missed: these are the heads.
    Heads(Vec<(RoomId, Position)>),
    /// Some news were missed: these are the account's rooms.
    Rooms(Vec<Room>),
    /// A floor moved.
    Floor(Floor),
    /// A member came online or went offline.
    Presence(RoomId, u64),
    /// Values that are new: see [`ServerSession::signals_from`].
    Signals(Vec<Signal>),
    /// The client has read everything up to some probes.
    Confirmed(Confirmed),
    /// A room of this account changed.
    Room(Room),
    /// So many frames of the log lane have gone out.
    Drained(usize),
    /// An answer has gone out.
    Answered,
    /// The connection is to end.
    Bye(Bye),
}

/// Where something waits for the writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Signals; before the log.
    Ephemeral,
    /// The log.
    Log,
}

/// What the driver is to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send in the lane of answers.
    Answer(ServerFrame),
    /// Send in the log lane.
    Log(Arc<str>),
    /// Send before the log.
    Fresh(Arc<str>),
    /// Ask the client, in the lane of what went before, to confirm that it has come so far.
    Probe(Lane, u64),
    /// Look a hello up; before it is admitted, the device's older link is closed.
    Admit(Box<Hello>),
    /// Hand to the committer.
    Append(Box<Append>),
    /// Register for live entries first, then look positions up.
    Locate(Open),
    /// No more live entries.
    Unsubscribe(RoomId),
    /// Read a page for a subscription.
    ReadPage(RoomId, Seq),
    /// Read a page that was asked for.
    Fetch(Fetch),
    /// Store marks, when there is time.
    Mark(MarkUpdate),
    /// Answer a request.
    Request(u64, AccountId, crate::protocol::Op),
    /// Hand on to the room's subscribers.
    Signal(Signal),
    /// Send a `bye` and end the connection.
    Close(Bye),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum SessionPhase {
    AwaitHello { deadline: Now },
    Admitting,
    Live { account: AccountId },
    Closed,
}

/// News that newer news replace, kept while the log lane is full or the hello is looked up.
#[derive(Clone, Default, Debug)]
struct Stale {
    room: Option<Room>,
    floor: Option<Floor>,
    here: Option<u64>,
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
/// - At most [`Settings`]' number of answers are outstanding: beyond it, the connection is not read.
#[derive(Debug)]
pub struct ServerSession {
    settings: Settings,
    phase: SessionPhase,
    device: DeviceId,
    last_in: Now,
    bucket: Bucket,
    /// In the order in which the client opened them: the order in which they are caught up.
    subscriptions: Vec<Subscription>,
    stale: BTreeMap<RoomId, Stale>,
    member_of: BTreeSet<RoomId>,
    reading: bool,
    /// Answers that are owed, or on their way out.
    outstanding: usize,
    in_log_lane: usize,
    pace: Pacer,
    /// Signals of this device, each second.
    signals: Bucket,
    /// Signals above this rate wait, and of each key only the newest.
    outgoing_signals: Conflated,
    said_at: Option<Now>,
    now: Now,
    effects: Vec<Effect>,
}

impl ServerSession {
    /// A connection that was just upgraded.
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
            subscriptions: Vec::new(),
            stale: BTreeMap::new(),
            member_of: BTreeSet::new(),
            reading: false,
            outstanding: 0,
            in_log_lane: 0,
            pace: Pacer::default(),
            signals: Bucket::new(limits::SIGNALS_PER_SECOND, limits::SIGNALS_PER_SECOND, now),
            outgoing_signals: Conflated::default(),
            said_at: None,
            now,
            effects: Vec::new(),
        }
    }

    /// Whose connection this is, once it was let in, and the rooms that it is a member of.
    #[must_use]
    pub const fn member(&self) -> Option<(AccountId, &BTreeSet<RoomId>)> {
        match self.phase {
            SessionPhase::Live { account } => Some((account, &self.member_of)),
            SessionPhase::AwaitHello { .. } | SessionPhase::Admitting | SessionPhase::Closed => {
                None
            }
        }
    }

    /// Whether the driver may read another frame: else the client has too many answers to come.
    #[must_use]
    pub const fn may_read(&self) -> bool {
        let Settings {
            answers_max,
            log_lane_frames,
            ..
        } = self.settings;
        self.outstanding < answers_max && self.in_log_lane < log_lane_frames + answers_max
    }

    /// When [`Input::Tick`] is wanted next.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        let resumes = self.pace.lets_log_pass_at().filter(|at| *at > self.now);
        [self.silence_deadline(), self.said_at, resumes]
            .into_iter()
            .flatten()
            .min()
    }

    /// When a silent client times out.
    fn silence_deadline(&self) -> Option<Now> {
        match self.phase {
            SessionPhase::AwaitHello { deadline } => Some(deadline),
            SessionPhase::Admitting | SessionPhase::Live { .. } => {
                Some(self.last_in + self.silence_max())
            }
            SessionPhase::Closed => None,
        }
    }

    /// A client pings when it sent nothing for one interval, and gives a slow link time.
    fn silence_max(&self) -> Duration {
        self.settings.heartbeat * 2 + Duration::from_secs(15)
    }

    /// One input, and everything that is to be done about it.
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
            Input::Judged(send, verdict) => self.on_judged(&send, verdict),
            Input::Located(open, found) => self.on_located(&open, found),
            Input::Page(room, after, page) => self.on_page(room, after, page),
            Input::Fetched(fetch, page) => self.on_fetched(&fetch, page),
            Input::Replied(reply) => self.effects.push(Effect::Answer(ServerFrame::Reply(reply))),
            Input::Live(live) => self.on_live(&live),
            Input::Heads(heads) => {
                for (room, head) in heads {
                    self.subscription(room)
                        .into_iter()
                        .for_each(|subscription| subscription.on_head(head));
                }
            }
            Input::Floor(floor) => self.stale.entry(floor.room).or_default().floor = Some(floor),
            Input::Presence(room, here) => self.stale.entry(room).or_default().here = Some(here),
            Input::Signals(signals) => self.on_signals(signals),
            Input::Confirmed(reached) => self.pace.on_confirmed(reached, now),
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
                "no hello in time"
            } else {
                "nothing was heard for too long"
            };
            self.close(CloseCode::Timeout, what);
            return;
        }
        self.pace.expire(now);
        self.flush_signals(now);
        self.report_stale();
        self.read_on();
    }

    fn on_room(&mut self, room: Room) {
        if room.member {
            self.member_of.insert(room.room);
        } else {
            self.member_of.remove(&room.room);
        }
        let stale = self.stale.entry(room.room).or_default();
        stale.room = Some(room);
    }

    fn report_stale(&mut self) {
        let is_live = matches!(self.phase, SessionPhase::Live { .. });
        while is_live && self.has_room() {
            let Some((room, stale)) = self.stale.pop_first() else {
                return;
            };
            if let Some(room) = stale.room {
                self.log(&ServerFrame::Room(room));
            }
            if let Some(Floor {
                delivered, read, ..
            }) = stale.floor
            {
                self.log(&ServerFrame::Marks {
                    room,
                    delivered,
                    read,
                });
            }
            if let Some(here) = stale.here {
                self.log(&ServerFrame::Presence { room, here });
            }
        }
    }

    /// The first subscription that is behind gets a page, one page at a time.
    fn read_on(&mut self) {
        if self.reading || !self.has_room() || self.phase == SessionPhase::Closed {
            return;
        }
        let next = self
            .subscriptions
            .iter_mut()
            .find_map(|sub| Some((sub.room(), sub.next_read()?)));
        if let Some((room, after)) = next {
            self.reading = true;
            self.effects.push(Effect::ReadPage(room, after));
        }
    }

    fn has_room(&self) -> bool {
        self.in_log_lane < self.settings.log_lane_frames && self.pace.lets_log_pass(self.now)
    }

    fn subscription(&mut self, room: RoomId) -> Option<&mut Subscription> {
        self.subscriptions
            .iter_mut()
            .find(|subscription| subscription.room() == room)
    }

    fn log(&mut self, frame: &ServerFrame) {
        match encode(frame) {
            Ok(text) => self.log_text(text.into()),
            Err(error) => self.close(CloseCode::Overloaded, &error.to_string()),
        }
    }

    fn log_text(&mut self, text: Arc<str>) {
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
        let account = match (&self.phase, frame) {
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
            ) => "a hello comes first, and nothing before its welcome",
        };
        self.close(CloseCode::BadFrame, account);
    }

    fn on_live_frame(&mut self, account: AccountId, frame: ClientFrame, now: Now) {
        match frame {
            ClientFrame::Hello(_) => self.close(CloseCode::BadFrame, "a second hello"),
            ClientFrame::Open(open) => self.on_open(open),
            ClientFrame::Close { room } => {
                self.subscriptions
                    .retain(|subscription| subscription.room() != room);
                self.effects.push(Effect::Unsubscribe(room));
            }
            ClientFrame::Fetch(fetch) => {
                self.outstanding += 1;
                self.effects.push(Effect::Fetch(fetch));
            }
            ClientFrame::Send(send) => {
                self.outstanding += 1;
                // A client over its rate waits for a batch: entry by entry, each answer would cost
                // it a commit.
                let batch = self.settings.rate_per_second / 4;
                let over_rate_ms = self.bucket.take(now).map(|_| self.bucket.wait_ms(batch));
                if planted_bug!(AckBeforeCommit) {
                    let seq = self
                        .subscription(send.room)
                        .map_or(Seq::ZERO, |sub| sub.head())
                        .next();
                    let SendEntry {
                        id,
                        room,
                        composed_at: at,
                        ..
                    } = send;
                    self.effects
                        .push(Effect::Answer(ServerFrame::Ack { id, room, seq, at }));
                }
                let append = Append {
                    send,
                    author: account,
                    device: self.device,
                    over_rate_ms,
                };
                self.effects.push(Effect::Append(Box::new(append)));
            }
            ClientFrame::Mark(mark) => {
                let crate::protocol::Mark {
                    room,
                    delivered,
                    read,
                } = mark;
                self.effects.push(Effect::Mark(MarkUpdate {
                    room,
                    account,
                    device: self.device,
                    delivered,
                    read,
                }));
            }
            ClientFrame::Signal(signal) => self.on_signal(account, signal),
            ClientFrame::Request { request, op } => {
                self.outstanding += 1;
                self.effects.push(Effect::Request(request, account, op));
            }
            ClientFrame::Ping { n } => self.on_ping(n),
        }
    }

    fn on_ping(&mut self, n: u64) {
        self.outstanding += 1;
        let moved = |sub: &mut Subscription| Some((sub.room(), sub.unreported_head()?));
        let heads = self
            .subscriptions
            .iter_mut()
            .filter_map(moved)
            .take(PONG_HEADS_MAX);
        let heads = heads
            .map(|(room, Position { seq, chain })| Head { room, seq, chain })
            .collect();
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
        if !open.compare && !self.subscribe(open.room) {
            return self.close(CloseCode::BadFrame, "too many rooms are open");
        }
        self.outstanding += 1;
        self.effects.push(Effect::Locate(open));
    }

    /// Returns whether there is room for it.
    fn subscribe(&mut self, room: RoomId) -> bool {
        if let Some(known) = self.subscription(room) {
            known.on_open();
            return true;
        }
        let has_room = self.subscriptions.len() < limits::ROOMS_OPEN_MAX;
        if has_room {
            self.subscriptions.push(Subscription::opening(room));
        }
        has_room
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
            return self.log(&answer);
        }
        let is_last = self.subscription(room).is_none_or(Subscription::on_answer);
        let snapshot = self.settings.snapshot_entries;
        match (common, self.subscription(room)) {
            (Some((from, head)), Some(subscription)) => {
                subscription.on_located(from.seq, head, open.jump, snapshot);
            }
            // Closed meanwhile. The client gets the answer to its comparison nevertheless.
            (Some(_), None) => {}
            // No such log here, or none of the client's positions: nothing more is sent until it
            // opens the room again.
            (None, _) if is_last => {
                self.subscriptions
                    .retain(|subscription| subscription.room() != room);
                self.effects.push(Effect::Unsubscribe(room));
            }
            (None, _) => {}
        }
        self.log(&answer);
    }

    fn on_live(&mut self, live: &Live) {
        let has_room = self.has_room();
        let is_next = self
            .subscription(live.room)
            .is_some_and(|sub| sub.on_live(live.prev, live.last, has_room));
        if is_next {
            self.log_text(live.text.clone());
        }
    }

    fn on_page(&mut self, room: RoomId, after: Seq, page: Option<LogPage>) {
        self.reading = false;
        let Some(LogPage { prev, entries }) = page else {
            return self.close(CloseCode::Overloaded, "the log could not be read");
        };
        let last = entries.last().map_or(after, |entry| entry.seq);
        if self
            .subscription(room)
            .is_some_and(|subscription| subscription.on_page(after, last))
            && !entries.is_empty()
        {
            self.log(&ServerFrame::Entries(Entries {
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
        self.log(&ServerFrame::Entries(Entries {
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
        let Admission {
            server,
            session,
            resumed,
            account,
            name,
            rooms,
            now: wall,
        } = admission;
        self.phase = SessionPhase::Live { account };
        self.last_in = now;
        let welcome = Welcome {
            server,
            session,
            resumed,
            account,
            name,
            heartbeat_ms: self.settings.heartbeat.as_millis() as u64,
            frame_bytes_max: limits::FRAME_BYTES_MAX as u64,
            now: wall,
            rooms: rooms.len() as u64,
        };
        self.effects
            .push(Effect::Answer(ServerFrame::Welcome(welcome)));
        self.outstanding += 1 + rooms.len();
        self.member_of.extend(rooms.iter().map(|room| room.room));
        self.effects.extend(
            rooms
                .into_iter()
                .map(|room| Effect::Answer(ServerFrame::Room(room))),
        );
    }

    fn on_judged(&mut self, send: &SendEntry, verdict: Result<Verdict, String>) {
        let (id, room) = (send.id, send.room);
        if planted_bug!(AnswersDropped) && !self.has_room() {
            self.outstanding = self.outstanding.saturating_sub(1);
            return;
        }
        let reject = |code, reason, last, retry_after_ms| {
            ServerFrame::Reject(Reject {
                id,
                room,
                code,
                reason,
                last,
                retry_after_ms,
            })
        };
        let answer = match verdict {
            Ok(Verdict::Stored(stored)) => ServerFrame::Ack {
                id,
                room,
                seq: stored.entry.seq,
                at: stored.entry.at,
            },
            Ok(Verdict::Known { seq, at }) => {
                self.bucket.give_back();
                ServerFrame::Ack { id, room, seq, at }
            }
            Ok(Verdict::Refused(refusal)) => {
                if refusal.code == RejectCode::OutOfOrder {
                    // nothing was appended; what preceded it was rejected
                    self.bucket.give_back();
                }
                reject(
                    refusal.code,
                    refusal.reason,
                    refusal.last,
                    refusal.retry_after_ms,
                )
            }
            Err(reason) => reject(RejectCode::Unavailable, reason, None, Some(2_000)),
        };
        self.effects.push(Effect::Answer(answer));
    }
}

#[cfg(test)]
mod tests;
