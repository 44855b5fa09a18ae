//! PURE. A token bucket: limits the entries of one device over time.

use std::time::Duration;

/// A bucket of `burst` tokens that refills by `per_second`.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// Makes a full bucket of `burst` tokens.
    #[must_use]
    pub(super) fn new(burst: u32, per_second: u32, now: Duration) -> Self {
        Self {
            burst: burst.into(),
            per_second: per_second.max(1).into(),
            tokens: burst.into(),
            at: now,
        }
    }

    /// Takes a token, or returns after how many ms there is one.
    pub(super) fn take(&mut self, now: Duration) -> Option<u64> {
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = self.burst.min(self.tokens + since * self.per_second);
        self.at = now;
        debug_assert!((0.0..=self.burst).contains(&self.tokens));
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return None;
        }
        Some(self.wait_ms(1))
    }

    /// Returns the ms until `tokens` tokens can be taken at once, or until the bucket is full, if
    /// it is smaller. At least the time for one token.
    pub(super) fn wait_ms(&self, tokens: u32) -> u64 {
        let missing = f64::from(tokens.max(1)).min(self.burst) - self.tokens;
        (missing.max(0.0) / self.per_second * 1_000.0).ceil() as u64 + 1
    }

    /// Whether the bucket is as full as a new one.
    pub(super) fn is_full(&self, now: Duration) -> bool {
        self.tokens + now.saturating_sub(self.at).as_secs_f64() * self.per_second >= self.burst
    }

    /// Returns a token: an entry that was in the log already costs nothing.
    pub(super) fn give_back(&mut self) {
        self.tokens = self.burst.min(self.tokens + 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_passes_then_rate_limits() {
        let mut bucket = Bucket::new(3, 10, Duration::ZERO);
        assert!((0..3).all(|_| bucket.take(Duration::ZERO).is_none()));
        let wait = bucket.take(Duration::ZERO).expect("empty");
        assert!((100..=102).contains(&wait), "{wait}");
        assert_eq!(bucket.take(Duration::from_millis(wait)), None);
    }

    #[test]
    fn rate_wait_for_many_tokens_passes_them_together() {
        let mut bucket = Bucket::new(20, 10, Duration::ZERO);
        while bucket.take(Duration::ZERO).is_none() {}
        let wait = bucket.wait_ms(5);
        assert!((500..=502).contains(&wait), "{wait}");
        let later = Duration::from_millis(wait);
        assert!((0..5).all(|_| bucket.take(later).is_none()));
        assert!(bucket.take(later).is_some());
        let full = bucket.wait_ms(1_000);
        assert!((1_990..=2_002).contains(&full), "no more than fit: {full}");
    }

    #[test]
    fn returned_tokens_can_be_taken_again() {
        let mut bucket = Bucket::new(1, 1, Duration::ZERO);
        assert_eq!(bucket.take(Duration::ZERO), None);
        bucket.give_back();
        assert_eq!(bucket.take(Duration::ZERO), None);
    }
}
