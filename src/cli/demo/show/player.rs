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
                Some(caption) => self.show_caption(caption, recorded.at, now),
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
        at.max((at + self.lag).min(self.shown_at + QUIET))
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
    use crate::cli::demo::show::ladder::LadderWhat;
    use crate::cli::demo::show::part::PartKind;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn caption(at: u64, headline: &str) -> Recorded {
        caption_of(at, at, headline)
    }

    /// A caption of an event at an earlier time.
    fn caption_of(since: u64, at: u64, headline: &str) -> Recorded {
        let caption = Caption {
            since: S(since),
            headline: headline.to_owned(),
            sentence: String::new(),
            detail: String::new(),
        };
        Recorded {
            at: S(at),
            event: ShowEvent::Caption(caption),
        }
    }

    fn other(at: u64) -> Recorded {
        Recorded {
            at: S(at),
            event: ShowEvent::Servers(ServerAction::Copy),
        }
    }

    /// The headline and the number of rows of the ladder.
    fn shown(player: &Player) -> (&str, usize) {
        let caption = player.model.caption.as_ref();
        let rows = player.model.ladder.rows.iter();
        let rows = rows.filter(|row| matches!(row.what, LadderWhat::Note(_)));
        (
            caption.map_or("", |caption| &caption.headline),
            rows.count(),
        )
    }

    #[test]
    fn caption_stays_three_seconds_and_later_events_wait() {
        let events = [caption(1, "a"), other(1), caption(2, "b"), other(2)];
        let mut player = Player::new("ana");
        assert_eq!(player.advance(&events, S(2)), Some(S(5)));
        assert_eq!(shown(&player), ("a", 1));
        assert_eq!(player.moment(&events, S(4)), S(2));
        assert_eq!(player.advance(&events, S(4)), Some(S(5)));
        assert_eq!(player.advance(&events, S(5)), None);
        assert_eq!(shown(&player), ("b", 2));
        assert!(!player.is_over(&events, S(7)) && player.is_over(&events, S(8)));
    }

    #[test]
    fn event_waits_for_its_caption() {
        // the event at 2 s has the caption that was recorded at 3 s
        let events = [caption(1, "a"), other(1), other(2), caption_of(2, 3, "b")];
        let mut player = Player::new("ana");
        assert_eq!(player.advance(&events[..2], S(1)), None);
        assert_eq!(player.advance(&events, S(3)), Some(S(4)));
        assert_eq!(shown(&player), ("a", 1));
        assert_eq!(player.advance(&events, S(4)), None);
        assert_eq!(shown(&player), ("b", 2));
        assert_eq!(player.next, events.len());
    }

    #[test]
    fn what_follows_a_late_event_keeps_its_distance() {
        let mut events = vec![caption(1, "a"), caption(1, "b"), other(1)];
        let after = |ms: u64| Recorded {
            at: S(1) + Duration::from_millis(ms),
            ..other(1)
        };
        events.extend([after(100), after(200)]);
        let mut player = Player::new("ana");
        assert_eq!(player.advance(&events, S(1)), Some(S(4)));
        assert_eq!(
            player.advance(&events, S(4)),
            Some(S(4) + Duration::from_millis(100))
        );
        assert_eq!(shown(&player), ("b", 1));
        assert_eq!(player.advance(&events, S(5)), None);
        // after a quiet time it is no longer late
        events.push(other(9));
        assert_eq!(player.advance(&events, S(9)), None);
        assert_eq!((shown(&player), player.lag), (("b", 4), Duration::ZERO));
    }

    #[test]
    fn picture_catches_up_while_only_live_values_arrive() {
        let gauges = |ms: u64| Recorded {
            at: S(1) + Duration::from_millis(ms),
            event: ShowEvent::Gauges(Gauges::default()),
        };
        let mut events = vec![caption(1, "a"), caption(1, "b"), other(1)];
        events.extend((0..20).map(|n| gauges(n * 100)));
        events.push(other(4));
        let mut player = Player::new("ana");
        assert_eq!(player.advance(&events, S(1)), Some(S(4)));
        let soon = S(4) + Duration::from_millis(300);
        assert_eq!(
            player.advance(&events, S(4) + Duration::from_millis(299)),
            Some(soon)
        );
        assert_eq!(player.advance(&events, soon), None);
        assert_eq!(shown(&player), ("b", 2));
    }

    #[test]
    fn captions_of_an_act_follow_it() {
        let act = Recorded {
            at: S(2),
            event: ShowEvent::Act(ActBegin {
                kind: PartKind::Act,
                number: 2,
                title: "b".into(),
                naive: Repair::None,
                naive_lines: 98,
            }),
        };
        let events = [caption(1, "a"), act, caption_of(2, 3, "b")];
        let mut player = Player::new("ana");
        player.advance(&events, S(1));
        assert_eq!(player.advance(&events, S(3)), Some(S(4)));
        assert!(player.model.act.is_none() && shown(&player).0 == "a");
        assert_eq!(player.advance(&events, S(5)), None);
        assert!(player.model.act.is_some() && shown(&player).0 == "b");
    }

    #[test]
    fn skipped_caption_is_replaced_at_once() {
        let events = [caption(1, "a"), caption(1, "b")];
        let mut player = Player::new("ana");
        player.advance(&events, S(1));
        player.skip();
        assert_eq!(player.advance(&events, S(1)), None);
        assert_eq!(shown(&player).0, "b");
    }

    #[test]
    fn forgotten_events_are_not_shown_again() {
        let mut events = vec![caption(1, "a"), other(1)];
        let mut player = Player::at_once("ana");
        player.advance(&events, S(1));
        player.forget_played(&mut events);
        assert!(events.is_empty());
        events.push(caption(2, "b"));
        player.advance(&events, S(2));
        assert_eq!(shown(&player), ("b", 1));
    }

    #[test]
    fn time_of_a_pause_does_not_count() {
        let events = [caption(1, "a"), caption(1, "b")];
        let mut player = Player::new("ana");
        player.advance(&events, S(1));
        player.on_pause(S(10));
        assert_eq!(player.advance(&events, S(13)), Some(S(14)));
        assert_eq!(shown(&player).0, "a");
    }
}
