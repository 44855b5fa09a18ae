//! The server: the other half of the client, mirrored.
//!
//! [`session`] decides for one connection and [`subscription`] for one room on it; [`judge`]
//! decides whether an entry is appended. All three are pure. The drivers around them: [`http`]
//! accepts, a `connection` carries frames, the [`committer`] is the one thread that writes (what
//! waits at the same moment shares one transaction and one sync), the `reader` is the one that
//! reads, [`hub`] knows who is connected and hands on what was appended, and [`answers`] are what a
//! storage is asked. A simulation drives the same cores, hub, writer and answers without any
//! thread.

pub mod answers;
pub mod committer;
mod connection;
mod guesses;
mod health;
pub mod http;
pub mod hub;
pub mod judge;
mod prober;
mod rate;
mod reader;
pub mod session;
pub mod storage;
pub mod subscription;

pub use health::Health;
pub use http::{Server, ServerOptions, renew_invite};
