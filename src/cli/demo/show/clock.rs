//! The pace of a show: a visitor may pause it, or go on before a caption has had its time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What the visitor wants; shared by the screen and the director.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct PaceState {
    /// Since when the show is paused.
    paused_at: Option<Instant>,
    /// Total time of earlier pauses.
    paused_for: Duration,
    /// Number of captions that the visitor has skipped.
    skips: u32,
}

/// Who waits for captions to be read, and for the end of a pause.
#[derive(Clone, Debug)]
pub(in crate::cli::demo) struct Pace {
    /// Whether a person reads along.
    has_reader: bool,
    state: Arc<watch::Sender<PaceState>>,
}

impl Pace {
    /// A person reads along.
    pub(super) fn reader() -> Self {
        Self {
            has_reader: true,
            state: Arc::default(),
        }
    }

    /// No one reads along.
    pub(in crate::cli::demo) fn instant() -> Self {
        Self {
            has_reader: false,
            state: Arc::default(),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.state.borrow().paused_at.is_some()
    }

    /// Pauses. Returns how long the pause was, when it ends.
    #[expect(
        clippy::disallowed_methods,
        reason = "a driver: a pause takes real time"
    )]
    pub(super) fn toggle(&self) -> Option<Duration> {
        let mut lasted = None;
        self.state
            .send_modify(|state| match state.paused_at.take() {
                Some(at) => {
                    let time = at.elapsed();
                    state.paused_for += time;
                    lasted = Some(time);
                }
                None => state.paused_at = Some(Instant::now()),
            });
        lasted
    }

    /// The shown caption has been read.
    pub(super) fn skip(&self) {
        self.state.send_modify(|state| state.skips += 1);
    }

    /// Total time of all pauses, also of one that has not ended.
    pub(super) fn paused(&self) -> Duration {
        let state = self.state.borrow();
        state.paused_for + state.paused_at.map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// Waits until the show is not paused.
    pub(in crate::cli::demo) async fn running(&self) {
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| state.paused_at.is_none()).await; // the sender is in `self`
    }

    /// Waits for a time that does not pass during a pause; with a reader, and unless it is skipped.
    pub(super) async fn read(&self, time: Duration) {
        if !self.has_reader {
            return;
        }
        let skips = self.state.borrow().skips;
        let mut state = self.state.subscribe();
        let skipped = async {
            let _ = state.wait_for(|state| state.skips > skips).await; // the sender is in `self`
        };
        tokio::select! {
            () = skipped => {}
            () = self.unpaused_time(time) => {}
        }
        self.running().await;
    }

    /// Waits until so much time has passed, not counting pauses.
    #[expect(
        clippy::disallowed_methods,
        reason = "a driver: a caption takes real time"
    )]
    pub(super) async fn unpaused_time(&self, time: Duration) {
        let (start, before) = (Instant::now(), self.paused());
        loop {
            let passed = start.elapsed().saturating_sub(self.paused() - before);
            if passed >= time {
                return;
            }
            tokio::time::sleep(time - passed).await;
            self.running().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "the clock of the test is paused")]
    async fn time_of_a_pause_is_waited_again() {
        let pace = Pace::reader();
        let began = Instant::now();
        let pauses = async {
            tokio::time::sleep(S(1)).await;
            assert_eq!(pace.toggle(), None);
            tokio::time::sleep(S(10)).await;
            assert_eq!(pace.toggle(), Some(S(10)));
        };
        tokio::join!(pace.read(S(3)), pauses);
        assert_eq!(began.elapsed(), S(13));
    }

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "the clock of the test is paused")]
    async fn skip_ends_the_wait_and_a_pause_does_not() {
        let pace = Pace::reader();
        let began = Instant::now();
        let skips = async {
            tokio::time::sleep(S(1)).await;
            pace.skip();
        };
        tokio::join!(pace.read(S(3)), skips);
        assert_eq!(began.elapsed(), S(1));
        Pace::instant().read(S(100)).await;
        assert_eq!(began.elapsed(), S(1));
    }
}
