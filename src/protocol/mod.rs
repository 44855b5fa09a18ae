//! The protocol of both sides: frames, ids, positions, limits, close codes and the codec.
//!
//! This module has no I/O, clock or randomness. Both [`crate::client`] and [`crate::server`] use
//! it. `PROTOCOL.md` specifies the same for other implementations.

mod address;
mod chain;
mod close;
mod coalesced;
mod codec;
mod frame;
mod ids;
pub mod limits;
mod sanitize;
mod signal;
#[cfg(test)]
mod tests;

pub use address::{Address, AddressError};
pub use chain::{Chain, Position};
pub use close::{CloseAction, CloseCode};
pub use coalesced::CoalescedSignals;
pub use codec::{FrameError, decode, encode, encoded_body_len};
pub use frame::*;
pub use ids::*;
pub use sanitize::{is_valid_name, sanitize, sanitize_json, sanitize_line};
pub use signal::Signal;

/// Time since the process started, by a monotonic clock. Cores receive it as an argument.
pub type Now = std::time::Duration;

/// The WebSocket subprotocol of both sides.
pub const SUBPROTOCOL: &str = "landfall.v1";
/// The path of the WebSocket endpoint.
pub const PATH: &str = "/v1";
/// The header of the `101` response with the [`ServerId`], which the client checks before it sends
/// its token.
pub const SERVER_HEADER: &str = "x-landfall-server";
