//! PURE. Which key does what: one table, from which keys are looked up, and which help and hints
//! show.

use std::sync::LazyLock;

use super::action::Action;
use super::inspector::InspectorPage;
use super::key::Key;

/// Where a key is pressed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Context {
    /// In the chat, and in popups.
    Chat,
    /// In the inspector, while its keys are active; unbound keys are looked up in the chat.
    Inspector,
    /// On one page of the inspector; looked up before the keys of the whole inspector.
    OnPage(InspectorPage),
}

/// The keys of an action, with its help text.
pub(crate) struct Binding {
    /// In the spelling of the help; hints show the first one.
    pub(crate) keys: &'static [&'static str],
    /// Further keys for the same, which help leaves out.
    also: &'static [&'static str],
    pub(crate) context: Context,
    pub(crate) action: Action,
    /// For help. Neighbours with the same words share a line there.
    pub(crate) help: &'static str,
}

const fn chat(keys: &'static [&'static str], action: Action, help: &'static str) -> Binding {
    bind(Context::Chat, keys, action, help)
}

const fn inspector(keys: &'static [&'static str], action: Action, help: &'static str) -> Binding {
    bind(Context::Inspector, keys, action, help)
}

const fn bind(
    context: Context,
    keys: &'static [&'static str],
    action: Action,
    help: &'static str,
) -> Binding {
    Binding {
        keys,
        also: &[],
        context,
        action,
        help,
    }
}

impl Binding {
    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }
}

const FRAMES: Context = Context::OnPage(InspectorPage::Frames);
const LADDER: Context = Context::OnPage(InspectorPage::Ladder);
const OUTBOX: Context = Context::OnPage(InspectorPage::Outbox);
const HISTORY: &str = "move in the text, then through your sent messages";
const DELETE: &str = "delete a word, to the start, or to the end";
const QUIT: &str = "quit; Ctrl-D on an empty line only";
const PAGES: &str = "inspector: link, outbox, rooms, frames, ladder";

/// Every binding, in the order of help.
pub(crate) const BINDINGS: [Binding; 54] = [
    chat(&["Enter"], Action::Submit, "send"),
    chat(
        &["Alt-Enter", "Ctrl-J", "Shift-Enter"],
        Action::Newline,
        "new line",
    )
    .also(&["Ctrl-Enter"]),
    chat(&["Up"], Action::Up, HISTORY),
    chat(&["Down"], Action::Down, HISTORY),
    chat(&["Left"], Action::Left, "move in the line").also(&["Ctrl-B"]),
    chat(&["Right"], Action::Right, "move in the line"),
    chat(&["Home"], Action::Home, "move in the line").also(&["Ctrl-A"]),
    chat(&["End"], Action::End, "move in the line").also(&["Ctrl-E"]),
    chat(&["Ctrl-Left"], Action::WordLeft, "move by a word").also(&["Alt-Left", "Alt-B"]),
    chat(&["Ctrl-Right"], Action::WordRight, "move by a word").also(&["Alt-Right", "Alt-F"]),
    chat(&["Tab"], Action::Complete, "complete a command"),
    chat(
        &["Ctrl-C"],
        Action::ClearLine,
        "clear the line; again: restore it",
    ),
    chat(&["Backspace"], Action::Backspace, "delete a character").also(&["Ctrl-H"]),
    chat(&["Delete"], Action::Delete, "delete a character"),
    chat(&["Ctrl-W"], Action::DeleteWord, DELETE).also(&["Ctrl-Backspace", "Alt-Backspace"]),
    chat(&["Ctrl-U"], Action::DeleteToStart, DELETE),
    chat(&["Ctrl-K"], Action::DeleteToEnd, DELETE),
    chat(&["PageUp"], Action::PageUp, "scroll by a page"),
    chat(&["PageDown"], Action::PageDown, "scroll by a page"),
    chat(&["Shift-Up"], Action::ScrollUp, "scroll by a line"),
    chat(&["Shift-Down"], Action::ScrollDown, "scroll by a line"),
    chat(&["Ctrl-End"], Action::ToBottom, "to the newest message"),
    chat(
        &["Esc"],
        Action::Escape,
        "close the popup; without one, go to the newest message",
    ),
    chat(&["Alt-Up"], Action::PreviousRoom, "previous or next room"),
    chat(&["Alt-Down"], Action::NextRoom, "previous or next room"),
    chat(
        &["Alt-A"],
        Action::NextUnread,
        "next room with unread messages",
    ),
    chat(&["Ctrl-O"], Action::PickRoom, "choose a room"),
    chat(&["Ctrl-F"], Action::Find, "search messages in all rooms"),
    chat(&["Ctrl-R"], Action::RetryNow, "reconnect now"),
    chat(
        &["F12", "Alt-I"],
        Action::Inspect,
        "connection inspector: states, timers, outbox, frames",
    ),
    chat(
        &["Alt-E"],
        Action::EditRejected,
        "edit the rejected message",
    ),
    chat(&["Ctrl-L"], Action::Redraw, "redraw the screen"),
    chat(&["Ctrl-Z"], Action::Suspend, "suspend; fg resumes"),
    chat(&["F1"], Action::Help, "help"),
    chat(&["Ctrl-Q"], Action::Quit, QUIT),
    chat(&["Ctrl-D"], Action::DeleteOrQuit, QUIT),
    inspector(&["1"], Action::ShowPage(InspectorPage::Link), PAGES),
    inspector(&["2"], Action::ShowPage(InspectorPage::Outbox), PAGES),
    inspector(&["3"], Action::ShowPage(InspectorPage::Rooms), PAGES),
    inspector(&["4"], Action::ShowPage(InspectorPage::Frames), PAGES),
    inspector(&["5"], Action::ShowPage(InspectorPage::Ladder), PAGES),
    inspector(
        &["Left"],
        Action::PreviousPage,
        "inspector: previous or next page",
    )
    .also(&["Ctrl-B"]),
    inspector(
        &["Right"],
        Action::NextPage,
        "inspector: previous or next page",
    ),
    inspector(&["Up"], Action::SelectUp, "inspector: select"),
    inspector(&["Down"], Action::SelectDown, "inspector: select"),
    inspector(
        &["Tab"],
        Action::LeaveInspector,
        "inspector: back to the composer",
    )
    .also(&["Enter"]),
    inspector(&["Esc"], Action::CloseInspector, "inspector: close"),
    bind(
        FRAMES,
        &["Enter"],
        Action::ShowWhole,
        "frames: show a whole frame",
    ),
    bind(FRAMES, &["Space"], Action::PauseFrames, "frames: pause"),
    bind(FRAMES, &["/"], Action::FilterFrames, "frames: filter"),
    bind(
        LADDER,
        &["Enter"],
        Action::ShowWhole,
        "ladder: show the frame of the row",
    ),
    bind(LADDER, &["Space"], Action::PauseFrames, "ladder: pause"),
    bind(
        OUTBOX,
        &["r"],
        Action::RetrySelected,
        "outbox: send a rejected message again",
    ),
    bind(
        OUTBOX,
        &["d"],
        Action::DiscardSelected,
        "outbox: delete an unsent message",
    ),
];

/// One key of a binding, parsed.
struct BoundKey {
    context: Context,
    key: Key,
    action: Action,
}

/// All keys of the table, in its order.
static KEYS: LazyLock<Vec<BoundKey>> = LazyLock::new(|| {
    BINDINGS
        .iter()
        .flat_map(|binding| {
            let keys = binding.keys.iter().chain(binding.also);
            keys.map(|key| BoundKey {
                context: binding.context,
                key: key.parse().expect("a test parses every key of the table"),
                action: binding.action,
            })
        })
        .collect()
});

/// Returns the action of a key. An unbound key types its character, if it has one.
pub(crate) fn action(key: Key, context: Context) -> Option<Action> {
    let contexts = || contexts(context).into_iter().flatten();
    let bound = key
        .fallbacks()
        .find_map(|key| contexts().find_map(|context| bound(key, context)));
    bound.or_else(|| key.text().map(Action::Insert))
}

/// The contexts in which a key is looked up, in order.
const fn contexts(context: Context) -> [Option<Context>; 3] {
    match context {
        Context::Chat => [Some(Context::Chat), None, None],
        Context::Inspector => [Some(Context::Inspector), Some(Context::Chat), None],
        Context::OnPage(_) => [Some(context), Some(Context::Inspector), Some(Context::Chat)],
    }
}

fn bound(key: Key, context: Context) -> Option<Action> {
    let mut keys = KEYS.iter();
    keys.find(|bound| (bound.context, bound.key) == (context, key))
        .map(|bound| bound.action)
}

/// Returns the first key of an action, for hints.
pub(crate) fn key_of(action: Action) -> &'static str {
    let binding = BINDINGS.iter().find(|binding| binding.action == action);
    binding.map_or("", |binding| binding.keys[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().expect("a key")
    }

    #[test]
    fn every_key_of_the_table_is_one() {
        for binding in &BINDINGS {
            assert!(!binding.keys.is_empty() && !binding.help.is_empty());
            for text in binding.keys.iter().chain(binding.also) {
                assert_eq!(key(text).to_string(), *text);
            }
        }
    }

    #[test]
    fn every_action_has_a_key_and_help() {
        let source = include_str!("action.rs");
        let body = source.split("enum Action {").nth(1).expect("the enum");
        let variants = body
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
            .map(|line| line.trim_end_matches(',').split('(').next().unwrap_or(line));
        let bound: Vec<_> = BINDINGS
            .iter()
            .map(|binding| format!("{:?}", binding.action))
            .collect();
        for variant in variants.filter(|variant| *variant != "Insert") {
            let is_bound = |action: &&String| action.split('(').next() == Some(variant);
            assert!(bound.iter().any(|action| is_bound(&action)), "{variant}");
        }
    }

    #[test]
    fn no_binding_shadows_another_one() {
        for (at, bound) in KEYS.iter().enumerate() {
            let mut before = KEYS[..at].iter();
            let is_same =
                |other: &&BoundKey| (other.context, other.key) == (bound.context, bound.key);
            let shadowing = before.find(is_same).map(|other| other.action);
            assert_eq!(shadowing, None, "{} is bound twice", bound.key);
        }
    }

    #[test]
    fn key_action_depends_on_its_context() {
        let page = Context::OnPage(InspectorPage::Outbox);
        assert_eq!(action(key("d"), page), Some(Action::DiscardSelected));
        assert_eq!(action(key("Up"), page), Some(Action::SelectUp));
        assert_eq!(action(key("Ctrl-Q"), page), Some(Action::Quit));
        assert_eq!(action(key("d"), Context::Chat), Some(Action::Insert('d')));
        assert_eq!(action(key("Ctrl-Y"), Context::Chat), None);
        // With its modifiers a key is another one, in whatever context that is bound.
        assert_eq!(action(key("Alt-Up"), page), Some(Action::PreviousRoom));
        assert_eq!(action(key("Shift-Down"), page), Some(Action::ScrollDown));
        assert_eq!(action(key("Alt-Enter"), page), Some(Action::Newline));
    }

    #[test]
    fn unbound_combination_uses_its_part() {
        for (combination, part) in [
            ("Ctrl-Alt-Enter", "Alt-Enter"),
            ("Ctrl-Shift-Up", "Shift-Up"),
            ("Ctrl-Alt-Down", "Alt-Down"),
            ("Ctrl-Alt-Left", "Ctrl-Left"),
            ("Ctrl-Alt-Backspace", "Ctrl-W"),
            ("Ctrl-Alt-End", "Ctrl-End"),
            ("Ctrl-Up", "Up"),
            ("Shift-Home", "Home"),
        ] {
            let of = |text| action(key(text), Context::Chat);
            assert_eq!(of(combination), of(part), "{combination}");
        }
    }

    #[test]
    fn new_line_has_a_key_on_every_terminal() {
        for text in ["Alt-Enter", "Shift-Enter", "Ctrl-J", "Ctrl-Shift-Enter"] {
            let found = action(key(text), Context::Chat);
            assert_eq!(found, Some(Action::Newline), "{text}");
        }
        assert_eq!(action(key("Enter"), Context::Chat), Some(Action::Submit));
    }
}
