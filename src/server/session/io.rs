//! PURE. The inputs and effects of a server session, and its settings.

use std::sync::Arc;
use std::time::Duration;

use super::pacer::Confirmed;
use super::{ANSWERS_MAX, LOG_LANE_FRAMES};
use crate::protocol::{
    AccountId, Bye, ClientFrame, CloseCode, Fetch, Hello, Open, Position, Reply, Room, RoomId, Seq,
    ServerFrame, ServerId, SessionId, Signal, limits,
};
use crate::server::storage::{Append, LogPage, ReceiptUpdate, Verdict, Watermarks};

/// The result of a lookup of a client's positions in a room's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Located {
    /// The highest of the client's positions that the log contains.
    pub common: Option<Position>,
    /// The head of the log, at or above `common`.
    pub head: Position,
}

impl Located {
    /// Combines the results of two reads of the log, between which it may have grown.
    #[must_use]
    pub fn new(common: Option<Position>, head: Position) -> Self {
        Self {
            common,
            head: common.map_or(head, |common| head.max(common)),
        }
    }
}

/// Limits of one page, which has at least one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageSize {
    /// Maximum number of entries.
    pub entries: usize,
    /// Maximum encoded bytes.
    pub bytes: usize,
}

/// What an operator may set for a server, and limits that a simulation makes small.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Interval after which a client pings an idle connection; sent in `welcome`.
    pub heartbeat: Duration,
    /// Maximum burst of entries of one device.
    pub rate_burst: u32,
    /// Maximum entries per second of one device.
    pub rate_per_second: u32,
    /// Number of entries before the head at which a jumping subscription starts.
    pub snapshot_entries: u64,
    /// Limits of a page of the log.
    pub page: PageSize,
    /// Maximum unsent frames in the log lane of one client.
    pub log_lane_frames: usize,
    /// Maximum unsent answers; a connection with more is not read.
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

/// A run that was just appended, encoded once for all subscribers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Live {
    pub room: RoomId,
    /// The run starts after this seq.
    pub prev: Seq,
    pub last: Position,
    /// The encoded `entries` frame.
    pub text: Arc<str>,
}

/// An admitted device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admission {
    pub server: ServerId,
    pub session: SessionId,
    /// Whether the session, and with it presence, was resumed.
    pub resumed: bool,
    /// The account of the device.
    pub account: AccountId,
    pub name: String,
    pub rooms: Vec<Room>,
    /// The server's clock, ms since 1970.
    pub now: u64,
}

/// The inputs of [`ServerSession`](super::ServerSession).
#[derive(Clone, Debug)]
pub enum Input {
    /// A deadline passed.
    Tick,
    /// Bytes arrived.
    Bytes,
    /// A frame arrived.
    Frame(Box<ClientFrame>),
    /// Invalid data arrived.
    BadFrame(CloseCode, String),
    /// The client closed the connection.
    Closed,
    /// The hello was looked up.
    Admitted(Box<Result<Admission, Bye>>),
    /// An append was judged, or the storage failed.
    Judged(Box<Append>, Result<Verdict, String>),
    /// Positions were looked up. `None` when there is no such room.
    Located(Open, Option<Located>),
    /// A page for a subscription.
    Page(RoomId, Seq, Option<LogPage>),
    /// A page for a `fetch`.
    Fetched(Fetch, Option<LogPage>),
    /// The result of a request.
    Replied(Reply),
    /// Entries were appended to a subscribed room.
    Live(Arc<Live>),
    /// Current heads, after the hub dropped events.
    Heads(Vec<(RoomId, Position)>),
    /// The account's rooms, after the hub dropped events.
    Rooms(Vec<Room>),
    /// The lowest watermarks of a room changed.
    Watermarks(Watermarks),
    /// A member came online or went offline.
    Presence(RoomId, u64),
    /// New signals of other members: see [`ServerSession::signals_from`](super::ServerSession::signals_from).
    Signals(Vec<Signal>),
    /// The client confirmed some probes.
    Confirmed(Confirmed),
    /// A room of this account changed.
    Room(Room),
    /// This many frames of the log lane were sent.
    Drained(usize),
    /// An answer was sent.
    Answered,
    /// Close the connection.
    Bye(Bye),
}

/// A queue of the connection's writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Signals; sent before the log.
    Ephemeral,
    /// Entries and changes of rooms.
    Log,
}

/// The effects of [`ServerSession`](super::ServerSession), carried out by its driver.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send in the lane of answers.
    Answer(ServerFrame),
    /// Send in the log lane.
    Log(Arc<str>),
    /// Send before the log.
    Fresh(Arc<str>),
    /// Send a probe in a lane; the client's confirmation covers all earlier frames of the lane.
    Probe(Lane, u64),
    /// Look up a hello. The device's older connection is closed before it is admitted.
    Admit(Box<Hello>),
    /// Pass to the committer.
    Append(Box<Append>),
    /// Subscribe to live entries first, then look up the positions.
    Locate(Open),
    /// End the live entries of a room.
    Unsubscribe(RoomId),
    /// Read a page for a subscription.
    ReadPage(RoomId, Seq, PageSize),
    /// Read a page for a `fetch`.
    Fetch(Fetch, PageSize),
    /// Store watermarks at a convenient time.
    Mark(ReceiptUpdate),
    Request(u64, AccountId, crate::protocol::Op),
    /// Publish to the room's subscribers.
    Signal(Signal),
    /// Send a `bye` and end the connection.
    Close(Bye),
}
