//! PURE. What goes into a session and what comes out of it.

use crate::client::cause::Cause;
use crate::client::persist::{Found, Outcome, Query, Ticket, Write};
use crate::protocol::{Dial, Op, Reply, RoomId, Seq, ServerFrame, ServerId, Signal};

/// Everything that can happen to a session.
#[derive(Clone, Debug)]
pub enum Input {
    Tick,
    /// A dial has connected; the answer to the upgrade named this server.
    Opened {
        dial: Dial,
        server: ServerId,
    },
    /// Bytes came in, whatever they are.
    Bytes(Dial),
    /// A frame came in.
    Received(Dial, Box<ServerFrame>),
    /// The connection ended, or could not be made.
    Ended(Dial, Cause),
    /// A write is on disk.
    Persisted(Ticket, Outcome),
    /// A write is not on disk.
    PersistFailed(Ticket, String),
    /// A query was answered.
    Found(Ticket, Found),
    /// Entries were added to the outbox.
    OutboxGrew,
    /// Anything in the outbox may have changed.
    OutboxChanged,
    /// Another process on the profile changed something: a person may have read on there.
    ReadElsewhere,
    /// A command of the user, or of the driver.
    Command(Command),
}

/// What a person, or a driver on their behalf, may ask of a session.
#[derive(Clone, Debug)]
pub enum Command {
    /// Dial now, or probe the connection.
    RetryNow,
    /// The machine has slept: a wait is cut short and a link is probed, but no choice of the user is
    /// overruled.
    Woke,
    /// An address of this machine came or went: as if it had slept.
    NetworkChanged,
    /// Disconnect, until another command.
    GoOffline(Cause),
    GoOnline,
    /// The link is this process's from now on; another one had it, and wrote: what the store contains
    /// is loaded first.
    Own {
        /// Whether to dial after that.
        dials: bool,
    },
    /// This room is on screen: it comes first.
    Focus(RoomId),
    /// Everything up to here was seen.
    Read {
        room: RoomId,
        /// The last seq on screen.
        seq: Seq,
    },
    /// Send this signal to the members who are online, unless a newer one replaces it before.
    Signal(Signal),
    /// The user scrolled to the lowest stored entry.
    FetchBefore(RoomId),
    /// A reader is at this seq: what follows is wanted first, and the gap above it is filled
    /// from below.
    FetchAfter(RoomId, Seq),
    /// Ask the server for something.
    Request {
        key: u64,
        op: Op,
    },
}

/// What a driver is to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    Dial(Dial),
    Transmit(Dial, String),
    /// End a connection, whatever state it is in.
    Hangup(Dial),
    /// Store something and report the result.
    Persist(Ticket, Write),
    /// Look something up and report what was found.
    Ask(Ticket, Query),
    /// A member sent an ephemeral signal.
    Signal(Signal),
    /// The answer to [`Command::Request`].
    Reply(u64, Reply),
    /// Drop this core, keep its link, and load the rest again from the store.
    Reload,
}
