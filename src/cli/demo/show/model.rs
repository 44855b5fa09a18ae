//! PURE. The state of a show after each of its events: what both chats show, the ladder, the
//! caption and the score.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::event::{ActBegin, Caption, ChatRow, Gauges, LandfallScreen, Recorded, ShowEvent};
use super::ladder::ShowLadder;
use super::naive_screen::NaiveRows;
use super::score::{Nets, Score, Tally};
use crate::cli::demo::naive::{NaiveEvent, NaiveNews};
use crate::cli::demo::stage::MyAction;
use crate::client::link::{LinkPhase, LinkState, Wait};
use crate::tui::FrameWhat;

/// The state after some events.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The author behind the faulty proxy.
    pub(super) me: &'static str,
    /// The time of the newest event.
    pub(super) at: Duration,
    pub(super) act: Option<ActBegin>,
    /// The time and the score when the act began.
    pub(super) act_at: Duration,
    pub(super) act_score: Score,
    pub(super) caption: Option<Caption>,
    pub(super) link: LinkState,
    /// Since when.
    pub(super) link_at: Duration,
    /// Whether the computer of the faulty side sleeps.
    pub(super) is_asleep: bool,
    /// The delay before the next attempt.
    pub(super) wait: Option<Wait>,
    /// When the connection was welcomed, while it is up.
    pub(super) up_since: Option<Duration>,
    /// Whether a connection was lost since the show began: the next delays may be longer.
    pub(super) has_failed: bool,
    pub(super) screen: Arc<LandfallScreen>,
    /// What Landfall's screen shows instead, after a search.
    pub(super) found: Option<Arc<[ChatRow]>>,
    /// The text of the line to look at.
    pub(super) focus: Option<Arc<str>>,
    pub(super) gauges: Gauges,
    pub(super) naive: NaiveRows,
    pub(super) ladder: ShowLadder,
    pub(super) tally: Tally,
    pub(super) nets: Nets,
    /// Lines that were not on Landfall's server when the time of a part was up.
    pub(super) late: Vec<Arc<str>>,
    /// The acts that ended.
    pub(super) acts: Vec<EndedAct>,
}

/// An act that ended.
#[derive(Clone, Debug)]
pub(super) struct EndedAct {
    pub(super) act: ActBegin,
    /// Its figures at its end.
    pub(super) score: Score,
    /// What the naive chat had skipped in it.
    skipped: BTreeSet<Arc<str>>,
}

impl Model {
    pub(super) fn new(me: &'static str) -> Self {
        Self {
            me,
            at: Duration::ZERO,
            act: None,
            act_at: Duration::ZERO,
            act_score: Score::default(),
            caption: None,
            link: LinkState::Connecting { attempt: 1 },
            link_at: Duration::ZERO,
            is_asleep: false,
            wait: None,
            up_since: None,
            has_failed: false,
            screen: Arc::default(),
            found: None,
            focus: None,
            gauges: Gauges::default(),
            naive: NaiveRows::new(me),
            ladder: ShowLadder::new(me),
            tally: Tally::new(me),
            nets: Nets::default(),
            late: Vec::new(),
            acts: Vec::new(),
        }
    }

    /// Applies the next event.
    pub(super) fn apply(&mut self, recorded: &Recorded) {
        debug_assert!(recorded.at >= self.at, "events are ordered by time");
        self.at = recorded.at;
        self.apply_to_nets(recorded);
        self.tally.apply(recorded, &self.nets.naive);
        self.naive.apply(recorded);
        self.ladder.apply(recorded, &self.nets);
        match &recorded.event {
            ShowEvent::Act(act) => self.on_act(act),
            ShowEvent::Caption(caption) => self.caption = Some(caption.clone()),
            ShowEvent::Link(link, wait) => {
                if link.phase() == LinkPhase::Backoff {
                    self.up_since = None;
                    self.has_failed = true;
                }
                self.link = link.clone();
                self.link_at = recorded.at;
                self.wait = *wait;
            }
            ShowEvent::Frame(frame) => match &frame.what {
                FrameWhat::Welcome { .. } => self.up_since = Some(recorded.at),
                FrameWhat::Send { text, .. } => self.focus = Some(text.clone()),
                _ => {}
            },
            ShowEvent::Typed(line) if line.author == self.me => {
                self.focus = Some(line.text.clone());
            }
            ShowEvent::Mine(MyAction::Stop) => self.is_asleep = true,
            ShowEvent::Mine(MyAction::Continue) => self.is_asleep = false,
            ShowEvent::Gauges(gauges) => self.gauges = gauges.clone(),
            ShowEvent::Found(text, rows) => {
                self.focus = Some(text.clone());
                self.found = Some(rows.clone());
            }
            ShowEvent::Screen(screen) => self.screen = screen.clone(),
            ShowEvent::TimeIsUp(late) => self.late.extend(late.iter().cloned()),
            ShowEvent::ActEnded(_) => self.on_act_ended(),
            _ => {}
        }
    }

    fn apply_to_nets(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        match &recorded.event {
            ShowEvent::Proxy(what) => self.nets.landfall.on_proxy(what, at),
            ShowEvent::Link(link, _) => {
                let is_up = matches!(link.phase(), LinkPhase::Connected | LinkPhase::Resyncing);
                self.nets.landfall.on_screen(is_up, at);
            }
            ShowEvent::Naive(NaiveNews::Proxy(what)) => self.nets.naive.on_proxy(what, at),
            ShowEvent::Naive(NaiveNews::Screen(author, event)) if *author == self.me => match event
            {
                NaiveEvent::Connected => self.nets.naive.on_screen(true, at),
                NaiveEvent::Disconnected => self.nets.naive.on_screen(false, at),
                _ => {}
            },
            _ => {}
        }
    }

    fn on_act(&mut self, act: &ActBegin) {
        self.act = Some(act.clone());
        self.found = None;
        self.caption = None; // that of the act before
        self.act_at = self.at;
        self.act_score = self.score();
    }

    fn on_act_ended(&mut self) {
        let score = self.score();
        if let Some(act) = self.act.clone() {
            let since = Score {
                naive: score.naive.since(self.act_score.naive),
                landfall: score.landfall.since(self.act_score.landfall),
            };
            let earlier = |text: &Arc<str>| self.acts.iter().any(|act| act.skipped.contains(text));
            let skipped = self.tally.skipped().iter();
            let skipped = skipped.filter(|text| !earlier(text)).cloned().collect();
            self.acts.push(EndedAct {
                act,
                score: since,
                skipped,
            });
        }
    }

    /// The score of each act that ended, without what the naive chat has shown since.
    pub(super) fn acts_in_the_end(&self) -> impl Iterator<Item = (&ActBegin, Score)> {
        self.acts.iter().map(|ended| {
            let mut score = ended.score;
            let unseen = ended.skipped.intersection(self.tally.skipped());
            score.naive.unseen = unseen.count() as u64;
            (&ended.act, score)
        })
    }

    /// The figures at the time of the newest event.
    pub(super) fn score(&self) -> Score {
        self.tally.score(&self.nets, self.at)
    }

    /// Whether everything that was typed is on Landfall's server and on its screen.
    pub(super) fn has_everything(&self) -> bool {
        let newest = self.tally.newest();
        let shown = self.screen.rows.iter().rev().find_map(ChatRow::seq);
        self.tally.is_all_logged()
            && self.screen.pending.is_empty()
            && self.screen.missing == 0
            && self.link.phase() == LinkPhase::Connected
            && shown.is_none_or(|shown| shown >= newest)
    }

    /// Whether both chats show everything that was typed, and nothing of it is under way.
    pub(super) fn shows_everything(&self) -> bool {
        self.has_everything()
            && self.score().naive.under_way() == 0
            && self.tally.is_all_shown()
            && !self.naive.is_sending()
    }

    /// Whether both chats show that they are connected, and their connections are open.
    pub(super) fn both_connected(&self) -> bool {
        self.link.phase() == LinkPhase::Connected
            && self.nets.landfall.is_open()
            && self.naive.is_connected
            && self.nets.naive.is_open()
    }
}
