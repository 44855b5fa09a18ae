//! PURE. The inputs and effects of the screen.

use super::inspector::InspectorSnapshot;
use super::key::Key;
use crate::client::session::{Command, Status};
use crate::client::store::{Hit, Line, Mine, OutboxCounts, Pending, RoomRow};
use crate::client::{Outcome, Write};
use crate::protocol::{Answer, EntryId, Kind, RoomId, Seq, Signal};

/// An event for the screen.
#[derive(Debug)]
pub(crate) enum Input {
    Key(Key),
    Paste(String),
    Resized(u16, u16),
    Focused(bool),
    Status(Box<Status>),
    Loaded(Box<Snapshot>),
    Earlier(Vec<Line>),
    Later(Vec<Line>),
    Found(Vec<Hit>),
    /// The composed entry was saved, or could not be.
    Submitted(Result<Outcome, String>),
    /// Another write ended.
    Wrote(Result<Outcome, String>),
    Answered(ServerQuestion, Result<Answer, String>),
    Typing(Signal),
    /// New data for the inspector.
    Inspected(Box<InspectorSnapshot>),
}

/// Data from the store, of one instant.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) me: Mine,
    pub(crate) rooms: Vec<RoomRow>,
    pub(crate) counts: OutboxCounts,
    pub(crate) room: Option<RoomId>,
    pub(crate) lines: Vec<Line>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) gaps: Vec<(Seq, u64)>,
    pub(crate) aside: usize,
    pub(crate) at_start: bool,
    pub(crate) at_end: bool,
}

/// A room that the user asked for, and the number of user actions up to that moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Intention {
    pub(crate) room: RoomId,
    /// `App::intentions` then.
    pub(crate) count: u64,
}

/// A question of the screen to the server.
#[derive(Clone, Debug)]
pub(crate) enum ServerQuestion {
    /// Join a room, or create it; requested in the intention's room.
    Enter(Intention),
    /// The members of the room of this name.
    Who(Intention, String),
}

/// The effects for the driver, in order.
pub(crate) type Effects = Vec<Effect>;

/// One thing that the driver is to do.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Effect {
    /// Store the composed text, possibly replacing a rejected message; the driver makes id and
    /// time.
    Submit {
        room: RoomId,
        kind: Kind,
        body: String,
        replaces: Option<EntryId>,
    },
    /// Store a membership entry or the like, which is not the text in the composer.
    Enqueue {
        room: RoomId,
        kind: Kind,
        body: String,
    },
    SaveDraft(RoomId),
    Write(Write),
    Discard(EntryId),
    Command(Command),
    Ask(Ask),
    LoadEarlier,
    LoadLater,
    /// Search the stored messages for words.
    Find(String),
    Load,
    /// Update the inspector, if it is open.
    Inspect,
    Redraw,
    Suspend,
    Quit,
}

/// A request to the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    Find {
        name: String,
        by: Intention,
    },
    Create {
        name: String,
        topic: String,
        by: Intention,
    },
    Who {
        name: String,
        by: Intention,
    },
}

impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}
