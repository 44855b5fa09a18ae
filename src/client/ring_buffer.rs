//! PURE. A buffer that keeps the newest values.

use std::collections::VecDeque;

/// The newest `MOST` values.
#[derive(Clone, Debug)]
pub struct RingBuffer<T, const MOST: usize>(VecDeque<T>);

impl<T, const MOST: usize> Default for RingBuffer<T, MOST> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T, const MOST: usize> RingBuffer<T, MOST> {
    /// Adds a value; when the buffer is full, the oldest one is dropped.
    pub fn push(&mut self, new: T) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(new);
        debug_assert!(self.0.len() <= MOST);
    }

    /// From old to new.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}
