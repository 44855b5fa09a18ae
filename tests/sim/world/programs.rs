//! The programs of a world: started, killed, asked, asleep, and what their cores want done.

use std::time::Duration;

use landfall::client::Cause;
use landfall::client::session;
use landfall::client::session::Command;
use landfall::protocol::{AccountId, Answer};

use super::{Event, World};
use crate::device::{Job, Process};
use crate::net::{Item, WireDirection, WireId};

impl World {
    pub(crate) fn account(&self, device: usize) -> Option<AccountId> {
        let process = self.devices[device].process.as_ref()?;
        process.session.status().account
    }

    pub(super) fn pardon(&mut self, device: usize) {
        let (account, id) = (self.account(device), self.devices[device].id);
        let mut faults = self.faults.lock().expect("not poisoned");
        if let Some(account) = account {
            faults.banned.remove(&account);
            faults.muted.remove(&account);
        }
        if let Some(id) = id {
            faults.revoked.remove(&id);
        }
    }

    pub(super) fn process(&mut self, device: usize, epoch: u64) -> Option<&mut Process> {
        let device = &mut self.devices[device];
        if device.epoch == epoch {
            device.process.as_mut()
        } else {
            None
        }
    }

    pub(crate) fn start(&mut self, device: usize) {
        if self.devices[device].process.is_some() {
            return;
        }
        self.note(|| format!("{device} starts"));
        self.devices[device].start(self.now);
        if !self.devices[device].record.offline {
            self.step(device, session::Input::Command(Command::GoOnline));
        } else {
            self.step(
                device,
                session::Input::Command(Command::GoOffline(Cause::Person)),
            );
        }
    }

    /// Kills the process with the connection. A waiting process takes over.
    pub(crate) fn kill(&mut self, device: usize) {
        self.note(|| format!("{device} is killed"));
        let wire = self.devices[device].kill();
        self.reset(wire);
        if self.devices[device].take_over() {
            self.count("second process takes over");
            self.note(|| format!("{device} starts, as the second process"));
            let dials = !self.devices[device].record.offline;
            self.watch.on_asked_to_dial(device);
            self.command(device, Command::LockTaken { dials });
        }
    }

    /// Every process on a profile.
    pub(crate) fn kill_all(&mut self, device: usize) {
        self.note(|| format!("{device} is killed, with whatever ran beside it"));
        let wire = self.devices[device].kill_all();
        self.reset(wire);
    }

    pub(super) fn reset(&mut self, wire: Option<WireId>) {
        if let Some(wire) = wire {
            self.transmit(wire, WireDirection::Up, Item::Reset);
        }
    }

    pub(crate) fn command(&mut self, device: usize, command: Command) {
        self.step(device, session::Input::Command(command));
    }

    pub(crate) fn step(&mut self, device: usize, input: session::Input) {
        let now = self.now;
        let Some(process) = &mut self.devices[device].process else {
            return;
        };
        let effects = process
            .session
            .step(now.saturating_sub(process.start), input.clone());
        self.note(|| format!("{device} <- {input:?}"));
        for effect in effects {
            self.carry_out(device, effect);
        }
        self.schedule_tick(device);
    }

    pub(super) fn schedule_tick(&mut self, device: usize) {
        let (now, epoch) = (self.now, self.devices[device].epoch);
        let Some(process) = &mut self.devices[device].process else {
            return;
        };
        let deadline = process
            .session
            .deadline()
            .map(|at| (process.start + at).max(now));
        if deadline == process.tick_at {
            return;
        }
        process.tick_at = deadline;
        if let Some(at) = deadline {
            self.at(at, Event::Tick(device, epoch));
        }
    }

    pub(super) fn carry_out(&mut self, device: usize, effect: session::Effect) {
        self.note(|| format!("{device} -> {effect:?}"));
        match effect {
            session::Effect::Dial(dial) => self.dial(device, dial),
            session::Effect::Transmit(dial, text) => {
                let Some(process) = &self.devices[device].process else {
                    return;
                };
                if let Some((_, wire)) = process.wire.filter(|(own, _)| *own == dial) {
                    self.transmit(wire, WireDirection::Up, Item::Text(text));
                }
            }
            session::Effect::Hangup(dial) => {
                let Some(process) = &mut self.devices[device].process else {
                    return;
                };
                if let Some((_, wire)) = process.wire.take_if(|(own, _)| *own == dial) {
                    self.transmit(wire, WireDirection::Up, Item::Close);
                }
            }
            session::Effect::Persist(ticket, write) => {
                self.queue(device, Job::Write(Some(ticket), write))
            }
            session::Effect::Ask(ticket, query) => self.queue(device, Job::Find(ticket, query)),
            session::Effect::Signal(signal) => self.hear(device, &signal),
            session::Effect::Reply(key, reply) => {
                if let Some(Answer::Linking { .. }) = reply.ok {
                    self.on_linking(key as usize);
                }
            }
            session::Effect::Reload => {
                let is_loading =
                    |process: &Process| process.queue.iter().any(|job| matches!(job, Job::Load));
                if self.devices[device]
                    .process
                    .as_ref()
                    .is_some_and(|process| !is_loading(process))
                {
                    self.queue(device, Job::Load);
                }
            }
        }
    }

    /// Nothing of a device runs for a while. When its machine sleeps its monotonic clock stands
    /// too; when only the program is stopped, it does not.
    pub(crate) fn put_to_sleep(&mut self, device: usize, lasts: Duration, clock_stands: bool) {
        let until = (self.now + lasts).max(self.devices[device].asleep_until);
        self.devices[device].asleep_until = until;
        self.at(until, Event::Wake(device));
        let epoch = self.devices[device].epoch;
        let Some(process) = &mut self.devices[device].process else {
            return;
        };
        if clock_stands {
            process.start += lasts;
            process.tick_at = None;
            self.at(until, Event::Woke(device, epoch));
        }
    }

    /// Returns the device of an event, if it is asleep: it gets the event when it wakes, in order.
    pub(super) fn asleep(&self, event: &Event) -> Option<usize> {
        let device = match event {
            Event::Tick(device, _)
            | Event::Disk(device, _)
            | Event::Opened(device, ..)
            | Event::Refused(device, ..)
            | Event::Woke(device, _) => *device,
            Event::Arrive(wire, WireDirection::Down, _) => self.wires.get(wire)?.device,
            _ => return None,
        };
        (self.now < self.devices[device].asleep_until).then_some(device)
    }

    pub(super) fn wake(&mut self, device: usize) {
        if self.now >= self.devices[device].asleep_until {
            for event in std::mem::take(&mut self.devices[device].missed) {
                self.handle(event);
            }
        }
    }
}
