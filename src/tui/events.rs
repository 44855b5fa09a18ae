//! What a terminal tells, as messages to the screen: all that came at once is taken at once.

use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind};
use futures_util::StreamExt;

use super::keymap;
use super::msg::Msg;

/// Keys at once, with line ends among them, that nobody types: a paste in a terminal that does not mark pastes.
const PASTE_KEYS_MIN: usize = 32;
/// Events taken at once, so that an endless stream of them is bounded and is drawn now and then.
const BATCH_MAX: usize = 65_536;

/// An event and whatever came with it.
pub(super) async fn with_what_waits(first: Event, events: &mut EventStream) -> Vec<Msg> {
    let mut batch = vec![first];
    while batch.len() < BATCH_MAX
        && let Some(event) = waiting(events).await
    {
        batch.push(event);
    }
    read_events(batch)
}

/// An event that is there already. Polled with the waker of this task: another one would be the one that is woken.
async fn waiting(events: &mut EventStream) -> Option<Event> {
    tokio::select! {
        biased;
        event = events.next() => event.and_then(Result::ok),
        () = std::future::ready(()) => None,
    }
}

/// Messages from what came at once. A burst of keys with line ends inside is a paste that nobody marked.
fn read_events(batch: Vec<Event>) -> Vec<Msg> {
    let keys: Vec<_> =
        batch.iter().filter_map(|event| event.as_key_event().filter(|key| key.kind != KeyEventKind::Release)).collect();
    let ends = keys.iter().filter(|key| key.code == KeyCode::Enter).count();
    if batch.len() == keys.len() && keys.len() >= PASTE_KEYS_MIN && ends >= 2 {
        let text = keys.iter().filter_map(|key| match key.code {
            KeyCode::Char(c) => Some(c),
            KeyCode::Enter => Some('\n'),
            KeyCode::Tab => Some('\t'),
            _ => None, // not text
        });
        return vec![Msg::Paste(text.collect())];
    }
    batch.into_iter().filter_map(read_event).collect()
}

fn read_event(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => keymap::action(key).map(Msg::Action),
        Event::Key(_) | Event::Mouse(_) => None,
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(columns, rows) => Some(Msg::Resized(columns, rows)),
        Event::FocusGained => Some(Msg::Focused(true)),
        Event::FocusLost => Some(Msg::Focused(false)),
    }
}
