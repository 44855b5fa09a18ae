//! PURE. Which part of the session handles each frame of the server.

use super::output::Asker;
use super::rooms::contradiction;
use super::{Effect, Session};
use crate::client::cause::Cause;
use crate::client::persist::Write;
use crate::protocol::{Head, Reply, ServerFrame};

impl Session {
    /// # Errors
    /// The frame contradicts the protocol: the connection is to be ended for this cause.
    pub(super) fn on_frame(&mut self, frame: ServerFrame) -> Result<(), Cause> {
        let is_welcomed = self.out.link.is_up();
        self.out.metrics.link.frames_in += 1;
        match frame {
            ServerFrame::Welcome(welcome) if !is_welcomed => return self.on_welcome(&welcome),
            ServerFrame::Bye(bye) => self.on_bye(bye),
            ServerFrame::Unknown => {}
            _ if !is_welcomed => return Err(contradiction("it sent a frame before its welcome")),
            ServerFrame::Welcome(_) => return Err(contradiction("it sent a second welcome")),
            ServerFrame::Room(room) => {
                return self.rooms.on_room(room, &self.outbox, &mut self.out);
            }
            ServerFrame::Opened { room, from, head } => {
                return self
                    .rooms
                    .on_opened(room, from, head, &self.outbox, &mut self.out);
            }
            ServerFrame::Diverged { room } => return self.rooms.on_diverged(room, &mut self.out),
            ServerFrame::Entries(entries) => {
                return self.rooms.on_entries(
                    &entries,
                    &self.identity,
                    &mut self.outbox,
                    &mut self.out,
                );
            }
            ServerFrame::Ack { id, room, seq, .. } => self.on_ack(room, id, seq),
            ServerFrame::Reject(reject) => self.on_reject(reject),
            ServerFrame::Marks {
                room,
                delivered,
                read,
            } => {
                self.out.persist(Write::Watermarks {
                    room,
                    delivered,
                    read,
                });
            }
            ServerFrame::Signal(signal) => self.out.push(Effect::Signal(signal)),
            ServerFrame::Presence { room, online } => self.rooms.set_online(room, online),
            ServerFrame::Reply(reply) => self.on_reply(reply),
            ServerFrame::Pong { n, heads } => self.on_pong(n, &heads),
        }
        Ok(())
    }

    fn on_reply(&mut self, reply: Reply) {
        match self.out.on_reply(reply.request) {
            None => {}
            Some(Asker::User(key)) => self.out.push(Effect::Reply(key, reply)),
            Some(Asker::FindRoom(room)) => self.rooms.on_room_found(room, &reply, &mut self.out),
            Some(Asker::CreateRoom(room)) => {
                self.rooms.on_room_created(room, &reply, &mut self.out);
            }
        }
    }

    fn on_pong(&mut self, n: u64, heads: &[Head]) {
        self.out.link.on_pong(n, self.out.now());
        self.rooms.report_waiting(&mut self.out);
        self.out.persist(Write::LastSeen);
        // Another process may have died between its commit and its notification.
        self.ask_for_new_rows();
        self.rooms.on_heads(heads, &mut self.outbox, &mut self.out);
    }
}
