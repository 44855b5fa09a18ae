//! The server: the other half of the client, mirrored.
//!
//! [`session`] decides for one connection and [`subscription`] for one room on it; [`judge`]
//! decides whether an entry is appended, [`enrolment`] whether a device is admitted. All four are
//! pure. The drivers around them: [`http`]
//! accepts, a `connection` carries frames, the `committer` is the thread of the [`writer`] (appends
//! that are pending at the same time share one transaction and one sync), the `reader` is the
//! thread that reads, [`hub`] knows the connections and publishes appended entries, and [`answers`]
//! carries out requests on a storage. A simulation drives the same cores, hub, writer and answers
//! without any thread.

pub mod answers;
mod committer;
mod connection;
pub mod enrolment;
mod guesses;
mod health;
pub mod http;
pub mod hub;
pub mod judge;
mod prober;
mod rate;
mod reader;
pub mod receipts;
pub mod session;
pub mod storage;
pub mod subscription;
pub mod writer;

pub use health::Health;
pub use http::{Server, ServerOptions, renew_invite};
