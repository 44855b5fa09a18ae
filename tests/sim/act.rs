//! A plan carried out: what people do, and what goes wrong.

use std::time::Duration;

use landfall::client::session::Command;
use landfall::client::store::Reader;
use landfall::client::{Cause, NewEntry, Write};
use landfall::protocol::{Kind, Op, RoomId, Seq, Target};
use landfall::system;

use crate::device::Job;
use crate::net::Weather;
use crate::plan::Deed;
use crate::world::{Event, INVITE, World};

/// How long a person waits before asking again for a device to be let in.
const LINK_AGAIN: Duration = Duration::from_secs(5);

impl World {
    /// One thing of the plan. What makes no sense now is left out.
    pub(crate) fn act(&mut self, deed: &Deed) {
        self.note(|| format!("* {deed:?}"));
        match deed {
            Deed::CopyProfile { who, to } => {
                let folder = self.devices[*who].folder();
                crate::device::copy_folder(&folder, &self.devices[*to].folder());
                self.devices[*to].epoch += 1; // it knows already who it is
                self.devices[*to].invite = Some(INVITE.to_owned());
                self.start(*to);
            }
            Deed::LinkDevice { who, to } => {
                self.devices[*to].linked_by = Some(*who);
                self.link_device(*to);
            }
            Deed::SayBeside { who, room, is_told } => self.say_beside(*who, *room, *is_told),
            Deed::ToggleOffline { who } if self.is_at_hand(*who) => self.toggle_offline(*who),
            Deed::Say { who, .. }
            | Deed::Edit { who, .. }
            | Deed::Redact { who, .. }
            | Deed::Discard { who, .. }
            | Deed::Retry { who }
            | Deed::Join { who, .. }
            | Deed::Leave { who, .. }
            | Deed::Read { who, .. }
            | Deed::FetchBefore { who, .. }
            | Deed::RetryNow { who }
            | Deed::Focus { who, .. }
            | Deed::ToggleOffline { who } => {
                if self.is_at_hand(*who) {
                    self.person(deed);
                }
            }
            Deed::Cut { .. }
            | Deed::Flap { .. }
            | Deed::Weather { .. }
            | Deed::KillClient { .. }
            | Deed::CopyClient { .. }
            | Deed::RestoreClient { .. }
            | Deed::ClientDiskFull { .. }
            | Deed::Suspend { .. }
            | Deed::Stop { .. } => self.trouble_of_device(deed),
            Deed::StepClock { .. }
            | Deed::KillServer { .. }
            | Deed::CopyServer
            | Deed::RestoreServer { .. }
            | Deed::ServerDiskFails { .. }
            | Deed::ServerDiskSlow { .. }
            | Deed::Ban { .. }
            | Deed::Mute { .. }
            | Deed::Revoke { .. } => self.trouble_of_server(deed),
        }
    }

    /// Whether the program runs and its person could press a key.
    fn is_at_hand(&self, who: usize) -> bool {
        self.devices[who].process.is_some() && self.now >= self.devices[who].asleep_until
    }

    fn person(&mut self, deed: &Deed) {
        match *deed {
            Deed::Say { who, room, lines, bytes } => {
                for _ in 0..lines {
                    self.say(who, self.rooms[room], bytes);
                }
            }
            Deed::Edit { who, back } => self.change(who, back, Kind::Edit),
            Deed::Redact { who, back } => self.change(who, back, Kind::Redaction),
            Deed::Discard { who, back } => self.discard(who, back),
            Deed::Retry { who } => self.queue(who, Job::Write(None, Write::Retry { id: None })),
            Deed::Join { who, room } => self.enqueue(who, self.rooms[room], Kind::Join, String::new(), None),
            Deed::Leave { who, room } => self.enqueue(who, self.rooms[room], Kind::Leave, String::new(), None),
            Deed::Read { who, room, seq } => {
                self.command(who, Command::Read { room: self.rooms[room], seq: Seq(seq) });
            }
            Deed::FetchBefore { who, room } => self.command(who, Command::FetchBefore(self.rooms[room])),
            Deed::RetryNow { who } => {
                self.devices[who].offline = false;
                self.watch.on_asked_to_dial(who);
                self.command(who, Command::RetryNow);
            }
            Deed::Focus { who, room } => self.command(who, Command::Focus(self.rooms[room])),
            _ => unreachable!("no deed of a person: {deed:?}"),
        }
    }

    fn toggle_offline(&mut self, who: usize) {
        let offline = !self.devices[who].offline;
        self.devices[who].offline = offline;
        self.watch.on_asked_to_dial(who);
        let command = if offline { Command::GoOffline(Cause::Person) } else { Command::GoOnline };
        self.command(who, command);
    }

    fn say(&mut self, who: usize, room: RoomId, bytes: usize) {
        let body =
            format!("{} {} {}", self.devices[who].record.name, self.devices[who].record.typed.len(), "x".repeat(bytes));
        self.enqueue(who, room, Kind::Message, body, None);
    }

    /// Another process on the profile writes into the same store; the one that has the link may hear of it.
    fn say_beside(&mut self, who: usize, room: usize, is_told: bool) {
        if self.devices[who].epoch == 0 || self.devices[who].disk_fails {
            return;
        }
        let body = format!("{} {} beside", self.devices[who].record.name, self.devices[who].record.typed.len());
        let entry = self.typed(who, self.rooms[room], Kind::Message, body, None);
        let write = Write::Enqueue { entries: vec![entry], clears_draft: false };
        let now = self.now;
        match self.devices[who].write_beside(&write, now) {
            Ok(()) if is_told => self.step(who, landfall::client::session::Input::OutboxGrew),
            Ok(()) => {}
            Err(error) => self.violate_store(who, &error),
        }
    }

    pub(crate) fn enqueue(&mut self, who: usize, room: RoomId, kind: Kind, body: String, target: Option<Target>) {
        let entry = self.typed(who, room, kind, body, target);
        self.queue(who, Job::Write(None, Write::Enqueue { entries: vec![entry], clears_draft: true }));
    }

    /// Makes an entry and writes down that somebody typed it.
    fn typed(&mut self, who: usize, room: RoomId, kind: Kind, body: String, target: Option<Target>) -> NewEntry {
        self.count("typed");
        let now = self.now;
        self.devices[who].record.type_in(room, kind, body, target, now)
    }

    /// Changes or takes back a message that was said a while ago, wherever it has come to.
    fn change(&mut self, who: usize, back: usize, kind: Kind) {
        let Some(said) = self.devices[who].record.said(back).cloned() else { return };
        let account = Reader::open(&self.devices[who].folder()).and_then(|reader| reader.mine());
        let Some(author) = account.ok().and_then(|mine| mine.account) else { return };
        let body = if kind == Kind::Edit { format!("{}, rather", said.body) } else { String::new() };
        self.enqueue(who, said.room, kind, body, Some(Target { author, id: said.id }));
    }

    fn discard(&mut self, who: usize, back: usize) {
        let Some(typed) = self.devices[who].record.typed.iter().rev().nth(back) else { return };
        let write = Write::Discard { id: typed.id, redaction: system::entry_id(), composed_at: system::unix_ms() };
        self.queue(who, Job::Write(None, write));
    }

    /// The person's other device is asked to let this one in, again and again until a server has said that it will.
    pub(crate) fn link_device(&mut self, to: usize) {
        let Some(who) = self.devices[to].linked_by else { return };
        self.after(LINK_AGAIN, Event::Link(to));
        let op = Op::LinkDevice { code: link_code(to) };
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

    fn trouble_of_device(&mut self, deed: &Deed) {
        match *deed {
            Deed::Cut { who, is_server_told } => self.cut(who, is_server_told),
            Deed::Flap { who, every, times } => {
                for n in 0..times {
                    self.after(every * n as u32, Event::Cut(who));
                }
            }
            Deed::Weather { who, weather, lasts, .. } => {
                self.set_weather(who, weather);
                self.after(lasts, Event::Clear(who));
                if weather.refuses {
                    self.cut(who, true);
                }
            }
            Deed::KillClient { who, lasts } => {
                self.kill(who);
                self.after(lasts, Event::Start(who));
            }
            Deed::CopyClient { who } => self.rewind(who, false),
            Deed::RestoreClient { who } => self.rewind(who, true),
            Deed::ClientDiskFull { who, lasts } => {
                self.devices[who].disk_fails = true;
                self.after(lasts, Event::DiskWorks(who));
            }
            Deed::Suspend { who, lasts } => self.put_to_sleep(who, lasts, true),
            Deed::Stop { who, lasts } => self.put_to_sleep(who, lasts, false),
            _ => unreachable!("no trouble of a device: {deed:?}"),
        }
    }

    /// The store of a device is copied now, or put back from its copy; the program does not run meanwhile.
    fn rewind(&mut self, who: usize, puts_back: bool) {
        if self.devices[who].epoch == 0 {
            return;
        }
        self.kill(who);
        if puts_back {
            self.devices[who].put_back(self.now);
        } else {
            self.devices[who].copy_store(self.now);
        }
        self.after(Duration::from_secs(1), Event::Start(who));
    }

    fn trouble_of_server(&mut self, deed: &Deed) {
        match *deed {
            Deed::StepClock { ms } => self.clock_off = ms,
            Deed::KillServer { lasts } => {
                self.kill_server();
                self.after(lasts, Event::ServerUp);
            }
            Deed::CopyServer => self.backing.copy(),
            Deed::RestoreServer { lasts } => {
                self.kill_server();
                self.put_server_back();
                self.after(lasts, Event::ServerUp);
            }
            Deed::ServerDiskFails { is_unsure, lasts } => {
                let mut mood = self.mood.lock().expect("not poisoned");
                (mood.fails, mood.is_unsure) = (!is_unsure, is_unsure);
                drop(mood);
                self.after(lasts, Event::ServerDiskWorks);
            }
            Deed::ServerDiskSlow { takes, lasts } => {
                self.commit_takes = takes;
                self.after(lasts, Event::ServerDiskWorks);
            }
            Deed::Ban { who, lasts } => {
                if let Some(account) = self.account(who) {
                    self.mood.lock().expect("not poisoned").banned.insert(account);
                    self.after(lasts, Event::Pardon(who));
                }
            }
            Deed::Mute { who, lasts } => {
                if let Some(account) = self.account(who) {
                    self.mood.lock().expect("not poisoned").muted.insert(account);
                    self.after(lasts, Event::Pardon(who));
                }
            }
            Deed::Revoke { who, lasts } => {
                if let Some(device) = self.devices[who].id {
                    self.mood.lock().expect("not poisoned").revoked.insert(device);
                    self.devices[who].was_revoked = true;
                    self.cut(who, true);
                    self.after(lasts, Event::Pardon(who));
                }
            }
            _ => unreachable!("no trouble of a server: {deed:?}"),
        }
    }

    /// Everything that is wrong is right again, and nobody is offline by choice any more.
    pub(crate) fn mend(&mut self) {
        self.is_calm = true;
        *self.mood.lock().expect("not poisoned") = Default::default();
        self.commit_takes = Duration::ZERO;
        self.start_server();
        for who in 0..self.devices.len() {
            self.devices[who].invite.get_or_insert_with(|| INVITE.to_owned());
            self.devices[who].disk_fails = false;
            self.set_weather(who, Weather::FAIR);
            self.start(who);
            let was_offline = std::mem::take(&mut self.devices[who].offline);
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
