//! Terminal events as inputs of the screen: all that arrive at once are handled at once.

use std::io;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEventKind};
use tokio::sync::mpsc;

use super::msg;

/// Keys at once, with line ends among them, that are not typed by hand: a paste in a terminal that does not
/// mark pastes.
const PASTE_KEYS_MIN: usize = 32;
/// Maximum batches of events that wait for the screen.
const WAITING_MAX: usize = 64;
/// Maximum events read at once, so that an endless stream of them is bounded and drawn at
/// intervals.
const BATCH_MAX: usize = 65_536;

/// Terminal events, read on a thread of their own; those that arrive at once are one batch.
///
/// Once the terminal is gone, crossterm reads its end again and again and never returns: on the
/// screen's thread that was the end of everything, half-typed texts too. On this one it lasts until
/// the process ends.
pub(crate) struct Events(mpsc::Receiver<io::Result<Vec<Event>>>);

impl Events {
    /// Starts to read.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn read() -> io::Result<Self> {
        let (batches, waiting) = mpsc::channel(WAITING_MAX);
        let read = move || {
            loop {
                let batch = batch();
                let is_last = batch.is_err();
                if batches.blocking_send(batch).is_err() || is_last {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(read)?; // ends with the process
        Ok(Self(waiting))
    }

    /// Waits for the next batch. Cancelling the wait loses nothing.
    pub(crate) async fn next(&mut self) -> Option<io::Result<Vec<Event>>> {
        self.0.recv().await
    }
}

/// Returns the next event and all that are pending with it.
fn batch() -> io::Result<Vec<Event>> {
    let mut batch = vec![event::read()?];
    while batch.len() < BATCH_MAX && event::poll(Duration::ZERO)? {
        batch.push(event::read()?);
    }
    Ok(batch)
}

/// Converts a batch of events. A burst of keys with line ends inside is a paste that the terminal
/// did not mark.
pub(super) fn read_events(batch: Vec<Event>) -> Vec<msg::Input> {
    let keys: Vec<_> = batch
        .iter()
        .filter_map(|event| {
            event
                .as_key_event()
                .filter(|key| key.kind != KeyEventKind::Release)
        })
        .collect();
    let ends = keys.iter().filter(|key| key.code == KeyCode::Enter).count();
    if batch.len() == keys.len() && keys.len() >= PASTE_KEYS_MIN && ends >= 2 {
        let text = keys.iter().filter_map(|key| match key.code {
            KeyCode::Char(c) => Some(c),
            KeyCode::Enter => Some('\n'),
            KeyCode::Tab => Some('\t'),
            _ => None, // not text
        });
        return vec![msg::Input::Paste(text.collect())];
    }
    batch.into_iter().filter_map(read_event).collect()
}

fn read_event(event: Event) -> Option<msg::Input> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(msg::Input::Key(key.into())),
        Event::Key(_) | Event::Mouse(_) => None,
        Event::Paste(text) => Some(msg::Input::Paste(text)),
        Event::Resize(columns, rows) => Some(msg::Input::Resized(columns, rows)),
        Event::FocusGained => Some(msg::Input::Focused(true)),
        Event::FocusLost => Some(msg::Input::Focused(false)),
    }
}
