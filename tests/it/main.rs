//! The real binary in pseudo-terminals and on real sockets, with the faults that it exists for.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests measure the real clock"
)]

mod acts;
mod backup;
mod browser;
mod chaos;
mod chat;
mod commands;
mod damage;
mod demo;
mod disk;
mod faults;
mod files;
mod health;
mod hostile;
mod inspector;
mod kills;
mod live;
mod picture;
mod played;
mod power;
mod replay;
mod restored;
mod scenarios;
mod screen;
mod support;
