//! PURE. Keys and signs, on one page.

use super::ViewState;
use crate::tui::{Role, TextRow};

/// Keys, and what they do.
const KEYS: [(&str, &str); 7] = [
    ("Space", "pause; the real connections live on"),
    ("Enter", "the next caption"),
    ("← → 1-9", "another act, with new servers and new people"),
    ("Tab", "type as Ana, into both chats; Tab again ends that"),
    ("v", "chats and ladder, a tall ladder, two tall chats"),
    ("↑ ↓ End", "scroll the ladder; back to its newest row"),
    ("q", "end all faults and show the proof; once more: quit"),
];

/// Signs, their ASCII forms, and what they mean.
const SIGNS: [(&str, &str, &str); 9] = [
    (
        "◌ ○ ✓",
        ". o v",
        "Ana's line in Landfall: saved, sent, on the server",
    ),
    ("■", "#", "written to this disk, and synced"),
    (
        "──▸ ──✂",
        "--> --x",
        "a frame that arrived; one that was lost",
    ),
    (
        "░░··",
        "==..",
        "a wait before an attempt, ¼ s each, of what it may be",
    ),
    ("┊ ┊", ": :", "no connection"),
    ("▸ ▶", "> >", "what to look at"),
    (
        "✗ LOST",
        "x LOST",
        "the demo knows: shown as sent, and on no server",
    ),
    ("✗ TWICE", "x TWICE", "the demo knows: one Enter, two lines"),
    (
        "live",
        "live",
        "values of Kim's machine, and their ages; skipped: never sent",
    ),
];

/// Draws the page: exactly as many rows as the view has.
pub(in crate::cli::demo::show) fn help_screen(view: &ViewState) -> Vec<TextRow> {
    let title = |text: &str| TextRow::of(format!(" {text}"), Role::Head);
    let entry = |sign: &str, what: &str| {
        let sign = TextRow::of(format!("  {sign}"), Role::Focus);
        sign.padded_to(12).with(what, Role::Plain)
    };
    let mut rows = vec![
        TextRow::of(" Landfall demo   help", Role::Plain),
        title("Keys"),
    ];
    rows.extend(KEYS.map(|(key, what)| entry(key, what)));
    rows.push(title("Signs"));
    rows.extend(SIGNS.map(|(sign, ascii, what)| entry(view.signs.sign(sign, ascii), what)));
    rows.push(TextRow::of(
        " landfall explain: a page about each mechanism",
        Role::Dim,
    ));
    rows.resize(view.rows.saturating_sub(1), TextRow::default());
    rows.push(TextRow::of(" any key", Role::Focus).with(" back", Role::Dim));
    rows.into_iter().map(|row| row.fit(view.columns)).collect()
}
