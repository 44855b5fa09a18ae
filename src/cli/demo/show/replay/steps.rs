//! PURE. The recorded events as pictures: what both chats, the ladder and the score show at each
//! moment at which they change.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::cli::demo::naive::{FileEvent, NaiveNews};
use crate::cli::demo::show::director::CAPTION;
use crate::cli::demo::show::event::{ActBegin, Caption, Recorded, ShowEvent};
use crate::cli::demo::show::model::Model;
use crate::cli::demo::show::score::Score;
use crate::cli::demo::show::view::{ReplayView, TextRow};
use crate::tui::LadderRow;

/// Rows of the ladder that one picture has at least, if there are so many, and at most: its first
/// row moves seldom, so that most rows of a picture are those of the one before.
const LADDER_MIN: usize = 200;
const LADDER_MAX: usize = 300;

/// A row, by its place in the list of all rows.
pub(super) type RowNumber = usize;

/// A whole run.
#[derive(Clone, Debug, Default)]
pub(super) struct Replay {
    /// Each different row once.
    pub(super) rows: Vec<TextRow>,
    pub(super) acts: Vec<ActBegin>,
    pub(super) captions: Vec<ReplayCaption>,
    /// From first to last; never empty after [`Replay::of`].
    pub(super) steps: Vec<ReplayStep>,
}

/// A caption, and the act that it belongs to.
#[derive(Clone, Debug)]
pub(super) struct ReplayCaption {
    /// By its place in the list of acts.
    pub(super) act: usize,
    pub(super) caption: Caption,
}

/// One picture.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct ReplayStep {
    /// When it happened.
    pub(super) at: Duration,
    /// When it is shown, so that each caption can be read.
    pub(super) shown_at: Duration,
    /// By its place in the list of captions; none before the first.
    pub(super) caption: Option<usize>,
    pub(super) naive: Vec<RowNumber>,
    pub(super) landfall: Vec<RowNumber>,
    pub(super) ladder: Vec<RowNumber>,
    pub(super) score: Score,
}

impl ReplayStep {
    /// Whether nothing but the time and the running figures differ.
    fn looks_like(&self, other: &Self) -> bool {
        let marks = |score: &Score| (score.naive.lost, score.naive.twice, score.landfall.lost);
        self.caption == other.caption
            && self.naive == other.naive
            && self.landfall == other.landfall
            && self.ladder == other.ladder
            && marks(&self.score) == marks(&other.score)
    }
}

impl Replay {
    /// Applies all events. `me`: the author behind the faulty proxy.
    pub(super) fn of(me: &'static str, events: &[Recorded]) -> Self {
        let mut building = Building::default();
        let mut model = Model::new(me);
        for recorded in with_captions_first(up_to_the_end(events)) {
            model.apply(&recorded);
            match &recorded.event {
                ShowEvent::Act(act) => building.replay.acts.push(act.clone()),
                ShowEvent::Caption(caption) => building.on_caption(caption),
                _ => {}
            }
            if is_visible(&recorded.event, me) {
                building.draw(&model);
            }
        }
        building.end(&model);
        let mut replay = building.replay;
        replay.set_times();
        replay
    }

    /// Sets the times at which pictures are shown: real ones, but for captions that would be
    /// replaced too soon.
    fn set_times(&mut self) {
        let (mut last, mut now) = (Duration::ZERO, Duration::ZERO);
        let mut caption = None;
        let mut until = Duration::ZERO;
        for step in &mut self.steps {
            now += step.at.saturating_sub(last);
            last = step.at;
            if step.caption != caption {
                caption = step.caption;
                now = now.max(until);
                until = now + CAPTION;
            }
            step.shown_at = now;
        }
        debug_assert!(self.steps.is_sorted_by_key(|step| step.shown_at));
    }

    /// Keeps only one picture of those that follow each other within `time`: the last one. Each
    /// caption keeps its first.
    pub(super) fn thin(&mut self, time: Duration) {
        let begins: Vec<bool> = (0..self.steps.len())
            .map(|at| self.begins_frame(at))
            .collect();
        let mut kept: Vec<ReplayStep> = Vec::new();
        // when the first of the pictures began that become one; none after a caption's first
        let mut since: Option<Duration> = None;
        for (step, begins) in std::mem::take(&mut self.steps).into_iter().zip(begins) {
            let is_near = since.is_some_and(|since| step.at.saturating_sub(since) < time);
            match kept.last_mut() {
                Some(last) if is_near && !begins => *last = step,
                _ => {
                    since = (!begins).then_some(step.at);
                    kept.push(step);
                }
            }
        }
        self.steps = kept;
    }

    /// Whether a caption begins with this step.
    pub(super) fn begins_frame(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.steps.get(before));
        self.steps.get(at).is_some_and(|step| {
            step.caption.is_some() && before.is_none_or(|before| before.caption != step.caption)
        })
    }

    /// The last step.
    pub(super) fn last(&self) -> Option<&ReplayStep> {
        self.steps.last()
    }
}

/// The events of the show itself: without those after its last act, while its proof was read.
fn up_to_the_end(events: &[Recorded]) -> &[Recorded] {
    let is_end = |recorded: &Recorded| matches!(recorded.event, ShowEvent::ActEnded(_));
    let is_act = |recorded: &Recorded| matches!(recorded.event, ShowEvent::Act(_));
    match (
        events.iter().rposition(is_end),
        events.iter().rposition(is_act),
    ) {
        (Some(end), Some(act)) if act < end => &events[..=end],
        _ => events,
    }
}

/// The same events, with each caption before the event that it is about.
fn with_captions_first(events: &[Recorded]) -> impl Iterator<Item = Cow<'_, Recorded>> {
    let caption = |recorded: &Recorded| match &recorded.event {
        ShowEvent::Caption(caption) => Some(caption.clone()),
        _ => None,
    };
    let mut captions: VecDeque<Caption> = events.iter().filter_map(caption).collect();
    events.iter().flat_map(move |recorded| {
        let mut shown = Vec::new();
        while let Some(caption) = captions.pop_front_if(|caption| caption.begins_with(recorded)) {
            let (at, event) = (recorded.at, ShowEvent::Caption(caption));
            shown.push(Cow::Owned(Recorded { at, event }));
        }
        let itself = caption(recorded)
            .is_none()
            .then_some(Cow::Borrowed(recorded));
        shown.into_iter().chain(itself)
    })
}

/// Whether the picture may change with this event. Gauges are not replayed.
fn is_visible(event: &ShowEvent, me: &str) -> bool {
    match event {
        ShowEvent::Gauges(_) | ShowEvent::Log(_) => false,
        ShowEvent::Typed(line) => line.author == me,
        ShowEvent::Naive(NaiveNews::Screen(author, _)) => *author == me,
        ShowEvent::Naive(NaiveNews::File(FileEvent::Added(line))) => line.author == me,
        _ => true,
    }
}

/// A replay, and what is needed to add to it.
#[derive(Debug, Default)]
struct Building {
    replay: Replay,
    numbers: BTreeMap<TextRow, RowNumber>,
    /// The ladder of the last picture. Only rows that changed are drawn anew.
    drawn: Vec<DrawnRow>,
}

/// A row of the ladder, and how it was drawn.
#[derive(Debug)]
struct DrawnRow {
    row: LadderRow,
    is_newest: bool,
    number: RowNumber,
}

impl Building {
    fn on_caption(&mut self, caption: &Caption) {
        self.replay.captions.push(ReplayCaption {
            act: self.replay.acts.len().saturating_sub(1),
            caption: caption.clone(),
        });
    }

    fn number(&mut self, row: TextRow) -> RowNumber {
        let rows = &mut self.replay.rows;
        *self.numbers.entry(row).or_insert_with_key(|row| {
            rows.push(row.clone());
            rows.len() - 1
        })
    }

    fn ladder(&mut self, model: &Model) -> Vec<RowNumber> {
        let all = &model.ladder.diagram.rows;
        let step = LADDER_MAX - LADDER_MIN;
        let shown = &all[all.len().saturating_sub(LADDER_MIN) / step * step..];
        let is_newest = |at: usize| at + 1 == shown.len();
        let same = self
            .drawn
            .iter()
            .zip(shown)
            .enumerate()
            .take_while(|(at, (old, new))| old.row == **new && old.is_newest == is_newest(*at))
            .count();
        self.drawn.truncate(same);
        for (at, row) in shown.iter().enumerate().skip(same) {
            let drawn = ReplayView::ladder_row(model, row, is_newest(at));
            let number = self.number(drawn);
            self.drawn.push(DrawnRow {
                row: row.clone(),
                is_newest: is_newest(at),
                number,
            });
        }
        self.drawn.iter().map(|drawn| drawn.number).collect()
    }

    fn draw(&mut self, model: &Model) {
        let ladder = self.ladder(model);
        let mut numbers = |rows: Vec<TextRow>| -> Vec<RowNumber> {
            rows.into_iter().map(|row| self.number(row)).collect()
        };
        let step = ReplayStep {
            at: model.at,
            shown_at: Duration::ZERO,
            naive: numbers(ReplayView::naive(model)),
            landfall: numbers(ReplayView::landfall(model)),
            ladder,
            caption: self.replay.captions.len().checked_sub(1),
            score: model.score(),
        };
        if !self
            .replay
            .last()
            .is_some_and(|last| last.looks_like(&step))
        {
            self.replay.steps.push(step);
        }
    }

    /// The last picture has the last figures.
    fn end(&mut self, model: &Model) {
        if self.replay.steps.is_empty() {
            self.draw(model);
        }
        if let Some(last) = self.replay.steps.last_mut() {
            last.score = model.score();
        }
    }
}
