//! PURE. What the naive chat's screen shows.

use std::collections::VecDeque;

use super::event::{Recorded, ShowEvent};
use crate::cli::demo::naive::{NaiveEvent, NaiveLine, NaiveNews};

/// Maximum number of rows.
const ROWS_MAX: usize = 200;

/// The screen of the naive client behind the faulty proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct NaiveRows {
    me: &'static str,
    pub(super) is_connected: bool,
    /// From old to new.
    pub(super) rows: VecDeque<NaiveRow>,
    /// Own lines that the client has not taken yet.
    pub(super) typed: VecDeque<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NaiveRow {
    pub(super) author: String,
    pub(super) text: String,
    pub(super) state: NaiveRowState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NaiveRowState {
    /// A line of another author.
    Received,
    Sending,
    Sent,
    /// The client no longer shows this line, which it had shown as sent.
    Vanished,
}

impl NaiveRows {
    pub(super) fn new(me: &'static str) -> Self {
        Self {
            me,
            ..Self::default()
        }
    }

    pub(super) fn apply(&mut self, recorded: &Recorded) {
        match &recorded.event {
            ShowEvent::Typed(line) if line.author == self.me => {
                self.typed.push_back(line.text.to_string());
            }
            ShowEvent::Naive(NaiveNews::Screen(author, event)) if *author == self.me => {
                self.on_screen(event);
            }
            _ => {}
        }
    }

    /// Whether a line waits for its echo.
    pub(super) fn is_sending(&self) -> bool {
        let is_sending = |row: &NaiveRow| row.state == NaiveRowState::Sending;
        self.rows.iter().any(is_sending)
    }

    fn on_screen(&mut self, event: &NaiveEvent) {
        match event {
            NaiveEvent::Connected => self.is_connected = true,
            NaiveEvent::Disconnected => self.is_connected = false,
            NaiveEvent::Replaced(lines) => self.on_replaced(lines),
            NaiveEvent::Received(line) => self.push(self.row(line)),
            NaiveEvent::Sending(text) => self.own(text, NaiveRowState::Sending),
            NaiveEvent::Sent(text) => self.own(text, NaiveRowState::Sent),
        }
        while self.rows.len() > ROWS_MAX {
            self.rows.pop_front();
        }
    }

    fn row(&self, line: &NaiveLine) -> NaiveRow {
        let is_own = line.author == self.me;
        NaiveRow {
            author: line.author.clone(),
            text: line.text.clone(),
            state: if is_own {
                NaiveRowState::Sent
            } else {
                NaiveRowState::Received
            },
        }
    }

    fn push(&mut self, row: NaiveRow) {
        self.rows.push_back(row);
    }

    fn own(&mut self, text: &str, state: NaiveRowState) {
        if let Some(at) = self.typed.iter().position(|typed| typed == text) {
            self.typed.remove(at);
        }
        let sending = self
            .rows
            .iter_mut()
            .find(|row| row.state == NaiveRowState::Sending && row.text == text);
        match sending {
            Some(row) => row.state = state,
            None => self.push(NaiveRow {
                author: self.me.to_owned(),
                text: text.to_owned(),
                state,
            }),
        }
    }

    fn on_replaced(&mut self, lines: &[NaiveLine]) {
        let is_there = |row: &NaiveRow| lines.iter().any(|line| line.text == row.text);
        let vanished: Vec<_> = (self.rows.iter())
            .filter(|row| row.state == NaiveRowState::Sent && !is_there(row))
            .cloned()
            .collect();
        self.rows = lines.iter().map(|line| self.row(line)).collect();
        self.rows.extend(vanished.into_iter().map(|row| NaiveRow {
            state: NaiveRowState::Vanished,
            ..row
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(author: &str, text: &str) -> NaiveLine {
        NaiveLine {
            author: author.to_owned(),
            text: text.to_owned(),
        }
    }

    fn states(rows: &NaiveRows) -> Vec<(&str, NaiveRowState)> {
        rows.rows
            .iter()
            .map(|row| (row.text.as_str(), row.state))
            .collect()
    }

    #[test]
    fn naive_line_that_the_server_lacks_vanishes() {
        let mut rows = NaiveRows::new("ana");
        rows.typed.push_back("key".to_owned());
        rows.on_screen(&NaiveEvent::Sent("key".to_owned()));
        assert!(rows.typed.is_empty());
        rows.on_screen(&NaiveEvent::Replaced(vec![
            line("bob", "hi"),
            line("ana", "door"),
        ]));
        assert_eq!(
            states(&rows),
            [
                ("hi", NaiveRowState::Received),
                ("door", NaiveRowState::Sent),
                ("key", NaiveRowState::Vanished)
            ]
        );
    }

    #[test]
    fn naive_line_sent_again_is_shown_twice() {
        let mut rows = NaiveRows::new("ana");
        rows.on_screen(&NaiveEvent::Sending("pay".to_owned()));
        rows.on_screen(&NaiveEvent::Replaced(vec![line("ana", "pay")]));
        rows.on_screen(&NaiveEvent::Sending("pay".to_owned()));
        rows.on_screen(&NaiveEvent::Sent("pay".to_owned()));
        assert_eq!(states(&rows), [("pay", NaiveRowState::Sent); 2]);
    }
}
