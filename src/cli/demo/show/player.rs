//! PURE. Plays the recorded events for the eye: a caption stays long enough to be read, and what
//! comes after the next caption waits in the list. Only the picture waits, never the program.

use std::time::Duration;

use super::director::CAPTION;
use super::event::{Recorded, ShowEvent};
use super::model::Model;

/// The state that is shown, and how far the list has been played.
#[derive(Clone, Debug)]
pub(super) struct Player {
    pub(super) model: Model,
    next: usize,
    /// How long a caption stays at least.
    hold: Duration,
    /// When the shown caption may be replaced.
    until: Duration,
}

impl Player {
    pub(super) fn new(me: &'static str) -> Self {
        Self {
            model: Model::new(me),
            next: 0,
            hold: CAPTION,
            until: Duration::ZERO,
        }
    }

    /// Shows each event at once.
    pub(super) fn at_once(me: &'static str) -> Self {
        Self {
            hold: Duration::ZERO,
            ..Self::new(me)
        }
    }

    /// Shows everything that may be shown at `now`. Returns when to try again, if an event waits.
    pub(super) fn advance(&mut self, events: &[Recorded], now: Duration) -> Option<Duration> {
        while let Some(recorded) = events.get(self.next) {
            let begins_picture =
                matches!(recorded.event, ShowEvent::Caption(_) | ShowEvent::Act(_));
            if begins_picture && now < self.until {
                return Some(self.until);
            }
            if matches!(recorded.event, ShowEvent::Caption(_)) {
                self.until = now + self.hold;
            }
            self.model.apply(recorded);
            self.next += 1;
        }
        None
    }

    /// Removes events that are shown, so that a list without an end stays short.
    pub(super) fn forget_played(&mut self, events: &mut Vec<Recorded>) {
        events.drain(..self.next);
        self.next = 0;
    }

    /// The next caption need not wait any more.
    pub(super) fn skip(&mut self) {
        self.until = Duration::ZERO;
    }

    /// From now on, each event is shown at once.
    pub(super) fn skip_to_end(&mut self) {
        self.hold = Duration::ZERO;
        self.until = Duration::ZERO;
    }

    /// The picture was paused for this time.
    pub(super) fn on_pause(&mut self, lasted: Duration) {
        self.until += lasted;
    }

    /// How old the first event is that is not shown yet.
    pub(super) fn behind(&self, events: &[Recorded], now: Duration) -> Duration {
        let waiting = events.get(self.next);
        waiting.map_or(Duration::ZERO, |recorded| now.saturating_sub(recorded.at))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::process::ServerAction;
    use crate::cli::demo::show::event::Caption;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn caption(at: u64, headline: &str) -> Recorded {
        let caption = Caption {
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

    fn headline(player: &Player) -> &str {
        player
            .model
            .caption
            .as_ref()
            .map_or("", |caption| &caption.headline)
    }

    #[test]
    fn caption_stays_three_seconds_and_later_events_wait() {
        let events = [caption(1, "a"), other(1), caption(2, "b"), other(2)];
        let mut player = Player::new("ana");
        assert_eq!(player.advance(&events, S(2)), Some(S(5)));
        assert_eq!(
            (headline(&player), player.model.ladder.rows.len()),
            ("a", 1)
        );
        assert_eq!(player.behind(&events, S(4)), S(2));
        assert_eq!(player.advance(&events, S(4)), Some(S(5)));
        assert_eq!(player.advance(&events, S(5)), None);
        assert_eq!(
            (headline(&player), player.model.ladder.rows.len()),
            ("b", 2)
        );
        assert!(!player.is_over(&events, S(7)) && player.is_over(&events, S(8)));
    }

    #[test]
    fn skipped_caption_gives_way_at_once() {
        let events = [caption(1, "a"), caption(1, "b")];
        let mut player = Player::new("ana");
        player.advance(&events, S(1));
        player.skip();
        assert_eq!(player.advance(&events, S(1)), None);
        assert_eq!(headline(&player), "b");
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
        assert_eq!(headline(&player), "b");
    }

    #[test]
    fn time_of_a_pause_does_not_count() {
        let events = [caption(1, "a"), caption(1, "b")];
        let mut player = Player::new("ana");
        player.advance(&events, S(1));
        player.on_pause(S(10));
        assert_eq!(player.advance(&events, S(13)), Some(S(14)));
        assert_eq!(headline(&player), "a");
    }
}
