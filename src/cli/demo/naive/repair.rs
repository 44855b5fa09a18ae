//! The usual first repair: what did not come back is sent again after a reconnect.

/// Own lines that did not come back yet, in memory.
#[derive(Default)]
pub(super) struct Unechoed(Vec<String>);

impl Unechoed {
    pub(super) fn add(&mut self, text: String) {
        self.0.push(text);
    }

    /// Removes a line that came back. Returns whether it was awaited.
    pub(super) fn came_back(&mut self, text: &str) -> bool {
        let at = self.0.iter().position(|sent| sent == text);
        at.map(|at| self.0.remove(at)).is_some()
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.clone()
    }
}
