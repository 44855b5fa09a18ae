//! A faulty proxy: it forwards the bytes between a client and a server, and does to them
//! what bad networks do.
//!
//! `plan` is its commands and what they mean, `frames` finds the frames in a server's
//! bytes, `link` carries one connection, `proxy` takes connections in and has the faults in force,
//! `event` is what it reports. It works on bytes and knows nothing of landfall but that a
//! frame names its type.

mod event;
mod frames;
mod link;
mod plan;
mod proxy;
mod shared;

pub use event::{Event, FaultCounts, What};
pub use plan::{BadCommand, Direction, FaultCommand, Step, command_text, steps};
pub use proxy::Proxy;
