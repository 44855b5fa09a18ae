//! PURE. Counts what became of each typed line, in both chats.
//!
//! A line counts as lost in the naive chat only on a fact: its client showed it as sent, the
//! server's file lacks it, and no copy of it is under way any more. What the client shows as
//! waiting is never lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::event::{ActEnd, LogChange, Recorded, ShowEvent, TypedLine};
use super::net::NetState;
use crate::cli::demo::naive::{FileEvent, NaiveEvent, NaiveLine, NaiveNews};
use crate::protocol::{EntryId, Seq};

/// The figures of one chat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub(super) struct ChatScore {
    /// Number of Enters, alike in both chats.
    pub(super) typed: u64,
    /// Number of those that the server has.
    pub(super) arrived: u64,
    /// Number of those that will never arrive. Naive: shown as sent.
    pub(super) lost: u64,
    /// Number of copies beyond the first.
    pub(super) twice: u64,
    /// Number of messages on the server that the faulty side's screen lacks, without a mark.
    pub(super) unseen: u64,
    /// Time of "connected" during which no byte could pass, ms.
    pub(super) false_ms: u64,
}

/// Both chats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub(super) struct Score {
    pub(super) naive: ChatScore,
    pub(super) landfall: ChatScore,
}

impl ChatScore {
    /// Returns the figures since an earlier moment.
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            typed: self.typed - before.typed,
            arrived: self.arrived.saturating_sub(before.arrived),
            lost: self.lost.saturating_sub(before.lost),
            twice: self.twice.saturating_sub(before.twice),
            unseen: self.unseen.saturating_sub(before.unseen),
            false_ms: self.false_ms.saturating_sub(before.false_ms),
        }
    }

    /// Messages that are not on the server, and not lost either.
    pub(super) const fn under_way(self) -> u64 {
        self.typed.saturating_sub(self.arrived + self.lost)
    }
}

/// What became of one text. Texts are distinct, except those of a visitor who repeats one.
#[derive(Clone, Debug, Default)]
struct TextFate {
    typed: u64,
    /// Copies in the log of Landfall's server.
    logged: u64,
    /// Shown as sent by the naive client of its author, and on which connection last.
    sent: u64,
    sent_on: Option<u64>,
    /// The naive server was started anew after this text was shown as sent.
    is_cut_off: bool,
    /// Copies in the file of the naive server: now, and at most.
    stored: u64,
    stored_max: u64,
}

impl TextFate {
    /// What the text adds to the figures that do not depend on a network.
    fn totals(&self) -> Totals {
        Totals {
            stored: self.stored.min(self.typed),
            stored_twice: self.stored.saturating_sub(self.typed),
            logged: self.logged.min(self.typed),
            logged_twice: self.logged.saturating_sub(self.typed),
        }
    }

    /// Copies that the naive client has shown as sent, and that its server lacks.
    fn not_stored(&self) -> u64 {
        self.sent.min(self.typed).saturating_sub(self.stored)
    }
}

/// Sums over all texts.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    stored: u64,
    stored_twice: u64,
    logged: u64,
    logged_twice: u64,
}

impl Totals {
    fn replace(&mut self, before: Self, after: Self) {
        self.stored = self.stored + after.stored - before.stored;
        self.stored_twice = self.stored_twice + after.stored_twice - before.stored_twice;
        self.logged = self.logged + after.logged - before.logged;
        self.logged_twice = self.logged_twice + after.logged_twice - before.logged_twice;
    }
}

/// The texts, and what the servers and screens have of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    fates: BTreeMap<Arc<str>, TextFate>,
    totals: Totals,
    /// Texts of which the naive server lacks a copy that was shown as sent.
    not_stored: BTreeSet<Arc<str>>,
    /// Texts that the naive client of their author has not shown as sent as often as they were typed.
    not_sent: BTreeSet<Arc<str>>,
    /// The author behind the faulty proxy.
    me: &'static str,
    /// Landfall's log, to undo a truncation.
    log: Vec<(Seq, Arc<str>)>,
    /// The naive server's file.
    file: Vec<NaiveLine>,
    /// The naive chat has shown these lines of others.
    seen: BTreeSet<String>,
    /// Lines of others in the naive server's file that the naive chat has not shown yet.
    not_shown: BTreeSet<Arc<str>>,
    /// Those of them that it will not show: it never asks for older lines.
    skipped: BTreeSet<Arc<str>>,
    lost: BTreeSet<EntryId>,
    unseen: u64,
    typed: u64,
}

impl Tally {
    pub(super) fn new(me: &'static str) -> Self {
        Self {
            me,
            ..Self::default()
        }
    }

    pub(super) fn apply(&mut self, recorded: &Recorded, naive_net: &NetState) {
        match &recorded.event {
            ShowEvent::Typed(line) => self.on_typed(line),
            ShowEvent::Log(change) => self.on_log(change),
            ShowEvent::Naive(NaiveNews::File(event)) => self.on_file(event),
            ShowEvent::Naive(NaiveNews::Screen(author, event)) => {
                self.on_screen(author, event, naive_net);
            }
            ShowEvent::ActEnded(end) => self.on_act_ended(end),
            _ => {}
        }
    }

    /// Changes what is known of a text, and the sums.
    fn change(&mut self, text: &str, change: impl FnOnce(&mut TextFate)) {
        let text: Arc<str> = text.into();
        let fate = self.fates.entry(text.clone()).or_default();
        let before = fate.totals();
        change(fate);
        self.totals.replace(before, fate.totals());
        let (is_not_stored, is_not_sent) = (fate.not_stored() > 0, fate.sent < fate.typed);
        contain(&mut self.not_stored, &text, is_not_stored);
        contain(&mut self.not_sent, &text, is_not_sent);
    }

    fn on_typed(&mut self, line: &TypedLine) {
        self.typed += 1;
        self.change(&line.text, |fate| fate.typed += 1);
    }

    fn on_log(&mut self, change: &LogChange) {
        if let Some(after) = change.truncated_after {
            while let Some((_, text)) = self.log.pop_if(|(seq, _)| *seq > after) {
                self.change(&text, |fate| fate.logged -= 1);
            }
        }
        for (seq, _, text) in &change.added {
            self.log.push((*seq, text.clone()));
            self.change(text, |fate| fate.logged += 1);
        }
    }

    fn on_file(&mut self, event: &FileEvent) {
        match event {
            FileEvent::Added(line) => {
                self.change(&line.text, |fate| {
                    fate.stored += 1;
                    fate.stored_max = fate.stored_max.max(fate.stored);
                });
                if line.author != self.me && !self.seen.contains(&line.text) {
                    self.not_shown.insert(line.text.as_str().into());
                }
                self.file.push(line.clone());
            }
            FileEvent::Opened(lines) => {
                self.not_shown.clear();
                for line in std::mem::take(&mut self.file) {
                    self.change(&line.text, |fate| fate.stored = 0);
                }
                for line in lines {
                    self.on_file(&FileEvent::Added(line.clone()));
                }
                for text in self.not_stored.clone() {
                    self.change(&text, |fate| fate.is_cut_off = true);
                }
            }
        }
    }

    fn on_screen(&mut self, author: &str, event: &NaiveEvent, net: &NetState) {
        let is_mine = author == self.me;
        match event {
            NaiveEvent::Sent(text) => {
                let connection = is_mine.then_some(net.connection).flatten();
                self.change(text, |fate| {
                    fate.sent += 1;
                    fate.sent_on = connection;
                    fate.is_cut_off = false;
                });
            }
            NaiveEvent::Received(line) if is_mine => self.on_seen(line),
            NaiveEvent::Replaced(lines) if is_mine => self.on_replaced(lines),
            _ => {}
        }
    }

    fn on_seen(&mut self, line: &NaiveLine) {
        self.seen.insert(line.text.clone());
        self.not_shown.remove(line.text.as_str());
        self.skipped.remove(line.text.as_str());
    }

    /// The client never asks for older lines: those that it has not shown before are skipped.
    fn on_replaced(&mut self, lines: &[NaiveLine]) {
        lines.iter().for_each(|line| self.on_seen(line));
        self.skipped = self.not_shown.clone();
    }

    fn on_act_ended(&mut self, end: &ActEnd) {
        self.skipped = self.not_shown.clone();
        self.lost = end.lost.iter().copied().collect();
        self.unseen = end.unseen;
    }

    /// Whether no copy of a text is under way to the naive server any more.
    fn is_gone(fate: &TextFate, net: &NetState) -> bool {
        let was_stored = fate.stored_max > fate.stored;
        was_stored
            || fate.is_cut_off
            || fate
                .sent_on
                .is_some_and(|connection| !net.passes_up(connection))
    }

    fn naive_lost(fate: &TextFate, net: &NetState) -> u64 {
        if Self::is_gone(fate, net) {
            fate.not_stored()
        } else {
            0
        }
    }

    /// Whether the naive chat has lost this text.
    pub(super) fn is_lost(&self, text: &str, net: &NetState) -> bool {
        self.fates
            .get(text)
            .is_some_and(|fate| Self::naive_lost(fate, net) > 0)
    }

    /// Whether the naive server has more copies of this text than Enters.
    pub(super) fn is_twice(&self, text: &str) -> bool {
        self.fates
            .get(text)
            .is_some_and(|fate| fate.stored > fate.typed)
    }

    /// Lines that the log of Landfall's server lacks.
    pub(super) fn not_logged(&self) -> Vec<Arc<str>> {
        let lacking = self
            .fates
            .iter()
            .filter(|(_, fate)| fate.logged < fate.typed);
        lacking.map(|(text, _)| text.clone()).collect()
    }

    /// Whether the naive clients have shown every line as sent: none is sent again any more.
    pub(super) fn is_all_sent(&self) -> bool {
        self.not_sent.is_empty()
    }

    /// Whether the naive chat has shown everything that its server has, but for what it skips.
    pub(super) fn is_all_shown(&self) -> bool {
        self.not_shown.is_subset(&self.skipped)
    }

    /// Messages that the naive chat has skipped without a mark.
    pub(super) const fn skipped(&self) -> &BTreeSet<Arc<str>> {
        &self.skipped
    }

    /// The naive server's file has this text.
    pub(super) fn is_stored(&self, text: &str) -> bool {
        self.fates.get(text).is_some_and(|fate| fate.stored > 0)
    }

    /// The log of Landfall's server has this text.
    pub(super) fn is_logged(&self, text: &str) -> bool {
        self.fates.get(text).is_some_and(|fate| fate.logged > 0)
    }

    /// Whether the naive chat has ever shown this line of another author.
    pub(super) fn is_seen(&self, text: &str) -> bool {
        self.seen.contains(text)
    }

    /// The log of Landfall's server has every typed line.
    pub(super) const fn is_all_logged(&self) -> bool {
        self.totals.logged == self.typed
    }

    /// The seq of the newest message in the log of Landfall's server.
    pub(super) fn newest(&self) -> Seq {
        self.log.last().map_or(Seq::ZERO, |(seq, _)| *seq)
    }

    /// Texts that the naive chat has lost.
    pub(super) fn lost_texts(&self, net: &NetState) -> Vec<Arc<str>> {
        let lost = self.not_stored.iter();
        lost.filter(|text| self.is_lost(text, net))
            .cloned()
            .collect()
    }

    /// Returns the figures of this moment.
    pub(super) fn score(&self, nets: &Nets, now: Duration) -> Score {
        let (naive_net, landfall_net) = (&nets.naive, &nets.landfall);
        let (mut naive, mut landfall) = (ChatScore::default(), ChatScore::default());
        let not_stored = self.not_stored.iter();
        naive.lost = not_stored
            .filter_map(|text| self.fates.get(text))
            .map(|fate| Self::naive_lost(fate, naive_net))
            .sum();
        naive.arrived = self.totals.stored;
        naive.twice = self.totals.stored_twice;
        landfall.arrived = self.totals.logged;
        landfall.twice = self.totals.logged_twice;
        naive.typed = self.typed;
        naive.unseen = self.skipped.len() as u64;
        naive.false_ms = naive_net.false_time(now).as_millis() as u64;
        landfall.typed = self.typed;
        landfall.lost = self.lost.len() as u64;
        landfall.unseen = self.unseen;
        landfall.false_ms = landfall_net.false_time(now).as_millis() as u64;
        Score { naive, landfall }
    }
}

/// Adds a text to a set, or removes it.
fn contain(set: &mut BTreeSet<Arc<str>>, text: &Arc<str>, is_in: bool) {
    if is_in {
        set.insert(text.clone());
    } else {
        set.remove(text);
    }
}

/// The networks of both chats.
#[derive(Clone, Debug, Default)]
pub(super) struct Nets {
    pub(super) landfall: NetState,
    pub(super) naive: NetState,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repaired chat sends a stored line again, until its echo comes: only then it is at rest.
    #[test]
    fn stored_line_without_echo_is_not_all_sent() {
        let mut tally = Tally::new("ana");
        let net = NetState::default();
        let mut apply = |event| {
            let at = Duration::ZERO;
            tally.apply(&Recorded { at, event }, &net);
            tally.is_all_sent()
        };
        let text = "bring the blue folder";
        let line = || NaiveLine {
            author: "ana".to_owned(),
            text: text.to_owned(),
        };
        let typed = ShowEvent::Typed(TypedLine {
            author: "ana",
            id: EntryId::NIL,
            text: text.into(),
        });
        let screen = |event| ShowEvent::Naive(NaiveNews::Screen("ana", event));
        let stored = || ShowEvent::Naive(NaiveNews::File(FileEvent::Added(line())));
        assert!(!apply(typed));
        assert!(!apply(screen(NaiveEvent::Sending(text.to_owned()))));
        assert!(!apply(stored()), "its echo is lost");
        assert!(!apply(screen(NaiveEvent::Replaced(vec![line()]))));
        assert!(!apply(stored()), "it is there twice");
        assert!(apply(screen(NaiveEvent::Sent(text.to_owned()))));
    }
}
