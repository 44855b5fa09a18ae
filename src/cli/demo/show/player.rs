//! PURE. Plays the recorded events for the eye: a caption and its event appear together, stay long
//! enough to be read, and everything after them comes later by the same time. Only the picture is
//! late, never the program.

use std::time::Duration;

use super::director::CAPTION;
use super::event::{Caption, Recorded, ShowEvent};
use super::model::Model;

/// A picture that is late catches up where nothing happens but new live values: such a time is not
/// longer than this.
const QUIET: Duration = Duration::from_millis(300);

/// Every event is shown so much later, so that a caption that is recorded after it comes with it.
const DELAY: Duration = Duration::from_millis(150);
/// For so long the picture stays at the event of a new caption.
const STILL: Duration = Duration::from_millis(1_200);

/// The state that is shown, and how far the list has been played.
#[derive(Clone, Debug)]
pub(super) struct Player {
    pub(super) model: Model,
    next: usize,
    /// The first caption that is not shown yet, as far as the list was searched.
    caption: Option<usize>,
    searched: usize,
    /// How long a caption stays at least.
    reading: Duration,
    /// When the shown caption may be replaced.
    until: Duration,
    /// Until when the picture stays at the event of its caption.
    still_until: Duration,
    /// How late the last event was shown, and when.
    lag: Duration,
    shown_at: Duration,
}

impl Player {
    pub(super) fn new(me: &'static str) -> Self {
        Self {
            model: Model::new(me),
            next: 0,
            caption: None,
            searched: 0,
            reading: CAPTION,
            until: Duration::ZERO,
            still_until: Duration::ZERO,
            lag: Duration::ZERO,
            shown_at: Duration::ZERO,
        }
    }

    /// Shows each event at once.
    pub(super) fn at_once(me: &'static str) -> Self {
        Self {
            reading: Duration::ZERO,
            ..Self::new(me)
        }
    }

    /// Shows everything that may be shown at `now`. Returns when to try again, if an event waits.
    pub(super) fn advance(&mut self, events: &[Recorded], now: Duration) -> Option<Duration> {
        while let Some(recorded) = events.get(self.next) {
            let caption = self.search_caption(events);
            if is_caption(recorded) && caption != Some(self.next) {
                self.next += 1; // it was shown with its event
                continue;
            }
            let is_act = matches!(recorded.event, ShowEvent::Act(_));
            let new_caption = caption.and_then(|at| match &events[at].event {
                ShowEvent::Caption(caption) if caption.begins_with(recorded) => Some(caption),
                _ => None,
            });
            let mut due = self.due(recorded.at);
            if is_act || new_caption.is_some() {
                due = due.max(self.until);
            }
            if due > now {
                return Some(due);
            }
            if !matches!(recorded.event, ShowEvent::Gauges(_)) {
                self.lag = due.saturating_sub(recorded.at);
                self.shown_at = due;
            }
            match new_caption {
                Some(caption) => {
                    self.show_caption(caption, recorded.at, now);
                    if !is_caption(recorded) {
                        self.model.apply(recorded);
                        self.next += 1;
                    }
                }
                None => {
                    self.model.apply(recorded);
                    self.next += 1;
                }
            }
        }
        None
    }

    /// When an event of this time is shown.
    fn due(&self, at: Duration) -> Duration {
        if self.reading.is_zero() {
            return at;
        }
        let late = (at + self.lag).min(self.shown_at + QUIET);
        late.max(at + DELAY).max(self.still_until)
    }

    /// The place of the first caption that is not shown.
    fn search_caption(&mut self, events: &[Recorded]) -> Option<usize> {
        while self.caption.is_none() && self.searched < events.len() {
            self.caption = is_caption(&events[self.searched]).then_some(self.searched);
            self.searched += 1;
        }
        self.caption
    }

    fn show_caption(&mut self, caption: &Caption, at: Duration, now: Duration) {
        self.model.apply(&Recorded {
            at,
            event: ShowEvent::Caption(caption.clone()),
        });
        self.caption = None;
        self.until = now + self.reading;
        self.still_until = now + self.reading.min(STILL);
    }

    /// Removes events that are shown, so that a list without an end stays short.
    pub(super) fn forget_played(&mut self, events: &mut Vec<Recorded>) {
        events.drain(..self.next);
        self.searched = self.searched.saturating_sub(self.next);
        self.caption = self.caption.map(|at| at - self.next); // it is not played
        self.next = 0;
    }

    /// The next caption need not wait any more, and nothing before it.
    pub(super) fn skip(&mut self) {
        self.until = Duration::ZERO;
        self.still_until = Duration::ZERO;
        self.lag = Duration::ZERO;
    }

    /// From now on, each event is shown at once.
    pub(super) fn skip_to_end(&mut self) {
        self.reading = Duration::ZERO;
        self.skip();
    }

    /// The picture was paused for this time.
    pub(super) fn on_pause(&mut self, lasted: Duration) {
        self.until += lasted;
        self.still_until += lasted;
        self.shown_at += lasted;
        self.lag += lasted;
    }

    /// The moment that is shown at `now`: not before the last event that is shown, and not after the
    /// first one that is not.
    pub(super) fn moment(&self, events: &[Recorded], now: Duration) -> Duration {
        match events.get(self.next) {
            Some(next) => now.saturating_sub(self.lag).min(next.at).max(self.model.at),
            None => now.max(self.model.at),
        }
    }

    /// Whether all events are shown, and the last caption has had its time.
    pub(super) fn is_over(&self, events: &[Recorded], now: Duration) -> bool {
        self.next >= events.len() && now >= self.until
    }

    /// When the last caption has had its time.
    pub(super) const fn until(&self) -> Duration {
        self.until
    }
}

fn is_caption(recorded: &Recorded) -> bool {
    matches!(recorded.event, ShowEvent::Caption(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::naive::Repair;
    use crate::cli::demo::process::ServerAction;
    use crate::cli::demo::show::event::{ActBegin, Gauges};
    use crate::cli::demo::show::part::PartKind;
    use crate::tui::LadderWhat;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn event(at: u64, event: ShowEvent) -> Recorded {
        Recorded { at: MS(at), event }
    }

    fn caption(at: u64, headline: &str) -> Recorded {
        caption_of(at, at, headline)
    }

    /// A caption of an event at an earlier time.
    fn caption_of(since: u64, at: u64, headline: &str) -> Recorded {
        let caption = Caption {
            since: MS(since),
            headline: headline.to_owned(),
            sentence: String::new(),
            detail: String::new(),
        };
        event(at, ShowEvent::Caption(caption))
    }

    /// An event that is a row of the ladder.
    fn row(at: u64) -> Recorded {
        event(at, ShowEvent::Servers(ServerAction::Copy))
    }

    fn act(at: u64) -> Recorded {
        let begin = ActBegin {
            kind: PartKind::Act,
            number: 2,
            title: "b".into(),
            naive: Repair::None,
            naive_lines: 98,
        };
        event(at, ShowEvent::Act(begin))
    }

    /// The headline and the number of rows.
    fn shown(player: &Player) -> (String, usize) {
        let caption = player.model.caption.as_ref();
        let rows = player.model.ladder.diagram.rows.iter();
        let rows = rows.filter(|row| matches!(row.what, LadderWhat::Note(_)));
        let headline = caption.map_or("", |caption| &caption.headline);
        (headline.to_owned(), rows.count())
    }

    /// Each picture and when it appears, ms. Events are in the list from their own time on.
    fn pictures(player: &mut Player, events: &[Recorded]) -> Vec<(u64, String, usize)> {
        let mut pictures: Vec<(u64, String, usize)> = Vec::new();
        let mut now = Duration::ZERO;
        loop {
            let known = events.partition_point(|event| event.at <= now);
            let wake = player.advance(&events[..known], now);
            let (headline, rows) = shown(player);
            if pictures
                .last()
                .is_none_or(|last| (&last.1, last.2) != (&headline, rows))
            {
                pictures.push((now.as_millis() as u64, headline, rows));
            }
            let next = events.get(known).map(|event| event.at);
            match wake.into_iter().chain(next).min() {
                Some(time) => now = time,
                None => return pictures,
            }
        }
    }

    fn plays(events: &[Recorded], expected: &[(u64, &str, usize)]) {
        let pictures = pictures(&mut Player::new("ana"), events);
        let pictures: Vec<_> = pictures
            .iter()
            .map(|(at, headline, rows)| (*at, headline.as_str(), *rows))
            .collect();
        assert_eq!(pictures[1..], *expected);
    }

    #[test]
    fn caption_stays_three_seconds_and_later_events_wait() {
        plays(
            &[
                caption(1_000, "a"),
                row(1_000),
                caption(2_000, "b"),
                row(2_000),
            ],
            &[
                (1_150, "a", 0),
                (2_350, "a", 1),
                (4_150, "b", 1),
                (5_350, "b", 2),
            ],
        );
    }

    /// The event comes with its caption, although that is recorded later; what follows comes after a
    /// moment.
    #[test]
    fn event_waits_for_its_caption() {
        plays(
            &[
                caption(1_000, "a"),
                row(2_000),
                caption_of(2_000, 2_010, "b"),
                row(2_020),
            ],
            &[(1_150, "a", 0), (4_150, "b", 1), (5_350, "b", 2)],
        );
    }

    #[test]
    fn what_follows_a_late_event_keeps_its_distance() {
        let events = [
            caption(1_000, "a"),
            caption(1_000, "b"),
            row(1_000),
            row(1_100),
            row(9_000),
        ];
        // after a quiet time it is no longer late
        let expected = [
            (1_150, "a", 0),
            (4_150, "b", 0),
            (5_350, "b", 1),
            (5_450, "b", 2),
            (9_150, "b", 3),
        ];
        plays(&events, &expected);
    }

    #[test]
    fn picture_catches_up_while_only_live_values_arrive() {
        let mut events = vec![caption(1_000, "a"), caption(1_000, "b"), row(1_000)];
        let gauges = |ms| event(ms, ShowEvent::Gauges(Gauges::default()));
        events.extend((1_000..4_000).step_by(100).map(gauges));
        events.push(row(4_000));
        let expected = [
            (1_150, "a", 0),
            (4_150, "b", 0),
            (5_350, "b", 1),
            (5_650, "b", 2),
        ];
        plays(&events, &expected);
    }

    #[test]
    fn captions_of_an_act_follow_it() {
        let events = [
            caption(1_000, "a"),
            act(2_000),
            caption_of(2_000, 3_000, "b"),
        ];
        let mut player = Player::new("ana");
        player.advance(&events[..1], MS(1_150));
        player.advance(&events, MS(4_149));
        assert!(player.model.act.is_none());
        player.advance(&events, MS(4_450));
        assert!(player.model.act.is_some() && shown(&player).0 == "b");
    }

    #[test]
    fn skipped_caption_is_replaced_at_once() {
        let events = [caption(1_000, "a"), caption(1_000, "b")];
        let mut player = Player::new("ana");
        player.advance(&events, MS(1_150));
        player.skip();
        assert_eq!(player.advance(&events, MS(1_200)), None);
        assert_eq!(shown(&player).0, "b");
    }

    #[test]
    fn forgotten_events_are_not_shown_again() {
        let mut events = vec![caption(1_000, "a"), row(1_000)];
        let mut player = Player::at_once("ana");
        player.advance(&events, MS(1_000));
        player.forget_played(&mut events);
        assert!(events.is_empty());
        events.push(caption(2_000, "b"));
        player.advance(&events, MS(2_000));
        assert_eq!(shown(&player), ("b".to_owned(), 1));
    }

    #[test]
    fn time_of_a_pause_does_not_count() {
        let events = [caption(1_000, "a"), caption(1_000, "b")];
        let mut player = Player::new("ana");
        player.advance(&events, MS(1_150));
        player.on_pause(MS(10_000));
        assert_eq!(player.advance(&events, MS(13_000)), Some(MS(14_150)));
        assert_eq!(shown(&player).0, "a");
    }
}
