//! The wires of a world: dialled, slow, cut, and the frames at both ends.

use landfall::client::session;
use landfall::server::session as server_session;
use std::time::Duration;

use landfall::client::Cause;
use landfall::protocol::{ClientFrame, CloseCode, Dial, ServerFrame, decode};

use super::{Event, World};
use crate::check::Promise;
use crate::net::{Flow, Item, Time, Weather, Wire, WireDirection, WireId};

impl World {
    pub(super) fn dial(&mut self, device: usize, dial: Dial) {
        self.count("dials");
        let broken = self.watch.on_dial(device, self.now);
        self.judge(broken);
        let (weather, epoch) = (self.devices[device].weather, self.devices[device].epoch);
        let trip = weather.one_way(&mut self.rng);
        if weather.refuses || self.server.is_none() {
            return self.after(trip * 2, Event::Refused(device, epoch, dial));
        }
        self.next_wire += 1;
        let wire = WireId(self.next_wire);
        self.wires.insert(wire, Wire::new(device, dial, epoch));
        if let Some(process) = &mut self.devices[device].process {
            process.wire = Some((dial, wire));
        }
        if (weather.up, weather.down) == (Flow::Pass, Flow::Pass) {
            self.after(trip, Event::Accept(wire));
            self.after(trip * 2, Event::Opened(device, epoch, dial));
        }
    }

    pub(super) fn transmit(
        &mut self,
        wire: WireId,
        way: WireDirection,
        item: Item,
    ) -> Option<Time> {
        let device = self.wires.get(&wire)?.device;
        let weather = self.devices[device].weather;
        let sent = self
            .wires
            .get_mut(&wire)?
            .send(way, item, &weather, self.now, &mut self.rng);
        match sent.arrives {
            Some((at, item)) => self.at(at, Event::Arrive(wire, way, item)),
            None => self.count("frames swallowed or held"),
        }
        Some(sent.left)
    }

    pub(crate) fn set_weather(&mut self, device: usize, weather: Weather) {
        self.note(|| format!("{device} weather {weather:?}"));
        self.devices[device].weather = weather;
        self.devices[device].fair_since = self.now;
        let wires: Vec<_> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.device == device)
            .map(|(id, _)| *id)
            .collect();
        for id in wires {
            for (way, flow) in [
                (WireDirection::Up, weather.up),
                (WireDirection::Down, weather.down),
            ] {
                if flow != Flow::Hold {
                    let held = self
                        .wires
                        .get_mut(&id)
                        .map(|wire| wire.release(way))
                        .unwrap_or_default();
                    for item in held {
                        self.transmit(id, way, item);
                    }
                }
            }
        }
    }

    /// Both ends are told, each in its own time; or one end never is.
    pub(crate) fn cut(&mut self, device: usize, up_is_told: bool) {
        let wires: Vec<_> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.device == device)
            .map(|(id, _)| *id)
            .collect();
        for wire in wires {
            self.at(
                self.now,
                Event::Arrive(wire, WireDirection::Down, Item::Reset),
            );
            if up_is_told {
                let late = Duration::from_millis(self.rng.u64(0..20_000));
                self.after(late, Event::Arrive(wire, WireDirection::Up, Item::Reset));
            }
            if let Some(wire) = self.wires.get_mut(&wire) {
                wire.kill(WireDirection::Down);
                if !up_is_told {
                    wire.kill(WireDirection::Up);
                }
            }
        }
    }

    pub(super) fn arrive_up(&mut self, wire: WireId, item: Item) {
        let Some(server) = &mut self.server else {
            return;
        };
        if !server.has(wire) {
            let is_text = matches!(item, Item::Text(_));
            if is_text {
                self.transmit(wire, WireDirection::Down, Item::Reset);
            }
            return;
        }
        if matches!(item, Item::Reset) {
            return server.end(wire, false);
        }
        let Some(known) = self.wires.get_mut(&wire) else {
            return;
        };
        known.unread.push_back(item);
        if known.unread.len() == 1 {
            self.read_wire(wire);
        }
    }

    /// Reads what has arrived, in order, as far as the server may.
    pub(super) fn read_wire(&mut self, wire: WireId) {
        while self.server.as_ref().is_some_and(|server| server.has(wire)) {
            let may_read = self
                .server
                .as_ref()
                .is_some_and(|server| server.may_read(wire));
            let Some(known) = self
                .wires
                .get_mut(&wire)
                .filter(|known| !known.unread.is_empty())
            else {
                return;
            };
            if !may_read {
                return self.after(Duration::from_millis(5), Event::Read(wire));
            }
            let item = known.unread.pop_front().expect("is not empty");
            self.read_item(wire, item);
        }
    }

    pub(super) fn read_item(&mut self, wire: WireId, item: Item) {
        match item {
            Item::Text(text) => {
                self.note(|| format!("server <- {wire:?} {text}"));
                let input = match decode::<ClientFrame>(&text) {
                    Ok(frame) => {
                        let broken = self.watch.on_up(wire, &frame, self.now);
                        self.judge(broken);
                        self.check_kept(&frame);
                        server_session::Input::Frame(Box::new(frame))
                    }
                    Err(error) => {
                        server_session::Input::BadFrame(CloseCode::BadFrame, error.to_string())
                    }
                };
                self.step_server(wire, input);
            }
            Item::Close => {
                self.step_server(wire, server_session::Input::Closed);
                if let Some(server) = &mut self.server {
                    server.end(wire, true);
                }
            }
            Item::Confirm(n) => self.step_server(wire, server_session::Input::Confirmed(n)),
            Item::Probe(_) | Item::Reset => {} // nobody asks a server, and a reset is not read
        }
    }

    pub(super) fn arrive_down(&mut self, wire: WireId, item: Item) {
        let Some(Wire {
            device,
            dial,
            epoch,
            ..
        }) = self.wires.get(&wire)
        else {
            return;
        };
        let (device, dial, epoch) = (*device, *dial, *epoch);
        // Inputs from a closed wire are delivered too: they may have waited for the process's loop.
        let Some(process) = self.process(device, epoch) else {
            return;
        };
        match item {
            Item::Text(text) => match decode::<ServerFrame>(&text) {
                Ok(frame) => self.receive(device, dial, wire, frame),
                Err(error) => {
                    let what = format!("{device} was sent what is no frame: {error}: {text}");
                    self.violate(Promise::NothingDropped, None, what);
                }
            },
            Item::Probe(n) => drop(self.transmit(wire, WireDirection::Up, Item::Confirm(n))),
            Item::Confirm(_) => {} // a device asks for none
            Item::Close | Item::Reset => {
                process.wire.take_if(|(_, own)| *own == wire);
                self.watch.on_end(wire);
                self.step(
                    device,
                    session::Input::Ended(
                        dial,
                        Cause::Dropped {
                            what: "torn".to_owned(),
                        },
                    ),
                );
            }
        }
    }

    pub(super) fn receive(&mut self, device: usize, dial: Dial, wire: WireId, frame: ServerFrame) {
        let is_current = self.devices[device]
            .process
            .as_ref()
            .and_then(|process| process.wire)
            == Some((dial, wire));
        if is_current {
            let broken = self.watch.on_down(wire, &frame, self.now);
            self.judge(broken);
        }
        let is_answer = matches!(
            frame,
            ServerFrame::Welcome(_)
                | ServerFrame::Ack { .. }
                | ServerFrame::Reject(_)
                | ServerFrame::Reply(_)
                | ServerFrame::Pong { .. }
        );
        if is_current && is_answer {
            self.devices[device].answered_at = self.now;
        }
        let is_too_late =
            matches!(&frame, ServerFrame::Bye(bye) if bye.code == CloseCode::BadInvite);
        self.step(device, session::Input::Received(dial, Box::new(frame)));
        if is_current && is_too_late && self.devices[device].linked_by.is_some() {
            // the code has expired before it got there: its person asks once more
            self.devices[device].linked = false;
            self.link_device(device);
        }
    }

    /// P1: nothing is sent that the store has not kept.
    pub(super) fn check_kept(&mut self, frame: &ClientFrame) {
        let ClientFrame::Send(send) = frame else {
            return;
        };
        let early = self
            .devices
            .iter()
            .flat_map(|device| device.record.typed.iter().rev().take(100));
        if early
            .clone()
            .any(|typed| typed.id == send.id && !typed.promised)
        {
            self.violate(
                Promise::DurableOnEnter,
                Some(send.id),
                format!("{} was sent before it was kept", send.id),
            );
        }
    }
}
