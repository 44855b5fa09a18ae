//! A device's disk: pending writes, in order, and their duration.

use std::time::Duration;

use landfall::client::Write;
use landfall::client::session;
use landfall::client::session::Session;
use landfall::client::store::Disk;
use landfall::protocol::InstanceId;
use landfall::sqlite::DbError;
use landfall::system;

use super::{Event, World};
use crate::device::{Device, Job};
use crate::net::Time;

impl World {
    pub(crate) fn queue(&mut self, device: usize, job: Job) {
        let epoch = self.devices[device].epoch;
        let Some(process) = &mut self.devices[device].process else {
            return;
        };
        process.queue.push_back(job);
        if process.queue.len() == 1 {
            let takes = self.disk_takes().max(self.devices[device].disk_takes);
            self.after(takes, Event::Disk(device, epoch));
        }
    }

    /// A sync takes a moment, sometimes much longer, and rarely so long that connections end.
    pub(super) fn disk_takes(&mut self) -> Duration {
        let slow = match self.rng.u16(..2_048) {
            0 => 10_000,
            1..9 => 300,
            _ => 1,
        };
        Duration::from_micros(self.rng.u64(50..2_000) * slow)
    }

    pub(super) fn on_disk(&mut self, device: usize) {
        let fails = self.devices[device].disk_fails;
        let is_overwritten = self.devices[device].is_overwritten;
        let Device {
            disk: Some(disk),
            process: Some(process),
            ..
        } = &mut self.devices[device]
        else {
            return;
        };
        let Some(job) = process.queue.front() else {
            return;
        };
        let input = match job {
            Job::Load => return self.reload(device),
            Job::Write(Some(ticket), write) => match disk.write_dependent(write, fails) {
                Ok(outcome) => {
                    let (ticket, write) = (*ticket, write.clone());
                    self.devices[device].record.on_rejected(&write);
                    self.devices[device].record.on_persisted(&write, &outcome);
                    if matches!(write, Write::Truncate { .. }) {
                        self.on_cut(device);
                    }
                    Some(session::Input::Persisted(ticket, outcome))
                }
                Err(error)
                    if error.is_another_file()
                        || matches!(error, DbError::Full | DbError::RolledBack) =>
                {
                    Some(session::Input::PersistFailed(*ticket, error.into()))
                }
                // The overwritten store is detected by its content: nothing was written, and it is
                // reloaded.
                Err(error @ DbError::Stale) if is_overwritten => {
                    Some(session::Input::PersistFailed(*ticket, error.into()))
                }
                Err(error) => return self.violate_store(device, &error),
            },
            Job::Write(None, _) if fails => None,
            Job::Write(None, write) => match disk.write(write) {
                Ok(outcome) => {
                    let write = write.clone();
                    self.devices[device]
                        .record
                        .on_answered(&write, &outcome, self.now);
                    Some(if matches!(write, Write::Enqueue { .. }) {
                        session::Input::OutboxGrew
                    } else {
                        session::Input::OutboxChanged
                    })
                }
                // the text stays in the composer, with an error
                Err(error) if error.is_another_file() => None,
                Err(error) => return self.violate_store(device, &error),
            },
            Job::Find(ticket, query) => match disk.find(query) {
                Ok(found) => Some(session::Input::Found(*ticket, found)),
                // as above
                Err(error)
                    if error.is_another_file()
                        || (is_overwritten && matches!(error, DbError::Stale)) =>
                {
                    Some(session::Input::PersistFailed(*ticket, error.into()))
                }
                Err(error) => return self.violate_store(device, &error),
            },
        };
        self.job_done(device);
        input.into_iter().for_each(|input| self.step(device, input));
    }

    pub(super) fn job_done(&mut self, device: usize) {
        let takes = self.disk_takes().max(self.devices[device].disk_takes);
        let epoch = self.devices[device].epoch;
        let Some(process) = &mut self.devices[device].process else {
            return;
        };
        process.queue.pop_front();
        if !process.queue.is_empty() {
            self.after(takes, Event::Disk(device, epoch));
        }
    }

    /// Replaces the core by one over the disk's content. Retried once a second while that fails.
    pub(super) fn reload(&mut self, device: usize) {
        let epoch = self.devices[device].epoch;
        if self.devices[device].disk_fails {
            return self.after(Duration::from_secs(1), Event::Disk(device, epoch));
        }
        let Device {
            disk: Some(disk),
            process: Some(process),
            ..
        } = &mut self.devices[device]
        else {
            return;
        };
        let instance = InstanceId::from_random(system::random());
        let loaded = match Disk::load(disk, instance) {
            Ok(loaded) => loaded,
            Err(error) if error.is_another_file() => {
                return self.after(Duration::from_secs(1), Event::Disk(device, epoch));
            }
            Err(error) => return self.violate_store(device, &error),
        };
        let empty = Session::new(Default::default(), 0, Time::ZERO, loaded.clone());
        process.session = std::mem::replace(&mut process.session, empty).reloaded(loaded);
        process.is_outdated = false;
        self.job_done(device);
        self.step(device, session::Input::Tick);
    }
}
