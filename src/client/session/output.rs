//! PURE. What leaves the session in one step, and the connection that it leaves on.

use std::collections::BTreeMap;

use crate::client::link::{Due, Link, Now};
use crate::client::meter::Metrics;
use crate::client::persist::{Query, Ticket, Write};
use crate::client::session::io::Effect;
use crate::protocol::{ClientFrame, Op, Reply, ReplyCode, RoomId, encode};

/// Receipts and signals wait while more bytes than these are unanswered: a dead connection must
/// not look like a slow one because of them.
const UNANSWERED_MAX: u64 = 2 * 1024;

/// Who a request to the server was made for.
#[derive(Clone, Debug)]
pub(super) enum Asker {
    /// The user; the key names the answer.
    User(u64),
    /// A room that the welcome did not name: does it exist?
    FindRoom(RoomId),
    /// A room that the server lost, created again.
    CreateRoom(RoomId),
}

/// Collects the effects of one step. It owns the link state, because each frame that is sent
/// counts there, and numbers the requests to the store and to the server.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) link: Link,
    pub(super) metrics: Metrics,
    now: Now,
    tickets: u64,
    /// Requests to the store up to this number were made for a connection that has ended.
    tickets_of_ended: u64,
    requests: u64,
    asked: BTreeMap<u64, Asker>,
    effects: Vec<Effect>,
}

impl Output {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            metrics: Metrics::default(),
            now: Now::ZERO,
            tickets: 0,
            tickets_of_ended: 0,
            requests: 0,
            asked: BTreeMap::new(),
            effects: Vec::new(),
        }
    }

    /// Begins a step at this time.
    pub(super) fn begin(&mut self, now: Now) {
        debug_assert!(
            self.effects.is_empty(),
            "the effects of a step are taken with it"
        );
        self.now = now;
    }

    /// The time of this step.
    pub(super) const fn now(&self) -> Now {
        self.now
    }

    /// Ends a step: returns its effects, in the order in which they are to be carried out.
    pub(super) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn persist(&mut self, write: Write) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.effects.push(Effect::Persist(ticket, write));
        ticket
    }

    pub(super) fn ask(&mut self, query: Query) {
        self.tickets += 1;
        self.effects.push(Effect::Ask(Ticket(self.tickets), query));
    }

    /// Whether the store was asked for a connection that has ended since.
    pub(super) const fn belongs_to_ended(&self, ticket: Ticket) -> bool {
        ticket.0 <= self.tickets_of_ended
    }

    #[cfg(test)]
    pub(super) const fn last_ticket(&self) -> Ticket {
        Ticket(self.tickets)
    }

    /// Sends one frame on the current connection. Returns the connection's byte count after it.
    pub(super) fn send(&mut self, frame: &ClientFrame) -> Option<u64> {
        let dial = self.link.current()?;
        let text = encode(frame).ok()?;
        let sent_up_to = self.link.on_sent(text.len(), self.now);
        self.metrics.link.frames_out += 1;
        self.effects.push(Effect::Transmit(dial, text));
        Some(sent_up_to)
    }

    /// Dials or pings. A deadline that has passed is the session's to handle.
    pub(super) fn perform(&mut self, due: Due) {
        match due {
            Due::Nothing | Due::Dead(..) => {}
            Due::Dial(dial) => self.effects.push(Effect::Dial(dial)),
            Due::Ping(n) => {
                self.send(&ClientFrame::Ping { n });
            }
        }
    }

    /// Whether frames that get no answer of their own may be sent now. If not, a ping is sent: its
    /// answer makes room.
    pub(super) fn may_send_unanswered(&mut self) -> bool {
        let may = self.link.unproved() <= UNANSWERED_MAX;
        if !may {
            let due = self.link.probe(self.now);
            self.perform(due);
        }
        may
    }

    /// The number of the next request to the server.
    pub(super) const fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Sends a request to the server and returns its number. Without a connection, a user gets the
    /// answer that there is none.
    pub(super) fn request(&mut self, asker: Asker, op: Op) -> Option<u64> {
        if self.link.up().is_none() {
            self.decline(asker);
            return None;
        }
        let request = self.next_request();
        self.asked.insert(request, asker);
        self.send(&ClientFrame::Request { request, op });
        Some(request)
    }

    /// A request was answered: who made it.
    pub(super) fn on_reply(&mut self, request: u64) -> Option<Asker> {
        self.asked.remove(&request)
    }

    fn decline(&mut self, asker: Asker) {
        if let Asker::User(key) = asker {
            self.effects.push(Effect::Reply(key, not_connected()));
        }
    }

    /// Gives up a dial that takes long, so that another one can be made.
    pub(super) fn abandon_dial(&mut self) {
        if let Some(dial) = self.link.abandon_dial(self.now) {
            self.effects.push(Effect::Hangup(dial));
            self.tickets_of_ended = self.tickets;
        }
    }

    /// Closes the current connection, in any state.
    pub(super) fn hang_up(&mut self) {
        if let Some(dial) = self.link.current() {
            self.effects.push(Effect::Hangup(dial));
        }
    }

    /// The connection has ended: requests on it get no other reply.
    pub(super) fn on_connection_ended(&mut self) {
        self.tickets_of_ended = self.tickets;
        self.metrics.on_link_ended();
        for (_, asker) in std::mem::take(&mut self.asked) {
            self.decline(asker);
        }
    }
}

/// The answer to a request that was made without a connection.
pub(super) fn not_connected() -> Reply {
    let reason = "not connected: try again when you are".to_owned();
    Reply {
        request: 0,
        ok: None,
        code: Some(ReplyCode::NotConnected),
        reason: Some(reason),
    }
}
