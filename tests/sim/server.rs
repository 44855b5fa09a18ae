//! One server: its cores, hub, writer and storage, without threads. Returns its effects on the
//! world.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use landfall::planted_bug::planted_bug;
use landfall::protocol::{
    AccountId, Bye, CloseCode, DeviceId, EntryId, Hello, Op, RejectCode, RoomId, SendEntry, Seq,
    ServerFrame, SessionId, encode,
};
use landfall::server::answers::{self, Answered};
use landfall::server::hub::{Fence, Hub, HubHandle, bye};
use landfall::server::receipts::PendingReceipts;
use landfall::server::session;
use landfall::server::session::{Admission, Confirmed, ServerSession, Settings};
use landfall::server::storage::{Enrolled, Rejection, Storage, Verdict};
use landfall::server::writer::{CommitCallback as Answering, PendingAppend, Writer};
use landfall::sqlite::DbError;
use landfall::system;

use crate::check::Promise;
use crate::net::{Time, WireId};
use crate::storage::{Backing, FaultyStorage, StorageFaults, stands};
use crate::watch::Broken;

/// The effects of a server on the world.
pub(crate) enum ServerEffect {
    /// Send in the lane of answers.
    Answer(WireId, String),
    /// Send in the log lane.
    Log(WireId, String),
    /// Send a live value.
    Fresh(WireId, String),
    /// Ask how far the other end has read.
    Probe(WireId, Confirmed),
    /// Look when this wire's session is to be asked next.
    Tick(WireId),
    /// The result of a read, which arrives a moment later.
    Later(WireId, session::Input),
    /// Say goodbye and end the wire.
    Close(WireId, Bye),
    /// The mistake of reading the head first: register for live entries a moment later.
    Listen(WireId, RoomId),
    /// Entries wait for the committer.
    Commit,
    /// Look up a commit in doubt, after a pause.
    CheckStorage,
    /// An entry was acked.
    Acked(ServerFrame),
    /// In a while this session is over, unless its device is back.
    Expire(SessionId),
    /// An id was known.
    Deduplicated,
    /// A promise is broken.
    Violate(Broken),
}

struct Connection {
    session: ServerSession,
    member: HubHandle,
    start: Time,
    /// The latest probe of each lane.
    reached: Confirmed,
    /// The session's next deadline, as it was last scheduled.
    tick_at: Option<Time>,
}

/// A server that is up.
pub(crate) struct Server {
    reader: Box<dyn Storage>,
    faults: Arc<Mutex<StorageFaults>>,
    hub: Arc<Hub>,
    writer: Writer,
    settings: Settings,
    connections: BTreeMap<WireId, Connection>,
    appends: Vec<PendingAppend>,
    marks: PendingReceipts,
    /// The committer's results, in order.
    judged: Arc<Mutex<Vec<(WireId, session::Input)>>>,
    /// The wire of each device's newest welcome.
    newest: BTreeMap<DeviceId, WireId>,
    effects: Vec<ServerEffect>,
}

impl Server {
    pub(crate) fn start(
        backing: &Backing,
        faults: &Arc<Mutex<StorageFaults>>,
        settings: Settings,
    ) -> Self {
        let writer = FaultyStorage::over(backing.open(), faults);
        let reader = writer.another().expect("opens");
        let hub = Arc::new(Hub::new(reader.server()));
        let writer = Writer::new(writer, hub.clone());
        Self {
            reader,
            faults: faults.clone(),
            hub,
            writer,
            settings,
            connections: BTreeMap::new(),
            appends: Vec::new(),
            marks: PendingReceipts::default(),
            judged: Arc::default(),
            newest: BTreeMap::new(),
            effects: Vec::new(),
        }
    }

    pub(crate) fn accept(&mut self, wire: WireId, now: Time) {
        let session = ServerSession::new(self.settings.clone(), Time::ZERO);
        self.connections.insert(
            wire,
            Connection {
                session,
                member: self.hub.connect(),
                start: now,
                reached: Confirmed::default(),
                tick_at: None,
            },
        );
    }

    pub(crate) fn wires(&self) -> Vec<WireId> {
        self.connections.keys().copied().collect()
    }

    pub(crate) fn has(&self, wire: WireId) -> bool {
        self.connections.contains_key(&wire)
    }

    pub(crate) fn may_read(&self, wire: WireId) -> bool {
        self.connections
            .get(&wire)
            .is_some_and(|connection| connection.session.may_read())
    }

    /// Appends of standing links that wait for the disk, and how many may: what each may have
    /// unanswered.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let is_open = |fence: &Fence| {
            self.connections
                .values()
                .any(|known| Arc::ptr_eq(&known.member.fence, fence))
        };
        let waiting = self
            .appends
            .iter()
            .filter(|append| is_open(&append.fence))
            .count();
        (waiting, self.connections.len() * self.settings.answers_max)
    }

    /// Returns when to tick a session next, if that is not scheduled yet.
    pub(crate) fn next_tick(&mut self, wire: WireId) -> Option<Time> {
        let connection = self.connections.get_mut(&wire)?;
        let fresh = connection
            .session
            .signals_from()
            .filter(|_| !connection.member.signals.is_empty());
        let deadline = [connection.session.deadline(), fresh]
            .into_iter()
            .flatten()
            .min();
        let deadline = deadline.map(|at| connection.start + at);
        if connection.tick_at == deadline {
            return None;
        }
        connection.tick_at = deadline;
        deadline
    }

    /// The wire ended.
    pub(crate) fn end(&mut self, wire: WireId, is_clean: bool) {
        let Some(connection) = self.connections.remove(&wire) else {
            return;
        };
        let session = self.hub.disconnect(connection.member.id, is_clean);
        self.effects.extend(session.map(ServerEffect::Expire));
    }

    /// A session's time is over.
    pub(crate) fn expire(&mut self, session: SessionId) -> Vec<ServerEffect> {
        self.hub.expire_now(session);
        self.check_presence();
        std::mem::take(&mut self.effects)
    }

    /// P8 depends on it: a connected account is online, after any end of an older connection.
    fn check_presence(&mut self) {
        for connection in self.connections.values() {
            let Some((account, rooms)) = connection.session.member() else {
                continue;
            };
            let is_away = |room: &&RoomId| !self.hub.online(**room).contains(&account);
            if let Some(room) = rooms.iter().find(is_away) {
                let what = format!("{account} has a link and is not here in {room}");
                self.effects
                    .push(ServerEffect::Violate((Promise::StatusIsTrue, None, what)));
            }
        }
    }

    /// One input, and everything that follows from it here.
    pub(crate) fn step(
        &mut self,
        wire: WireId,
        input: session::Input,
        now: Time,
    ) -> Vec<ServerEffect> {
        self.input(wire, input, now);
        self.hand_on(now);
        std::mem::take(&mut self.effects)
    }

    /// Commits all pending appends in one group. The results arrive later, if the server survives.
    pub(crate) fn commit(&mut self, now: Time) -> Vec<ServerEffect> {
        self.writer.commit(std::mem::take(&mut self.appends));
        let marks = std::mem::take(&mut self.marks);
        self.writer.mark(marks);
        self.check_storage();
        let judged = std::mem::take(&mut *self.judged.lock().expect("not poisoned"));
        for (at, (wire, input)) in judged.iter().enumerate() {
            self.check_verdict(*wire, input, &judged[at + 1..]);
        }
        self.effects.extend(
            judged
                .into_iter()
                .map(|(wire, input)| ServerEffect::Later(wire, input)),
        );
        self.hand_on(now);
        std::mem::take(&mut self.effects)
    }

    /// Closes all connections, and commits what they have sent, without answers.
    pub(crate) fn drain(&mut self, now: Time) -> Vec<ServerEffect> {
        let _ = self.hub.drain().now_or_never(); // it would wait for the ends of the connections
        self.hand_on(now);
        self.writer.commit(std::mem::take(&mut self.appends));
        let marks = std::mem::take(&mut self.marks);
        self.writer.mark(marks);
        std::mem::take(&mut self.effects)
    }

    /// Looks up a commit in doubt, as an idle committer does.
    pub(crate) fn look_after_unsure(&mut self, now: Time) -> Vec<ServerEffect> {
        self.writer.finish();
        self.check_storage();
        self.hand_on(now);
        std::mem::take(&mut self.effects)
    }

    fn check_storage(&mut self) {
        if self.writer.has_unfinished() {
            self.effects.push(ServerEffect::CheckStorage);
        }
    }

    /// P2 and P7 depend on it: an entry in the log is never rejected, and nothing enters from a
    /// replaced connection.
    fn check_verdict(
        &mut self,
        wire: WireId,
        input: &session::Input,
        later: &[(WireId, session::Input)],
    ) {
        let session::Input::Judged(append, verdict) = input else {
            return;
        };
        let send = &append.send;
        let Ok(verdict) = verdict else {
            if self.faults.lock().expect("not poisoned").is_well() {
                let what = format!("{} failed over what is wrong with another", send.id);
                self.effects.push(ServerEffect::Violate((
                    Promise::NothingDropped,
                    Some(send.id),
                    what,
                )));
            }
            return;
        };
        match verdict {
            Verdict::Stored(stored) if self.newest.get(&stored.entry.device) != Some(&wire) => {
                let what = format!("{} entered by a link that was replaced", send.id);
                self.effects.push(ServerEffect::Violate((
                    Promise::OneOrder,
                    Some(send.id),
                    what,
                )));
            }
            // Sent twice and judged in one group, the second may be taken where the first was too
            // early.
            Verdict::Rejected(_)
                if later
                    .iter()
                    .any(|(_, input)| stored(input) == Some(send.id)) => {}
            Verdict::Rejected(Rejection { code, .. }) if *code != RejectCode::IdConflict => {
                if stands(&mut *self.reader, send.room, send.id).expect("reads") {
                    let what = format!("{} is in the log and was rejected: {code:?}", send.id);
                    self.effects.push(ServerEffect::Violate((
                        Promise::NothingDropped,
                        Some(send.id),
                        what,
                    )));
                }
            }
            Verdict::Known { .. } => self.effects.push(ServerEffect::Deduplicated),
            Verdict::Stored(_) | Verdict::Rejected(_) => {}
        }
    }

    fn input(&mut self, wire: WireId, input: session::Input, now: Time) {
        let Some(connection) = self.connections.get_mut(&wire) else {
            return;
        };
        let effects = connection.session.step(now - connection.start, input);
        for effect in effects {
            self.carry_out(wire, effect, now);
        }
    }

    /// Delivers the events of the hub until there are no more.
    fn hand_on(&mut self, now: Time) {
        loop {
            let mut inputs = Vec::new();
            for (wire, connection) in &mut self.connections {
                while let Ok(input) = connection.member.events.try_recv() {
                    inputs.push((*wire, input));
                }
                if connection.member.bye.has_changed().unwrap_or(false)
                    && let Some(bye) = connection.member.bye.borrow_and_update().clone()
                {
                    inputs.push((*wire, session::Input::Bye(bye)));
                }
                if connection.member.lagged.swap(false, Ordering::AcqRel) {
                    inputs.extend(
                        self.hub
                            .catch_up(connection.member.id)
                            .into_iter()
                            .map(|input| (*wire, input)),
                    );
                    if let Some((account, member_of)) = connection.session.member() {
                        let rooms =
                            answers::rooms(&mut *self.reader, account, member_of).expect("reads");
                        self.effects
                            .push(ServerEffect::Later(*wire, session::Input::Rooms(rooms)));
                    }
                }
            }
            inputs.extend(self.fresh(now));
            if inputs.is_empty() {
                return;
            }
            for (wire, input) in inputs {
                self.input(wire, input, now);
            }
        }
    }

    /// Live values that may leave now; those that have to wait are looked at again in time.
    fn fresh(&mut self, now: Time) -> Vec<(WireId, session::Input)> {
        let mut inputs = Vec::new();
        for (wire, connection) in self
            .connections
            .iter()
            .filter(|(_, known)| !known.member.signals.is_empty())
        {
            match connection.session.signals_from() {
                Some(at) if connection.start + at <= now => {
                    inputs.push((
                        *wire,
                        session::Input::Signals(
                            connection.member.signals.take(ServerSession::SIGNALS_BYTES),
                        ),
                    ));
                }
                Some(_) => self.effects.push(ServerEffect::Tick(*wire)),
                None => {} // waits for a confirmation
            }
        }
        inputs
    }

    /// The planted bug of a server that acknowledges an entry before its commit.
    fn ack_early(&mut self, wire: WireId, send: &SendEntry, now: Time) {
        let head = self.reader.head(send.room).ok().flatten();
        let ack = ServerFrame::Ack {
            id: send.id,
            room: send.room,
            seq: head.map_or(Seq::ZERO, |head| head.seq).next(),
            at: send.composed_at,
        };
        self.carry_out(wire, session::Effect::Answer(ack), now);
    }

    fn carry_out(&mut self, wire: WireId, effect: session::Effect, now: Time) {
        let Some(connection) = self.connections.get(&wire) else {
            return;
        };
        let (id, fence) = (connection.member.id, connection.member.fence.clone());
        let later =
            |server: &mut Self, input| server.effects.push(ServerEffect::Later(wire, input));
        match effect {
            session::Effect::Answer(frame) => match encode(&frame) {
                Ok(text) => {
                    if matches!(frame, ServerFrame::Ack { .. }) {
                        self.effects.push(ServerEffect::Acked(frame));
                    }
                    self.effects.push(ServerEffect::Answer(wire, text));
                }
                Err(_) => self.input(wire, session::Input::Answered, now),
            },
            session::Effect::Log(text) => {
                self.effects.push(ServerEffect::Log(wire, text.to_string()))
            }
            session::Effect::Admit(hello) => {
                let admission = self.admit(&hello, id);
                if admission.is_ok() {
                    self.newest.insert(hello.device, wire);
                }
                later(self, session::Input::Admitted(Box::new(admission)));
            }
            session::Effect::Append(append) => {
                if planted_bug!(AckBeforeCommit) {
                    self.ack_early(wire, &append.send, now);
                }
                let (judged, sent) = (self.judged.clone(), append.clone());
                let answer: Answering<Verdict> = Box::new(move |verdict| {
                    let verdict = verdict.map_err(|error| error.to_string());
                    judged
                        .lock()
                        .expect("not poisoned")
                        .push((wire, session::Input::Judged(sent, verdict)));
                });
                self.appends.push(PendingAppend {
                    append,
                    fence,
                    answer,
                });
                self.effects.push(ServerEffect::Commit);
            }
            session::Effect::Locate(open) => {
                let is_wrong_way_round = planted_bug!(HeadBeforeListen);
                if !open.compare && !is_wrong_way_round {
                    self.hub.listen(id, open.room);
                }
                let found = answers::locate(&mut *self.reader, &open).expect("reads");
                if !open.compare && is_wrong_way_round {
                    self.effects.push(ServerEffect::Listen(wire, open.room));
                }
                later(self, session::Input::Located(open, found));
            }
            session::Effect::Unsubscribe(room) => self.hub.unlisten(id, room),
            session::Effect::ReadPage(room, after, size) => {
                let page = answers::page(&mut *self.reader, room, after, size).expect("reads");
                later(self, session::Input::Page(room, after, page));
            }
            session::Effect::Fetch(fetch, size) => {
                let page = answers::fetch(&mut *self.reader, &fetch, size).expect("reads");
                later(self, session::Input::Fetched(fetch, page));
            }
            session::Effect::Mark(update) => {
                self.marks.put(update);
                self.effects.push(ServerEffect::Commit);
            }
            session::Effect::Request(request, account, op) => {
                let answered = self.request(account, &op);
                later(
                    self,
                    session::Input::Replied(answers::reply(request, answered)),
                );
            }
            session::Effect::Signal(signal) => self.hub.publish_signal(&Arc::new(signal)),
            session::Effect::Fresh(text) => self
                .effects
                .push(ServerEffect::Fresh(wire, text.to_string())),
            session::Effect::Probe(lane, n) => {
                if let Some(connection) = self.connections.get_mut(&wire) {
                    connection.reached.on_probe(lane, n);
                    self.effects
                        .push(ServerEffect::Probe(wire, connection.reached));
                }
            }
            session::Effect::Close(bye) => self.effects.push(ServerEffect::Close(wire, bye)),
        }
    }

    fn request(&mut self, account: AccountId, op: &Op) -> Result<Answered, DbError> {
        if op.changes() {
            self.writer.request(account, op)
        } else {
            answers::look_up(&mut *self.reader, op)
        }
    }

    pub(crate) fn listen(&mut self, wire: WireId, room: RoomId) {
        if let Some(connection) = self.connections.get(&wire) {
            self.hub.listen(connection.member.id, room);
        }
    }

    fn admit(
        &mut self,
        hello: &Hello,
        id: landfall::server::hub::ConnectionId,
    ) -> Result<Admission, Bye> {
        let token = answers::token_hash(&hello.token);
        let unavailable = |_| bye(CloseCode::Overloaded, "the server cannot read its accounts");
        let known = self
            .reader
            .authenticate(hello.device, token)
            .map_err(unavailable)?;
        let account = match (known, &hello.enrol) {
            (Some(account), _) => account,
            (None, None) => {
                return Err(bye(
                    CloseCode::Unauthorized,
                    "unknown device or wrong token",
                ));
            }
            (None, Some(enrol)) => {
                let enrolled: Arc<Mutex<Option<Result<Enrolled, DbError>>>> = Arc::default();
                let into = enrolled.clone();
                let answer =
                    Box::new(move |result| *into.lock().expect("not poisoned") = Some(result));
                self.writer.enrol(enrol, hello.device, token, answer);
                let enrolled = enrolled
                    .lock()
                    .expect("not poisoned")
                    .take()
                    .expect("is answered at once");
                enrolled
                    .map_err(unavailable)?
                    .into_account()
                    .map_err(answers::refuses_enrolment)?
            }
        };
        let from = (hello.instance, hello.dial);
        let (session, resumed) =
            self.hub
                .register(id, (account.account, hello.device), from, hello.session)?;
        let rooms = self.reader.rooms_of(account.account).expect("reads");
        self.hub.join_rooms(id, account.account, &rooms);
        Ok(Admission {
            server: self.hub.server,
            session,
            resumed,
            account: account.account,
            name: account.name,
            rooms,
            now: system::unix_ms(),
        })
    }
}

fn stored(input: &session::Input) -> Option<EntryId> {
    match input {
        session::Input::Judged(append, Ok(Verdict::Stored(_))) => Some(append.send.id),
        _ => None,
    }
}
