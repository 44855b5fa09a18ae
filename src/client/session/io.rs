//! PURE. The inputs and effects of a session.

use crate::client::cause::Cause;
use crate::client::persist::{Found, Outcome, Query, Ticket, Write};
use crate::protocol::{Dial, Op, Reply, RoomId, Seq, ServerFrame, ServerId, Signal};

/// The inputs of a session.
#[derive(Clone, Debug)]
pub enum Input {
    Tick,
    /// A dial has connected; the answer to the upgrade named this server.
    Opened {
        dial: Dial,
        server: ServerId,
    },
    /// Bytes arrived.
    Bytes(Dial),
    /// A frame arrived.
    Received(Dial, Box<ServerFrame>),
    /// The connection ended, or could not be opened.
    Ended(Dial, Cause),
    /// The result of a write that is on disk.
    Persisted(Ticket, Outcome),
    /// A write failed.
    PersistFailed(Ticket, Cause),
    /// The result of a query.
    Found(Ticket, Found),
    /// Entries were added to the outbox.
    OutboxGrew,
    /// Anything in the outbox may have changed.
    OutboxChanged,
    /// Another process of the profile changed the store; for example, the user read messages there.
    ChangedElsewhere,
    /// A command of the user, or of the driver.
    Command(Command),
}

/// The commands of the user, or of a driver for the user.
#[derive(Clone, Debug)]
pub enum Command {
    /// Dial now, or probe the connection.
    RetryNow,
    /// The machine has slept: ends a backoff and probes an open connection. A user who went offline
    /// stays offline.
    Woke,
    /// An address of this machine appeared or disappeared; handled like [`Command::Woke`].
    NetworkChanged,
    /// Disconnect, until another command.
    GoOffline(Cause),
    GoOnline,
    /// This process now has the connection's lock. Reloads the store first, since another process
    /// wrote to it.
    LockTaken {
        /// Whether to dial after the reload.
        dials: bool,
    },
    /// Sets the room on screen, which is opened first.
    Focus(RoomId),
    /// The user has read the log up to here.
    Read {
        room: RoomId,
        /// The last seq on screen.
        seq: Seq,
    },
    /// Send this signal to the members who are online, unless a newer one replaces it before.
    Signal(Signal),
    /// The user scrolled to the lowest stored entry.
    FetchBefore(RoomId),
    /// Fetches the entries after this seq first, for a reader; the gap is filled upwards.
    FetchAfter(RoomId, Seq),
    /// Send a request to the server.
    Request {
        key: u64,
        op: Op,
    },
}

/// The effects of a session, carried out by its driver.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    Dial(Dial),
    Transmit(Dial, String),
    /// Close a connection in any state.
    Hangup(Dial),
    /// Store something and report the result.
    Persist(Ticket, Write),
    /// Run a query and report its result.
    Ask(Ticket, Query),
    /// A member sent an ephemeral signal.
    Signal(Signal),
    /// The reply to [`Command::Request`].
    Reply(u64, Reply),
    /// Replace this core by one with the same link and the content of the store.
    Reload,
}
