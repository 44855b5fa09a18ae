//! Plays acts: types into both chats, injects the same faults into both, and waits for events.
//!
//! Nothing is scripted but keys and faults. A caption is recorded only after its event; an event
//! that does not come ends the act.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::clock::Pace;
use super::event::{ActBegin, ActEnd, Caption, Recorded, ShowEvent};
use super::model::Model;
use super::part::PartKind;
use super::recorder::{self, Recorder, Recording};
use crate::chaos::{FaultCommand, What};
use crate::cli::demo::naive::{NaiveNews, Repair};
use crate::cli::demo::person::Person;
use crate::cli::demo::stage::Stage;
use crate::cli::exit::Failure;
use crate::protocol::{EntryId, Kind, Seq};
use crate::tui::width;

/// How long an act waits for its next event.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a caption stays at least.
pub(super) const CAPTION: Duration = Duration::from_secs(3);
/// A connection that is up for so long resets its backoff.
const STABLE: Duration = Duration::from_secs(10);
/// How long everything that is under way may take at the end of an act.
pub(super) const END: Duration = Duration::from_secs(20);
/// How long a naive chat may need to reconnect and to send what it keeps: its fixed time, and a moment.
const NAIVE_RECONNECTS: Duration = Duration::from_secs(5);
/// How long a naive chat may need to show what its server has sent.
const NAIVE_SHOWS: Duration = Duration::from_secs(1);
/// How long the recorder may need to read a log that is the same everywhere.
const LOG_IS_READ: Duration = Duration::from_secs(5);
/// Pending entries that are read of each author.
const PENDING_MAX: usize = 100_000;

/// Why an act did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActError {
    #[error("nothing happened: waited 30 s for this event: {0}")]
    NothingHappened(&'static str),
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Plays acts on a stage.
pub(super) struct Director<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) recorder: Arc<Recorder>,
    pub(super) pace: Pace,
    /// Whether faults are injected; without them, acts must fail.
    pub(super) with_faults: bool,
    /// Events from here on are waited for.
    mark: usize,
    /// When the event happened that the next caption is about.
    event_at: Cell<Option<Duration>>,
    /// When the current caption has been read, if it is shown after all those before it.
    read_at: Duration,
}

impl<'a> Director<'a> {
    pub(super) fn new(
        stage: &'a mut Stage,
        recorder: Arc<Recorder>,
        pace: Pace,
        with_faults: bool,
    ) -> Self {
        Self {
            stage,
            recorder,
            pace,
            with_faults,
            mark: 0,
            event_at: Cell::new(None),
            read_at: Duration::ZERO,
        }
    }

    // ---- the beginning and the end of an act

    /// Begins a part with this naive chat, once both chats are connected.
    pub(super) async fn begin(
        &mut self,
        kind: PartKind,
        number: usize,
        title: Arc<str>,
        naive: Repair,
    ) -> Result<(), ActError> {
        if self.stage.naive.repair() != naive {
            self.stage.naive.restart(naive);
            let keys = self.stage.naive.keys();
            self.stage.me.author.types_into(keys);
        }
        let begin = ActBegin {
            kind,
            number,
            title,
            naive,
            naive_lines: naive.lines_of_code(),
        };
        self.recorder.record(ShowEvent::Act(begin));
        self.until_model("both chats are connected", Model::both_connected)
            .await
    }

    /// Waits until the connection has been up long enough that its backoff starts anew.
    pub(super) async fn stable(&self) {
        let left = {
            let recording = self.recorder.recording();
            let up_since = recording
                .model
                .up_since
                .filter(|_| recording.model.has_failed);
            up_since.map(|since| (since + STABLE).saturating_sub(self.recorder.now()))
        };
        sleep(left.unwrap_or_default()).await;
    }

    /// Ends all faults, waits until everything has arrived, and records what has not.
    pub(super) async fn end(&mut self, is_whole: bool) -> Result<(), ActError> {
        if !is_whole {
            let late = self.present(|model| model.tally.not_logged());
            self.recorder.record(ShowEvent::TimeIsUp(late));
        }
        self.stage.repair().await?;
        let _ = timeout(END, self.stage.same_everywhere()).await; // what differs is counted
        let is_recorded = |model: &Model| model.tally.is_all_logged();
        let _ = timeout(LOG_IS_READ, self.until_model("", is_recorded)).await; // what is missing is counted
        self.naive_at_rest().await;
        let end = self.counted()?;
        self.recorder.record(ShowEvent::ActEnded(end));
        Ok(())
    }

    /// Lets the naive chat reconnect, send and show what it can still send and show.
    async fn naive_at_rest(&self) {
        let has_sent = |model: &Model| {
            let is_open = model.naive.is_connected && model.nets.naive.is_open();
            is_open && model.tally.is_all_sent() && model.score().naive.under_way() == 0
        };
        let has_shown = |model: &Model| model.tally.is_all_shown();
        // it may hang for ever: it has no deadline
        let _ = timeout(NAIVE_RECONNECTS, self.until_model("", has_sent)).await;
        let _ = timeout(NAIVE_SHOWS, self.until_model("", has_shown)).await;
    }

    /// Counts lost and unseen messages, from the stores.
    fn counted(&self) -> Result<ActEnd, Failure> {
        let log = |person: &Person| -> Result<BTreeSet<EntryId>, Failure> {
            let room = person.author.room();
            let lines = person
                .reader
                .after(room, Seq::ZERO, usize::MAX)?
                .into_iter();
            Ok(lines
                .filter(|line| line.kind == Kind::Message)
                .map(|line| line.id)
                .collect())
        };
        let (healthy, mine) = (log(&self.stage.others[0])?, log(&self.stage.me)?);
        let mut lost = Vec::new();
        for person in self.stage.people() {
            let pending = person.reader.outbox(None, PENDING_MAX)?;
            let pending: BTreeSet<_> = pending.iter().map(|entry| entry.id).collect();
            let typed = person.author.typed();
            let is_lost = |id: &EntryId| !healthy.contains(id) && !pending.contains(id);
            lost.extend(typed.iter().map(|(id, _)| *id).filter(is_lost));
        }
        let gaps = self.stage.me.reader.gaps(self.stage.me.author.room())?;
        let missing: u64 = gaps.iter().map(|(_, count)| count).sum();
        let unseen = (healthy.difference(&mine).count() as u64).saturating_sub(missing);
        Ok(ActEnd { lost, unseen })
    }

    // ---- what is done

    /// Events are waited for from now on.
    pub(super) fn mark(&mut self) {
        self.event_at.set(None);
        self.mark = self.recorder.recording().events.len();
    }

    /// Injects faults into both networks, at one moment each.
    pub(super) async fn fault(&mut self, commands: &[&str]) {
        let commands = commands.iter().filter_map(|text| text.parse().ok());
        self.network(&commands.collect::<Vec<_>>()).await;
    }

    /// Injects faults into both networks, at one moment each.
    pub(super) async fn network(&mut self, commands: &[FaultCommand]) {
        self.pace.running().await;
        self.mark();
        if self.with_faults {
            self.stage.network(commands);
        }
    }

    /// Ends all network faults; events are waited for from the same moment as before.
    pub(super) fn repair(&self) {
        self.stage.network(&[FaultCommand::Pass]);
    }

    /// Types a line of this author into both chats.
    pub(super) async fn types(&self, who: &str, text: &str) -> Result<(), ActError> {
        self.types_all(who, &[text.to_owned()]).await
    }

    /// Types lines of this author into both chats, at once.
    pub(super) async fn types_all(&self, who: &str, texts: &[String]) -> Result<(), ActError> {
        self.pace.running().await;
        let mut people = self.stage.people();
        let author = people
            .find(|person| person.name == who)
            .map(|person| person.author.clone());
        match author {
            Some(author) => Ok(author.send_all(texts.iter().cloned()).await?),
            None => Ok(()),
        }
    }

    /// Records the caption of the event that has just happened.
    pub(super) fn caption(&mut self, headline: &str, sentence: &str, detail: String) {
        debug_assert!(headline.split(' ').count() <= 6, "{headline}");
        debug_assert!(sentence.split(' ').count() <= 25, "{sentence}");
        debug_assert!(width(sentence) <= 98, "{sentence}");
        debug_assert!(width(&detail) <= 76, "{detail}");
        self.read_at = self.read_at.max(self.recorder.now()) + CAPTION;
        let caption = Caption {
            since: self.event_at.take().unwrap_or_else(|| self.recorder.now()),
            headline: headline.to_owned(),
            sentence: sentence.to_owned(),
            detail,
        };
        self.recorder.record(ShowEvent::Caption(caption));
    }

    /// When the event happened that was waited for last.
    pub(super) fn event_at(&self) -> Option<Duration> {
        self.event_at.get()
    }

    /// The next caption is about an event of this time.
    pub(super) fn is_about(&self, at: Option<Duration>) {
        self.event_at.set(at);
    }

    /// Waits until the last caption has been shown for its time.
    pub(super) async fn read(&self) {
        let left = self.read_at.saturating_sub(self.recorder.now());
        self.pace.read(left).await;
    }

    // ---- what is waited for

    /// The entries that Landfall sent before the mark.
    pub(super) fn sent_before_mark(&self) -> BTreeSet<EntryId> {
        let recording = self.recorder.recording();
        let before = &recording.events[..self.mark.min(recording.events.len())];
        before
            .iter()
            .filter_map(|recorded| recorded.event.sent_entry())
            .collect()
    }

    /// Waits until the events since the mark are those that `is_it` looks for; it gets each once.
    pub(super) async fn until(
        &self,
        what: &'static str,
        mut is_it: impl FnMut(&ShowEvent) -> bool,
    ) -> Result<(), ActError> {
        let mut next = self.mark;
        self.until_recording(what, |recording| {
            let newer = &recording.events[next.min(recording.events.len())..];
            next += newer.len();
            let found = newer.iter().find(|Recorded { event, .. }| is_it(event));
            found.map(|recorded| recorded.at)
        })
        .await
    }

    /// Waits until the state of the show is as described.
    pub(super) async fn until_model(
        &self,
        what: &'static str,
        is_so: impl Fn(&Model) -> bool,
    ) -> Result<(), ActError> {
        self.until_recording(what, |recording| {
            is_so(&recording.model).then_some(recording.model.at)
        })
        .await
    }

    /// Looks at the recording after each event, until the time of what is waited for, or the deadline.
    /// Pauses do not count.
    async fn until_recording(
        &self,
        what: &'static str,
        mut found_at: impl FnMut(&Recording) -> Option<Duration>,
    ) -> Result<(), ActError> {
        let mut news = self.recorder.news();
        let found = async {
            loop {
                news.borrow_and_update();
                let at = found_at(&self.recorder.recording());
                if at.is_some() {
                    return self.event_at.set(at);
                }
                let _ = news.changed().await; // its sender is in the recorder
            }
        };
        tokio::select! {
            biased;
            () = found => Ok(()),
            () = self.pace.unpaused_time(DEADLINE) => Err(ActError::NothingHappened(what)),
        }
    }

    /// Waits for an event of the proxies before both servers.
    pub(super) async fn until_both(
        &self,
        what: &'static str,
        is_it: impl Fn(&What) -> bool,
    ) -> Result<(), ActError> {
        let (mut landfall, mut naive) = (false, false);
        self.until(what, |event| {
            match event {
                ShowEvent::Proxy(what) => landfall |= is_it(what),
                ShowEvent::Naive(NaiveNews::Proxy(what)) => naive |= is_it(what),
                _ => {}
            }
            landfall && naive
        })
        .await
    }

    /// Waits until both connections are reset.
    pub(super) async fn until_reset(&self) -> Result<(), ActError> {
        let is_reset = |what: &What| matches!(what, What::Ended { reset: true, .. });
        self.until_both("both connections are reset", is_reset)
            .await
    }

    /// Waits until these lines are on both servers, and acknowledged.
    pub(super) async fn until_arrived(&self, texts: &[&str]) -> Result<(), ActError> {
        self.until_model("both servers have the lines", |model| {
            let has = |text: &&str| model.tally.is_logged(text) && model.tally.is_stored(text);
            texts.iter().all(has) && model.screen.pending.is_empty()
        })
        .await
    }

    /// Looks for a line in both chats, as Ana would.
    pub(super) fn search(&self, text: &str) -> Result<(), ActError> {
        let (reader, room) = (&self.stage.me.reader, self.stage.me.author.room());
        let found = recorder::around(reader, room, text).map_err(Failure::from)?;
        self.recorder
            .record(ShowEvent::Found(text.into(), found.into()));
        Ok(())
    }

    /// Reads something from the present.
    pub(super) fn present<T>(&self, read: impl FnOnce(&Model) -> T) -> T {
        read(&self.recorder.recording().model)
    }
}
