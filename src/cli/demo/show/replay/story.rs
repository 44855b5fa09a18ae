//! PURE. A replay as a story without a script: for each caption both chats and the new rows of the
//! ladder. It is what is printed, too.

use std::fmt::Write as _;

use super::steps::{Replay, ReplayStep, RowNumber};
use crate::cli::demo::show::view::TextRow;

/// Rows of the ladder that a frame has at most: the newest ones.
const LADDER_MAX: usize = 40;
/// A story that is longer has no more pictures, bytes.
const PICTURES_BYTES_MAX: usize = 100_000;

/// Text without markup.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    safe
}

/// Returns a section for each act. `parts`: how many the program has.
pub(super) fn story(replay: &Replay, parts: usize) -> String {
    let mut html = String::new();
    let mut act = None;
    let mut before: &[RowNumber] = &[];
    let frames = replay
        .steps
        .chunk_by(|one, next| one.caption == next.caption);
    for frame in frames {
        let shown = frame
            .first()
            .and_then(|step| replay.captions.get(step.caption?));
        let (Some(shown), Some(last)) = (shown, frame.last()) else {
            continue; // before the first caption
        };
        if act != Some(shown.act) {
            if act.is_some() {
                html.push_str("</section>\n");
            }
            act = Some(shown.act);
            let heading = replay.acts.get(shown.act).map(|act| act.heading(parts));
            let heading = heading.unwrap_or_default();
            let _ = writeln!(html, "<section><h3>{}</h3>", escaped(&heading)); // a string
        }
        let caption = &shown.caption;
        let picture = if html.len() < PICTURES_BYTES_MAX {
            picture(last, &new_rows(before, &last.ladder, replay), replay)
        } else {
            String::new()
        };
        before = &last.ladder;
        let _ = writeln!(
            html,
            "<article><h4>{}</h4><p>{}</p><p class=d>{}</p>{picture}</article>",
            escaped(&caption.headline),
            escaped(&caption.sentence),
            escaped(&caption.detail),
        );
    }
    if act.is_some() {
        html.push_str("</section>\n");
    }
    if let (true, Some(last)) = (replay.captions.is_empty(), replay.last()) {
        html.push_str(&picture(last, &new_rows(&[], &last.ladder, replay), replay));
    }
    html
}

/// Both chats, and new rows of the ladder.
fn picture(step: &ReplayStep, ladder: &[RowNumber], replay: &Replay) -> String {
    format!(
        "<div class=pair>{}{}</div>{}",
        pre("naive chat", &step.naive, replay),
        pre("Landfall", &step.landfall, replay),
        pre("ladder", ladder, replay),
    )
}

/// Rows of a ladder that an earlier one does not have; the mark of the newest row is no difference.
fn new_rows(before: &[RowNumber], after: &[RowNumber], replay: &Replay) -> Vec<RowNumber> {
    let unmarked = |row: RowNumber| {
        let text = replay.rows.get(row).map(TextRow::text).unwrap_or_default();
        text.chars().skip(1).collect::<String>()
    };
    let pairs = before.iter().zip(after);
    let same = pairs
        .take_while(|(old, new)| old == new || unmarked(**old) == unmarked(**new))
        .count();
    let new = &after[same..];
    new[new.len().saturating_sub(LADDER_MAX)..].to_vec()
}

fn pre(name: &str, rows: &[RowNumber], replay: &Replay) -> String {
    let text: Vec<String> = rows
        .iter()
        .filter_map(|row| replay.rows.get(*row))
        .map(|row| escaped(row.text().trim_end()))
        .filter(|row| !row.is_empty())
        .collect();
    let text = text.join("\n");
    if text.is_empty() {
        return String::new();
    }
    format!("<pre aria-label=\"{name}\">{text}</pre>")
}
