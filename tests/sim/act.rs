//! Carries out a plan: actions of users, and faults.

use std::time::Duration;

use landfall::client::session::Command;
use landfall::client::store::Reader;
use landfall::client::{Cause, Write};
use landfall::protocol::Op;

use crate::action::UserAction;
use crate::device::Job;
use crate::net::Weather;
use crate::record::{UserRequest, account_of};
use crate::world::{Event, INVITE, World};

/// Pause before a user asks again for access of a device.
const LINK_AGAIN: Duration = Duration::from_secs(5);

impl World {
    /// Carries out one action. An action that makes no sense at the moment is skipped.
    pub(crate) fn act(&mut self, action: &UserAction) {
        self.note(|| format!("* {action:?}"));
        match action {
            UserAction::CopyProfile { who, to } => {
                let folder = self.devices[*who].folder();
                crate::device::copy_folder(&folder, &self.devices[*to].folder());
                self.devices[*to].epoch += 1; // it knows already who it is
                self.devices[*to].record.drafts = self.devices[*who].record.drafts.clone();
                self.devices[*to].invite = Some(INVITE.to_owned());
                self.start(*to);
            }
            UserAction::LinkDevice { who, to } => {
                self.devices[*to].linked_by = Some(*who);
                self.link_device(*to);
            }
            UserAction::SayBeside { who, room, is_told } => self.say_beside(*who, *room, *is_told),
            UserAction::Draft { who, room, bytes } => self.draft(*who, *room, *bytes),
            UserAction::StartSecond { who } => self.start_second(*who),
            _ if action.who_asks().is_some() => self.person(action),
            UserAction::Cut { .. }
            | UserAction::Flap { .. }
            | UserAction::Weather { .. }
            | UserAction::KillClient { .. }
            | UserAction::Quit { .. }
            | UserAction::CopyClient { .. }
            | UserAction::RestoreClient { .. }
            | UserAction::OverwriteClient { .. }
            | UserAction::DeleteClient { .. }
            | UserAction::ClientDiskFull { .. }
            | UserAction::ClientDiskSlow { .. }
            | UserAction::Suspend { .. }
            | UserAction::Stop { .. } => self.trouble_of_device(action),
            UserAction::StepClock { .. }
            | UserAction::KillServer { .. }
            | UserAction::HandOver
            | UserAction::CopyServer
            | UserAction::RestoreServer { .. }
            | UserAction::ServerDiskFails { .. }
            | UserAction::ServerDiskSlow { .. }
            | UserAction::Ban { .. }
            | UserAction::Mute { .. }
            | UserAction::Revoke { .. } => self.trouble_of_server(action),
            _ => unreachable!("nobody's action: {action:?}"),
        }
    }

    /// Whether the program runs and its person could press a key.
    fn is_at_hand(&self, who: usize) -> bool {
        self.devices[who].process.is_some() && self.now >= self.devices[who].asleep_until
    }

    fn person(&mut self, action: &UserAction) {
        let Some(who) = action.who_asks().filter(|who| self.is_at_hand(*who)) else {
            return;
        };
        let (now, folder) = (self.now, self.devices[who].folder());
        let orders =
            self.devices[who]
                .record
                .orders(action, &self.rooms, || account_of(&folder), now);
        orders.into_iter().for_each(|order| self.ask(who, order));
    }

    /// Somebody has typed half a line, into a room that the program shows.
    fn draft(&mut self, who: usize, room: usize, bytes: usize) {
        let room = self.rooms[room];
        let is_shown = |reader: Reader| Ok(reader.rooms()?.iter().any(|row| row.room == room));
        if self.is_at_hand(who)
            && Reader::open(&self.devices[who].folder())
                .and_then(is_shown)
                .unwrap_or_default()
        {
            self.queue(
                who,
                Job::Write(
                    None,
                    Write::Draft {
                        room,
                        text: "d".repeat(bytes),
                    },
                ),
            );
        }
    }

    pub(crate) fn ask(&mut self, who: usize, order: UserRequest) {
        match order {
            UserRequest::Write(write) => self.queue(who, Job::Write(None, write)),
            UserRequest::Command(command) => {
                if matches!(
                    command,
                    Command::RetryNow | Command::GoOnline | Command::GoOffline(_)
                ) {
                    self.watch.on_asked_to_dial(who);
                }
                self.command(who, command);
            }
        }
    }

    /// Another process of the profile writes into the same store. It may wake the process with the
    /// connection.
    fn say_beside(&mut self, who: usize, room: usize, is_told: bool) {
        if self.devices[who].epoch == 0 || self.devices[who].disk_fails {
            return;
        }
        let (room, now) = (self.rooms[room], self.now);
        let entry = self.devices[who].record.say(room, "beside", now);
        let write = Write::Enqueue {
            entries: vec![entry],
            clears_draft: false,
        };
        match self.devices[who].write_beside(&write, now) {
            Ok(()) if is_told => self.step(who, landfall::client::session::Input::OutboxGrew),
            Ok(()) => {}
            // the text stays in the composer, with an error
            Err(error) if self.devices[who].may_say(&error) => {}
            Err(error) => self.violate_store(who, &error),
        }
    }

    /// Starts one more process of the program on the profile. It waits for the connection of the
    /// first one.
    fn start_second(&mut self, who: usize) {
        let device = &mut self.devices[who];
        if device.process.is_none() || device.disk_fails {
            return;
        }
        match device.start_second(self.now) {
            Ok(()) => self.note(|| format!("a second process waits beside {who}")),
            Err(error) if self.devices[who].may_say(&error) => {} // it says so, and ends
            Err(error) => self.violate_store(who, &error),
        }
    }

    /// The person's other device is asked to let this one in, again and again until a server has
    /// said that it will.
    pub(crate) fn link_device(&mut self, to: usize) {
        let Some(who) = self.devices[to].linked_by else {
            return;
        };
        self.after(LINK_AGAIN, Event::Link(to));
        let op = Op::LinkDevice {
            code: link_code(to),
        };
        self.command(who, Command::Request { key: to as u64, op });
    }

    /// A server has said that it lets this one in: its person goes there.
    pub(crate) fn on_linking(&mut self, to: usize) {
        self.devices[to].linked = true;
        if self.devices[to].epoch == 0 {
            self.count("second devices");
            self.devices[to].invite = Some(link_code(to));
            return self.start(to);
        }
        self.watch.on_asked_to_dial(to);
        self.command(to, Command::RetryNow);
    }

    fn trouble_of_device(&mut self, action: &UserAction) {
        match *action {
            UserAction::Cut {
                who,
                is_server_told,
            } => self.cut(who, is_server_told),
            UserAction::Flap { who, every, times } => {
                for n in 0..times {
                    self.after(every * n as u32, Event::Cut(who));
                }
            }
            UserAction::Weather {
                who,
                weather,
                lasts,
                ..
            } => {
                self.set_weather(who, weather);
                self.after(lasts, Event::Clear(who));
                if weather.refuses {
                    self.cut(who, true);
                }
            }
            UserAction::KillClient { who, lasts } => {
                self.kill(who);
                self.after(lasts, Event::Start(who));
            }
            UserAction::Quit { who, lasts } => {
                if self.is_at_hand(who) {
                    self.command(who, Command::GoOffline(Cause::Person));
                    self.kill(who);
                    self.after(lasts, Event::Start(who));
                }
            }
            UserAction::CopyClient { who } => self.rewind(who, false),
            UserAction::RestoreClient { who } => self.rewind(who, true),
            UserAction::OverwriteClient { who } => {
                if self.devices[who].process.is_some() && self.devices[who].overwrite(self.now) {
                    self.count("open stores overwritten");
                }
            }
            UserAction::DeleteClient { who } => {
                if self.devices[who].process.is_some() {
                    self.devices[who].delete_files();
                }
            }
            UserAction::ClientDiskFull { who, lasts } => {
                self.devices[who].disk_fails = true;
                self.after(lasts, Event::DiskWorks(who));
            }
            UserAction::ClientDiskSlow { who, takes, lasts } => {
                self.devices[who].disk_takes = takes;
                self.after(lasts, Event::DiskWorks(who));
            }
            UserAction::Suspend { who, lasts } => self.put_to_sleep(who, lasts, true),
            UserAction::Stop { who, lasts } => self.put_to_sleep(who, lasts, false),
            _ => unreachable!("no trouble of a device: {action:?}"),
        }
    }

    /// Copies the store of a device, or restores it from the copy, while the program does not run.
    fn rewind(&mut self, who: usize, puts_back: bool) {
        if self.devices[who].epoch == 0 {
            return;
        }
        self.kill_all(who);
        if puts_back {
            self.devices[who].restore(self.now);
        } else {
            self.devices[who].copy_store(self.now);
        }
        self.after(Duration::from_secs(1), Event::Start(who));
    }

    fn trouble_of_server(&mut self, action: &UserAction) {
        match *action {
            UserAction::StepClock { ms } => self.clock_off = ms,
            UserAction::KillServer { lasts } => {
                self.kill_server();
                self.after(lasts, Event::ServerUp);
            }
            UserAction::HandOver => self.hand_hosting_over(),
            UserAction::CopyServer => self.backing.copy(),
            UserAction::RestoreServer { lasts } => {
                self.kill_server();
                self.put_server_back();
                self.after(lasts, Event::ServerUp);
            }
            UserAction::ServerDiskFails { is_unsure, lasts } => {
                let mut faults = self.faults.lock().expect("not poisoned");
                (faults.fails, faults.is_unsure) = (!is_unsure, is_unsure);
                drop(faults);
                self.after(lasts, Event::ServerDiskWorks);
            }
            UserAction::ServerDiskSlow { takes, lasts } => {
                self.commit_takes = takes;
                self.after(lasts, Event::ServerDiskWorks);
            }
            UserAction::Ban { who, lasts } => {
                if let Some(account) = self.account(who) {
                    self.faults
                        .lock()
                        .expect("not poisoned")
                        .banned
                        .insert(account);
                    self.after(lasts, Event::Pardon(who));
                }
            }
            UserAction::Mute { who, lasts } => {
                if let Some(account) = self.account(who) {
                    self.faults
                        .lock()
                        .expect("not poisoned")
                        .muted
                        .insert(account);
                    self.after(lasts, Event::Pardon(who));
                }
            }
            UserAction::Revoke { who, lasts } => {
                if let Some(device) = self.devices[who].id {
                    self.faults
                        .lock()
                        .expect("not poisoned")
                        .revoked
                        .insert(device);
                    self.devices[who].was_revoked = true;
                    self.cut(who, true);
                    self.after(lasts, Event::Pardon(who));
                }
            }
            _ => unreachable!("no trouble of a server: {action:?}"),
        }
    }

    /// Everything that is wrong is right again, and nobody is offline by choice any more.
    pub(crate) fn mend(&mut self) {
        self.is_calm = true;
        *self.faults.lock().expect("not poisoned") = Default::default();
        self.commit_takes = Duration::ZERO;
        self.start_server();
        for who in 0..self.devices.len() {
            self.devices[who]
                .invite
                .get_or_insert_with(|| INVITE.to_owned());
            self.devices[who].disk_fails = false;
            self.devices[who].disk_takes = Duration::ZERO;
            self.set_weather(who, Weather::FAIR);
            self.start(who);
            let was_offline = std::mem::take(&mut self.devices[who].record.offline);
            if was_offline || std::mem::take(&mut self.devices[who].was_revoked) {
                self.watch.on_asked_to_dial(who);
                self.command(who, Command::GoOnline);
            }
        }
    }
}

fn link_code(to: usize) -> String {
    format!("{to:024}")
}
