//! PURE. A replay as the JSON that the page's script reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::steps::{Replay, ReplayStep, RowNumber};
use crate::cli::demo::show::score::ChatScore;
use crate::cli::demo::show::view::{Role, TextRow};

/// Returns acts, captions, rows and steps. A step has only what differs from the one before.
pub(super) fn data(replay: &Replay, parts: usize) -> Value {
    let acts: Vec<String> = replay.acts.iter().map(|act| act.heading(parts)).collect();
    let captions: Vec<Value> = replay
        .captions
        .iter()
        .map(|shown| {
            let caption = &shown.caption;
            json!([
                shown.act,
                caption.headline,
                caption.sentence,
                caption.detail
            ])
        })
        .collect();
    let mut table = RowTable::default();
    let mut steps = Vec::new();
    let mut before: Option<&ReplayStep> = None;
    for step in &replay.steps {
        steps.push(difference(step, before, replay, &mut table));
        before = Some(step);
    }
    json!({ "acts": acts, "captions": captions, "rows": table.rows, "steps": steps })
}

/// Rows that are used, in the order of their first use.
#[derive(Default)]
struct RowTable {
    rows: Vec<Value>,
    numbers: BTreeMap<RowNumber, usize>,
    /// Messages that rows are about, by their texts.
    messages: BTreeMap<Arc<str>, usize>,
}

impl RowTable {
    fn number(&mut self, row: RowNumber, replay: &Replay) -> Option<usize> {
        if let Some(number) = self.numbers.get(&row) {
            return Some(*number);
        }
        let value = self.row(replay.rows.get(row)?);
        self.rows.push(value);
        self.numbers.insert(row, self.rows.len() - 1);
        Some(self.rows.len() - 1)
    }

    fn numbers(&mut self, rows: &[RowNumber], replay: &Replay) -> Vec<usize> {
        rows.iter()
            .filter_map(|row| self.number(*row, replay))
            .collect()
    }

    /// The number of its message, if it has one, then its pieces: the letter of a role before each.
    fn row(&mut self, row: &TextRow) -> Value {
        let mut parts: Vec<Value> = Vec::new();
        if let Some(text) = &row.message {
            let new = self.messages.len();
            parts.push(json!(*self.messages.entry(text.clone()).or_insert(new)));
        }
        let mut pieces: Vec<(Role, String)> = Vec::new();
        for (text, role) in &row.pieces {
            match pieces.last_mut() {
                Some((last, pieces)) if last == role => pieces.push_str(text),
                _ => pieces.push((*role, text.clone())),
            }
        }
        while let Some((_, last)) = pieces.last_mut() {
            last.truncate(last.trim_end().len());
            if !last.is_empty() {
                break;
            }
            pieces.pop();
        }
        parts.extend(
            pieces
                .iter()
                .map(|(role, text)| json!(format!("{}{text}", letter(*role)))),
        );
        Value::Array(parts)
    }
}

/// The class of a role in the page's style.
pub(super) const fn letter(role: Role) -> char {
    match role {
        Role::Plain => 'p',
        Role::Dim => 'd',
        Role::Head => 'h',
        Role::Broken => 'b',
        Role::Waiting => 'w',
        Role::Safe => 's',
        Role::Focus => 'f',
    }
}

fn difference(
    step: &ReplayStep,
    before: Option<&ReplayStep>,
    replay: &Replay,
    table: &mut RowTable,
) -> Value {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    set("t", json!(step.shown_at.as_millis() as u64));
    if before.is_none_or(|before| before.caption != step.caption)
        && let Some(caption) = step.caption
    {
        set("c", json!(caption));
    }
    if before.is_none_or(|before| before.naive != step.naive) {
        set("n", json!(table.numbers(&step.naive, replay)));
    }
    if before.is_none_or(|before| before.landfall != step.landfall) {
        set("l", json!(table.numbers(&step.landfall, replay)));
    }
    let same = before.map_or(0, |before| {
        let pairs = before.ladder.iter().zip(&step.ladder);
        pairs.take_while(|(old, new)| old == new).count()
    });
    if before.is_none_or(|before| before.ladder != step.ladder) {
        // how many rows stay, and those after them
        set("k", json!(same));
        set("d", json!(table.numbers(&step.ladder[same..], replay)));
    }
    if before.is_none_or(|before| before.score != step.score) {
        set(
            "s",
            json!([figures(&step.score.naive), figures(&step.score.landfall)]),
        );
    }
    Value::Object(fields)
}

/// Typed, arrived, lost, twice, never seen, and ms of false "connected".
const fn figures(chat: &ChatScore) -> [u64; 6] {
    [
        chat.typed,
        chat.arrived,
        chat.lost,
        chat.twice,
        chat.unseen,
        chat.false_ms,
    ]
}
