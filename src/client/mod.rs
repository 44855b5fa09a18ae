//! The client core: a database with a wire on one side and readers on the other.
//!
//! [`session`] decides, with its parts [`link`], [`outbox`] and [`log`]. They are pure: time and
//! randomness are arguments. [`store`] saves everything that must survive, [`actor`] is the async
//! loop over socket, timer and store, and [`socket`] is one connection. The screen never uses the
//! wire: it reads the store, and sends commands to the actor.

pub mod actor;
mod cause;
pub mod follow;
mod journal;
mod limits;
pub mod link;
mod lock;
mod log;
mod meter;
mod outbox;
mod persist;
mod ring_buffer;
pub mod session;
mod socket;
pub mod store;
mod trace;

pub use cause::Cause;
pub use journal::{Ended, JournalDetails, JournalLine, brief, counted, grouped, offset_words};
pub use limits::ClientLimits;
pub use lock::LinkLock;
pub use log::{Chained, OwnLast, StoredRange};
pub use meter::{LinkCounters, ReceivedWelcome, Welcomed, quantile};
pub use outbox::Tries;
pub use persist::*;
pub use ring_buffer::RingBuffer;
pub use socket::{Connect, Connecting, Stream, tcp};
pub use trace::{FrameDirection, Trace, TracedFrame};
