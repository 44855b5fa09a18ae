//! Landfall: a terminal chat that never loses a message.
//!
//! The rooms of the house, and who may know whom, are on the map in `ARCHITECTURE.md`: `protocol`
//! is what both sides send, `client` and `server` are the two sides, `tui` is the screen over the
//! client, `cli` turns commands into the parts they need, and `config` knows where things are.

pub mod chaos;
pub mod cli;
pub mod client;
pub mod config;
pub mod peers;
pub mod planted_bug;
pub mod print;
pub mod protocol;
pub mod server;
pub mod sqlite;
pub mod system;
pub mod tui;
