//! The server of a world: start, kill, handover, and its effects.

use std::time::Duration;

use landfall::protocol::{ServerFrame, encode, limits};
use landfall::server::session as server_session;

use super::{Event, World};
use crate::net::{Item, WireDirection, WireId};
use crate::server::{Server, ServerEffect};

/// Pause before a server looks up a commit in doubt.
const UNSURE_PAUSE: Duration = Duration::from_secs(1);

impl World {
    pub(crate) fn start_server(&mut self) {
        if self.server.is_none() {
            self.note(|| "the server starts".to_owned());
            self.server_epoch += 1;
            (self.commit_is_due, self.look_after_is_due) = (false, false);
            self.server = Some(Server::start(
                &self.backing,
                &self.faults,
                self.settings.clone(),
            ));
        }
    }

    /// Restores the copy of the server's data, while the server does not run.
    pub(crate) fn put_server_back(&mut self) {
        let heads = self.heads_now();
        if self.backing.restore() {
            for (room, head) in heads {
                let known = self.heads_before_restore.entry(room).or_default();
                *known = head.max(*known);
            }
            self.storage = self.backing.open();
            self.restores.push(self.now);
            for device in 0..self.devices.len() {
                self.devices[device].linked = false; // the copy may be older than it
                self.link_device(device);
            }
        }
    }

    /// The host quits, and another process of the machine takes over: all connections are closed,
    /// what they sent is committed, and the data is opened again at once.
    pub(crate) fn hand_hosting_over(&mut self) {
        let now = self.now;
        if let Some(server) = &mut self.server {
            let effects = server.drain(now);
            self.fulfil(effects);
            self.note(|| "hosting is handed over".to_owned());
            self.server = None;
        }
        self.start_server();
    }

    pub(crate) fn kill_server(&mut self) {
        self.note(|| "the server is killed".to_owned());
        let Some(server) = self.server.take() else {
            return;
        };
        for wire in server.wires() {
            self.transmit(wire, WireDirection::Down, Item::Reset);
        }
    }

    pub(super) fn step_server(&mut self, wire: WireId, input: server_session::Input) {
        let Some(server) = &mut self.server else {
            return;
        };
        let effects = server.step(wire, input, self.now);
        self.fulfil(effects);
        self.schedule_server_tick(wire);
    }

    pub(super) fn schedule_server_tick(&mut self, wire: WireId) {
        let Some(deadline) = self
            .server
            .as_mut()
            .and_then(|server| server.next_tick(wire))
        else {
            return;
        };
        self.at(deadline, Event::ServerTick(wire));
    }

    pub(super) fn fulfil(&mut self, effects: Vec<ServerEffect>) {
        for wish in effects {
            match wish {
                ServerEffect::Answer(wire, text) => self.send_down(wire, text, false),
                ServerEffect::Log(wire, text) => self.send_down(wire, text, true),
                ServerEffect::Later(wire, input) => {
                    // One thread reads and one writes: each answers in order, and neither waits for
                    // the other.
                    let is_written = matches!(input, server_session::Input::Judged(..));
                    let wait = Duration::from_micros(self.rng.u64(20..3_000));
                    let last = self.answered_at.entry((wire, is_written)).or_default();
                    *last = (self.now + wait).max(*last);
                    let at = *last;
                    self.at(at, Event::ServerInput(wire, Box::new(input)));
                }
                ServerEffect::Close(wire, bye) => {
                    self.note(|| format!("server closes {wire:?}: {bye:?}"));
                    self.count("goodbyes");
                    let text = encode(&ServerFrame::Bye(bye)).expect("encodes");
                    self.transmit(wire, WireDirection::Down, Item::Text(text));
                    self.transmit(wire, WireDirection::Down, Item::Close);
                    if let Some(server) = &mut self.server {
                        server.end(wire, false);
                    }
                }
                ServerEffect::Commit => {
                    if !std::mem::replace(&mut self.commit_is_due, true) {
                        let (wait, epoch) =
                            (self.disk_takes().max(self.commit_takes), self.server_epoch);
                        self.after(wait, Event::Commit(epoch));
                    }
                }
                ServerEffect::CheckStorage => {
                    if !std::mem::replace(&mut self.look_after_is_due, true) {
                        self.after(UNSURE_PAUSE, Event::CheckStorage(self.server_epoch));
                    }
                }
                ServerEffect::Fresh(wire, text) => {
                    self.transmit(wire, WireDirection::Down, Item::Text(text));
                }
                ServerEffect::Probe(wire, n) => {
                    self.transmit(wire, WireDirection::Down, Item::Probe(n));
                }
                ServerEffect::Tick(wire) => self.schedule_server_tick(wire),
                ServerEffect::Listen(wire, room) => {
                    self.after(Duration::from_millis(5), Event::Listen(wire, room))
                }
                ServerEffect::Acked(ServerFrame::Ack { id, room, seq, .. }) => {
                    self.count("acked");
                    self.check_ack(room, id, seq);
                }
                ServerEffect::Acked(_) => {}
                ServerEffect::Expire(session) => {
                    let (wait, epoch) = (
                        Duration::from_millis(limits::SESSION_MS_MAX),
                        self.server_epoch,
                    );
                    self.after(wait, Event::Expire(epoch, session));
                }
                ServerEffect::Deduplicated => self.count("deduplicated"),
                ServerEffect::Violate(broken) => self.judge(Some(broken)),
            }
        }
    }

    pub(super) fn send_down(&mut self, wire: WireId, text: String, is_log: bool) {
        self.note(|| format!("server -> {wire:?} {text}"));
        let left = self
            .transmit(wire, WireDirection::Down, Item::Text(text))
            .unwrap_or(self.now);
        self.at(left, Event::Left(wire, is_log));
    }
}
