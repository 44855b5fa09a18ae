//! PURE. The modes of a session. While the store is being reloaded, the session only notes
//! requests.

use std::collections::BTreeMap;

use super::io::{Command, Effect, Input};
use super::output::not_connected;
use super::{Output, Rooms};
use crate::protocol::{RoomId, Seq};

/// Whether a session acts on its inputs.
#[derive(Debug)]
pub(super) enum Mode {
    Active,
    /// The store may contain something else than the session assumes: a write failed, or another
    /// process wrote. Nothing is done until it is loaded again.
    Reloading(Deferred),
    /// The store is reloaded. The next step starts with the deferred requests.
    Loaded(Deferred),
}

/// The requests that arrived during a reload.
#[derive(Clone, Default, Debug)]
pub(super) struct Deferred {
    pub(super) dials: bool,
    /// Rooms that were read, and how far.
    pub(super) reads: BTreeMap<RoomId, Seq>,
    /// The outbox changed, perhaps after it was loaded.
    pub(super) asks_for_outbox: bool,
}

impl Deferred {
    /// Notes the request of an input. Everything else that it reports is out of date.
    pub(super) fn defer(&mut self, input: Input, rooms: &mut Rooms, out: &mut Output) {
        match input {
            Input::Command(Command::RetryNow | Command::GoOnline) => self.dials = true,
            Input::Command(Command::LockTaken { dials }) => self.dials = dials,
            Input::Command(Command::GoOffline(why)) => {
                self.dials = false;
                out.link.go_offline(why);
            }
            Input::Command(Command::Focus(room)) => rooms.set_focus(Some(room)),
            Input::Command(Command::Read { room, seq }) => {
                let read = self.reads.entry(room).or_default();
                *read = seq.max(*read);
            }
            Input::Command(Command::Request { key, .. }) => {
                out.push(Effect::Reply(key, not_connected()));
            }
            Input::OutboxGrew | Input::OutboxChanged | Input::ChangedElsewhere => {
                self.asks_for_outbox = true;
            }
            Input::Tick
            | Input::Opened { .. }
            | Input::Bytes(_)
            | Input::Received(..)
            | Input::Ended(..)
            | Input::Persisted(..)
            | Input::PersistFailed(..)
            | Input::Found(..)
            | Input::Command(
                Command::Woke
                | Command::NetworkChanged
                | Command::Signal(_)
                | Command::FetchBefore(_)
                | Command::FetchAfter(..),
            ) => {}
        }
    }
}
