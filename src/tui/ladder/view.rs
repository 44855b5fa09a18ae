//! PURE. The rows of the ladder, drawn: lanes, arrows, waits and notes.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::row::{Role, Signs, TextRow};
use super::{ArrowFate, ArrowFrame, LadderRow, LadderWhat};
use crate::client::brief;
use crate::client::link::Wait;
use crate::tui::items::clock;
use crate::tui::{fit, width};

/// Column of the left lane.
const LEFT: usize = 10;
/// One block of a wait, ms, and the maximum number of blocks. Empty ones show how long it might have
/// been.
const BLOCK_MS: u128 = 250;
const BLOCKS_MAX: usize = 16;

/// Column of the right lane.
pub(crate) fn right_lane(columns: usize) -> usize {
    match columns {
        80.. => (57 + (columns - 80) * 6 / 10).min(99),
        _ => columns.saturating_sub(18).max(LEFT + 10),
    }
}

/// The time at the left of a row.
#[derive(Clone, Debug)]
pub(crate) enum LadderTime {
    /// Seconds since this moment.
    Since(Duration),
    /// The time of day in this zone; times of rows are since 1970.
    Clock(TimeZone),
}

impl LadderTime {
    /// Eight columns.
    fn words(&self, at: Duration) -> String {
        match self {
            Self::Since(zero) => {
                let seconds = at.saturating_sub(*zero).as_secs_f64();
                format!("{seconds:>5.1} s ")
            }
            Self::Clock(zone) => format!("{:<8}", clock(at.as_millis() as u64, zone)),
        }
    }
}

/// How one row is drawn.
pub(crate) struct LadderView {
    pub(crate) columns: usize,
    pub(crate) signs: Signs,
    pub(crate) time: LadderTime,
}

impl LadderView {
    pub(crate) fn row(&self, row: &LadderRow, is_newest: bool) -> TextRow {
        let right = right_lane(self.columns);
        let mark = if is_newest {
            self.signs.sign("▶", ">")
        } else {
            " "
        };
        let lane = match (row.is_up, is_newest) {
            (true, _) => self.signs.sign("│", "|"),
            (false, _) => self.signs.sign("┊", ":"),
        };
        let saved = if row.is_saved {
            self.signs.sign("■", "#")
        } else {
            " "
        };
        let base = if is_newest { Role::Plain } else { Role::Dim };
        let mut line = TextRow::of(mark, Role::Focus)
            .with(self.time.words(row.at), base)
            .with(saved, if is_newest { Role::Safe } else { Role::Dim })
            .with(lane, Role::Dim);
        line = line
            .then(self.middle(row, right - LEFT - 1, is_newest))
            .exactly(right);
        let stored = if row.is_stored {
            self.signs.sign("■", "#")
        } else {
            " "
        };
        line.push(lane, Role::Dim);
        line.push(stored, if is_newest { Role::Safe } else { Role::Dim });
        line.push(" ", Role::Plain);
        let note = row.note.replace('✓', self.signs.sign("✓", "v"));
        line.push(note, self.note_role(row, is_newest));
        line.fit(self.columns)
    }

    fn note_role(&self, row: &LadderRow, is_newest: bool) -> Role {
        let is_good = ["added", "had it", "✓"]
            .iter()
            .any(|good| row.note.contains(good));
        match () {
            () if !is_newest => Role::Dim,
            () if is_good => Role::Safe,
            () => Role::Plain,
        }
    }

    fn middle(&self, row: &LadderRow, columns: usize, is_newest: bool) -> TextRow {
        let base = if is_newest { Role::Plain } else { Role::Dim };
        match &row.what {
            LadderWhat::Up(arrow) => self.arrow(arrow, columns, true, is_newest),
            LadderWhat::Down(arrow) => self.arrow(arrow, columns, false, is_newest),
            LadderWhat::Ended(why) => self.ended(why, columns, is_newest),
            LadderWhat::Waits(wait) => self.wait(*wait, is_newest),
            LadderWhat::Note(text) => {
                TextRow::of(format!("{} {text}", self.signs.sign("·", "-")), base)
            }
            LadderWhat::Heartbeat { count, answered_ms } => {
                let sign = self.signs.sign("♥", "hb");
                let answer = match answered_ms {
                    Some(ms) => format!("pong {}", brief(*ms)),
                    None => "no answer yet".to_owned(),
                };
                let times = if *count > 1 {
                    format!(" ×{count}")
                } else {
                    String::new()
                };
                TextRow::of(format!(" {sign} ping{times}, {answer}"), base)
            }
            LadderWhat::Nothing(time) => {
                let text = format!(
                    "{} {:.1} s nothing",
                    self.signs.sign("·", "-"),
                    time.as_secs_f64()
                );
                TextRow::of(text, Role::Dim)
            }
        }
    }

    /// An arrow with its label. One that was lost ends in the middle.
    fn arrow(&self, arrow: &ArrowFrame, columns: usize, is_up: bool, is_newest: bool) -> TextRow {
        let line = self.signs.line();
        let role = match (arrow.fate, is_newest) {
            (ArrowFate::UnderWay, _) => Role::Head,
            (_, true) => Role::Plain,
            (_, false) => Role::Dim,
        };
        let label = fit(&arrow.label, columns.saturating_sub(6));
        let used = width(&label) + 5;
        let lines = |count: usize| line.repeat(count);
        let scissors = self.signs.sign("✂", "x");
        let lost = if is_newest { Role::Broken } else { Role::Dim };
        match (arrow.fate, is_up) {
            (ArrowFate::Arrived, true) => TextRow::of(
                format!(
                    "{} {label} {}{}",
                    lines(2),
                    lines(columns.saturating_sub(used)),
                    self.signs.sign("▸", ">")
                ),
                role,
            ),
            (ArrowFate::Arrived, false) => TextRow::of(
                format!(
                    "{}{} {label} {}",
                    self.signs.sign("◂", "<"),
                    lines(columns.saturating_sub(used)),
                    lines(2)
                ),
                role,
            ),
            (ArrowFate::UnderWay, _) => TextRow::of(
                format!(
                    "{} {label} {}",
                    lines(2),
                    lines(columns.saturating_sub(used + 6))
                ),
                role,
            ),
            (ArrowFate::Unknown, _) => TextRow::of(format!("{} {label} ", lines(2)), role).with(
                self.signs.sign("┄┄┄ ?", "... ?"),
                if is_newest { Role::Waiting } else { Role::Dim },
            ),
            (ArrowFate::Lost, true) => {
                let end = (columns * 2 / 3).max(used + 1) - used;
                TextRow::of(format!("{} {label} {}", lines(2), lines(end)), role)
                    .with(scissors, lost)
            }
            (ArrowFate::Lost, false) => {
                let begin = (columns / 3).min(columns.saturating_sub(used + 1));
                let length = columns.saturating_sub(begin + used);
                TextRow::of(" ".repeat(begin), Role::Plain)
                    .with(scissors, lost)
                    .with(format!("{} {label} {}", lines(length), lines(2)), role)
            }
        }
    }

    fn ended(&self, why: &str, columns: usize, is_newest: bool) -> TextRow {
        let scissors = self.signs.sign("✂", "x");
        let text = fit(why, columns.saturating_sub(26));
        let left = columns.saturating_sub(width(&text)) / 2;
        let role = if is_newest { Role::Broken } else { Role::Dim };
        let plain = if is_newest { Role::Plain } else { Role::Dim };
        let quarter = columns / 5;
        TextRow::default()
            .padded_to(quarter)
            .with(scissors, role)
            .padded_to(left)
            .with(text, plain)
            .padded_to(columns - quarter)
            .with(scissors, role)
    }

    fn wait(&self, wait: Wait, is_newest: bool) -> TextRow {
        let blocks = |time: Duration| {
            let blocks = time.as_millis() / BLOCK_MS;
            blocks.clamp(1, BLOCKS_MAX as u128) as usize
        };
        let drawn = blocks(wait.drawn);
        let rest = blocks(wait.longest).saturating_sub(drawn);
        let (block, empty) = (self.signs.sign("░", "="), self.signs.sign("·", "."));
        let (bar, text) = if is_newest {
            (Role::Waiting, Role::Plain)
        } else {
            (Role::Dim, Role::Dim)
        };
        let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64());
        TextRow::of(block.repeat(drawn), bar)
            .with(empty.repeat(rest), Role::Dim)
            .with(
                format!(
                    " waits {} s (of up to {})",
                    seconds(wait.drawn),
                    trim(&seconds(wait.longest))
                ),
                text,
            )
    }
}

/// Seconds without a zero after the point.
fn trim(seconds: &str) -> &str {
    seconds.strip_suffix(".0").unwrap_or(seconds)
}
