//! PURE. The whole screen of the show, row by row, from the state and a size.

mod help;
mod panes;
mod proof;
mod replay;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(super) use self::help::help_screen;
pub(super) use self::replay::ReplayView;
use super::model::Model;
use super::part::PartKind;
use super::planned;
use super::score::{ChatScore, Score};
use crate::cli::demo::fault::FAULTS;
use crate::cli::demo::naive::Repair;
use crate::client::grouped;
use crate::tui::{LadderTime, LadderView, right_lane, width, wrap};
pub(super) use crate::tui::{Role, Signs, TextRow};

pub(super) use self::proof::{ProofVerdict, costs, failed_screen, figures, proof_screen};

/// Which parts the screen shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Layout {
    /// Both chats over the ladder.
    #[default]
    Both,
    /// Landfall over a tall ladder.
    Ladder,
    /// Two tall chats.
    Chats,
}

impl Layout {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Both => Self::Ladder,
            Self::Ladder => Self::Chats,
            Self::Chats => Self::Both,
        }
    }
}

/// What is drawn beside the state itself.
#[derive(Clone, Debug)]
pub(super) struct ViewState {
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) signs: Signs,
    pub(super) layout: Layout,
    pub(super) is_paused: bool,
    /// What Landfall's real connection does during a pause of the picture.
    pub(super) present: String,
    /// The page of keys and signs is shown.
    pub(super) is_help: bool,
    /// Time since the show began, without pauses.
    pub(super) elapsed: Duration,
    /// How far the picture is behind the present.
    pub(super) behind: Duration,
    /// The moment that is shown, on the clock of the show.
    pub(super) moment: Duration,
    /// The text that the visitor is typing; none while keys are commands.
    pub(super) typing: Option<String>,
    /// Rows of the ladder between its end and the last one shown.
    pub(super) scrolled: usize,
    /// The key of what was broken last, in free play.
    pub(super) broken: Option<char>,
    /// What a key on the proof did.
    pub(super) notice: String,
    /// Number of parts of the program, and what they are.
    pub(super) parts: usize,
    /// Whether all of them are played.
    pub(super) is_from_start: bool,
    pub(super) kind: PartKind,
}

/// How long all acts take.
const ALL_ACTS: Duration = Duration::from_secs(110);

/// Heights of the parts.
struct Heights {
    is_spaced: bool,
    sentence: usize,
    panes: usize,
    ladder: usize,
    score: usize,
    keys: usize,
}

impl ViewState {
    /// Whether there is only room for Landfall's chat, the captions and the score.
    const fn is_small(&self) -> bool {
        self.columns < 80 || self.rows < 24
    }

    fn heights(&self) -> Heights {
        let is_spaced = self.rows >= 40;
        let sentence = if self.columns < 100 { 2 } else { 1 };
        let score = if (80..100).contains(&self.columns) {
            1
        } else {
            2
        };
        let (gauges, rules) = if self.is_small() { (0, 1) } else { (1, 2) };
        let blanks = if is_spaced { 4 } else { 0 };
        // title, headline, detail, status, keys
        let keys = keys(self).len();
        let fixed = 4 + keys + rules + sentence + score + gauges + blanks;
        let free = self.rows.saturating_sub(fixed);
        let panes = match self.layout {
            _ if self.is_small() => free,
            Layout::Both => (free * 4 / 10).clamp(3, 15).min(free),
            Layout::Ladder => 3.min(free),
            Layout::Chats => free.saturating_sub(4),
        };
        Heights {
            is_spaced,
            sentence,
            panes,
            ladder: free - panes,
            score,
            keys,
        }
    }
}

/// Draws the screen: exactly `rows` rows of at most `columns` columns.
pub(super) fn screen(model: &Model, view: &ViewState) -> Vec<TextRow> {
    let heights = view.heights();
    let mut rows = vec![title(model, view)];
    blank(&mut rows, heights.is_spaced);
    captions(model, view, heights.sentence, &mut rows);
    blank(&mut rows, heights.is_spaced);
    panes(model, view, heights.panes, &mut rows);
    if !view.is_small() {
        ladder_rows(model, view, heights.ladder, &mut rows);
        rows.push(gauges(model, view));
    }
    blank(&mut rows, heights.is_spaced);
    let score = score(model, view);
    debug_assert_eq!(score.len(), heights.score);
    rows.extend(score);
    blank(&mut rows, heights.is_spaced);
    let keys = keys(view);
    debug_assert_eq!(keys.len(), heights.keys);
    rows.extend(keys);
    rows.into_iter().map(|row| row.fit(view.columns)).collect()
}

fn blank(rows: &mut Vec<TextRow>, is_spaced: bool) {
    if is_spaced {
        rows.push(TextRow::default());
    }
}

/// A time as minutes and seconds.
fn minutes(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

fn title(model: &Model, view: &ViewState) -> TextRow {
    let act = match &model.act {
        Some(act) => format!(" Landfall demo   {}", act.heading(view.parts)),
        None => " Landfall demo   starting".to_owned(),
    };
    let mut right = TextRow::default();
    if view.is_paused {
        right.push(view.signs.sign("‖ PAUSED   ", "PAUSED   "), Role::Waiting);
    } else if view.behind > Duration::from_secs(1) && view.columns >= 100 {
        right.push("slow motion   ", Role::Dim);
    } else {
        right.push("playing   ", Role::Dim);
    }
    let of = match view.kind {
        PartKind::Act if view.is_from_start && view.columns >= 100 => {
            format!(" of about {}", minutes(ALL_ACTS))
        }
        _ => String::new(),
    };
    right.push(format!("{}{of} ", minutes(view.elapsed)), Role::Dim);
    let room = view.columns.saturating_sub(right.width());
    TextRow::of(act, Role::Plain).exactly(room).then(right)
}

fn captions(model: &Model, view: &ViewState, height: usize, rows: &mut Vec<TextRow>) {
    let start = match &model.act {
        Some(act) => format!("Next: {}.", act.title),
        None => "A naive chat and Landfall start.".to_owned(),
    };
    let caption = model.caption.clone().unwrap_or_else(|| super::event::Caption {
        since: Duration::ZERO,
        headline: start,
        sentence: "Two servers, two faulty connections, and people who talk: all real, on this computer.".to_owned(),
        detail: String::new(),
    });
    rows.push(TextRow::of(format!(" {}", caption.headline), Role::Head));
    let mut sentence: Vec<_> = wrap(&caption.sentence, view.columns.saturating_sub(2))
        .into_iter()
        .map(|line| TextRow::of(format!(" {}", line.trim_end()), Role::Plain))
        .collect();
    sentence.resize(height, TextRow::default());
    rows.extend(sentence);
    let detail = match view.kind {
        PartKind::Free => planned::detail(model), // the caption is of a key, not of an event
        _ => caption.detail,
    };
    rows.push(TextRow::of(format!(" {detail}"), Role::Dim));
}

fn panes(model: &Model, view: &ViewState, height: usize, rows: &mut Vec<TextRow>) {
    let signs = view.signs;
    let lane = signs.sign("│", "|");
    if view.layout == Layout::Ladder || view.is_small() {
        rows.push(signs.rule(view.columns, &[(2, "Ana's screen: Landfall")], None));
        rows.extend(panes::landfall(model, view.columns, height, signs));
        rows.push(panes::landfall_status(
            model,
            view.moment,
            view.columns,
            signs,
        ));
        return;
    }
    let left = view.columns.saturating_sub(1) / 2;
    let right = view.columns.saturating_sub(left + 1);
    let is_wide = view.columns >= 100;
    let naive = match model.act.as_ref().map(|act| (act.naive, act.naive_lines)) {
        None if is_wide => "Ana's screen: a naive chat".to_owned(),
        Some((Repair::None, lines)) if is_wide => {
            format!("Ana's screen: a naive chat, {lines} lines")
        }
        Some((Repair::SendAgain, lines)) if is_wide => {
            format!("Ana's screen: naive, repaired, {lines} lines")
        }
        None => "naive".to_owned(),
        Some((Repair::None, lines)) => format!("naive, {lines} lines"),
        Some((Repair::SendAgain, lines)) => format!("naive, repaired, {lines} lines"),
    };
    let landfall = if is_wide {
        "Ana's screen: Landfall"
    } else {
        "Landfall"
    };
    rows.push(signs.rule(
        view.columns,
        &[(2, &naive), (left + 2, landfall)],
        Some((left, "┬")),
    ));
    let join = |(naive, landfall): (TextRow, TextRow)| naive.with(lane, Role::Dim).then(landfall);
    let (naive, landfall) = (
        panes::naive(model, left, height, signs),
        panes::landfall(model, right, height, signs),
    );
    rows.extend(naive.into_iter().zip(landfall).map(join));
    rows.push(join((
        panes::naive_status(model, left),
        panes::landfall_status(model, view.moment, right, signs),
    )));
}

fn ladder_rows(model: &Model, view: &ViewState, height: usize, rows: &mut Vec<TextRow>) {
    let right = right_lane(view.columns);
    let newer = view
        .scrolled
        .min(model.ladder.diagram.rows.len().saturating_sub(1));
    let end = if newer > 0 {
        format!("{newer} newer below")
    } else {
        "newest last".to_owned()
    };
    let disk = if view.columns >= 100 && newer == 0 {
        "server's disk"
    } else {
        "server"
    };
    let titles = [
        (2, "ana's disk"),
        (right / 2 - 3, "network"),
        (right + 1, disk),
        (right + if newer > 0 { 11 } else { 18 }, &end),
    ];
    let titles = if view.columns >= 100 {
        &titles[..]
    } else {
        &titles[..3]
    };
    rows.push(view.signs.rule(view.columns, titles, Some((right, "┬"))));
    let drawn = LadderView {
        columns: view.columns,
        signs: view.signs,
        time: LadderTime::Since(model.act_at),
    };
    let all = &model.ladder.diagram.rows[..model.ladder.diagram.rows.len() - newer];
    let shown = &all[all.len().saturating_sub(height)..];
    let empty = height - shown.len();
    rows.extend((0..empty).map(|_| TextRow::default()));
    rows.extend(
        shown
            .iter()
            .enumerate()
            .map(|(at, row)| drawn.row(row, at + 1 == shown.len())),
    );
}

fn gauges(model: &Model, view: &ViewState) -> TextRow {
    if view.is_paused {
        let text = match view.columns {
            100.. => " Paused: typing and acts stop. The real connections live on: ",
            _ => " Paused. The real connections live on: ",
        };
        return TextRow::of(text, Role::Waiting).with(view.present.clone(), Role::Plain);
    }
    let mut row = TextRow::of(" live from Kim", Role::Dim);
    let shown = if view.columns < 100 { 2 } else { 3 };
    for gauge in model.gauges.values.iter().take(shown) {
        let age = view.moment.saturating_sub(gauge.sent);
        row.push(
            format!(
                "  {} {}, {:.1} s old",
                gauge.key,
                gauge.value,
                age.as_secs_f64()
            ),
            Role::Dim,
        );
    }
    row.push(format!("   {} skipped", model.gauges.skipped), Role::Dim);
    row
}

/// A figure that is bad news is red, else dim.
fn figure(row: &mut TextRow, text: String, is_bad: bool) {
    row.push(text, if is_bad { Role::Broken } else { Role::Plain });
}

fn score(model: &Model, view: &ViewState) -> Vec<TextRow> {
    let Score { naive, landfall } = model.score();
    if view.columns < 100 {
        let (naive, landfall) = (
            short_score("naive", &naive, "LOST"),
            short_score("Landfall", &landfall, "lost"),
        );
        if view.columns < 80 {
            return vec![naive, landfall];
        }
        let lane = view.signs.sign(" │", " |");
        return vec![naive.with(lane, Role::Dim).then(landfall)];
    }
    let has_room = view.columns >= 120 || naive.unseen == 0;
    let lost = if has_room {
        "LOST (shown as sent)"
    } else {
        "LOST"
    };
    let align = if has_room { 56 } else { 46 };
    vec![
        score_row("naive", &naive, lost, align),
        score_row("Landfall", &landfall, "lost", align),
    ]
}

/// The three most important figures of a chat.
fn short_score(name: &str, chat: &ChatScore, lost_word: &str) -> TextRow {
    let mut row = TextRow::of(format!(" {name} {} typed · ", chat.typed), Role::Plain);
    figure(
        &mut row,
        format!("{} {lost_word}", chat.lost),
        chat.lost > 0,
    );
    row.push(" · ", Role::Plain);
    figure(&mut row, format!("{} twice", chat.twice), chat.twice > 0);
    row
}

fn score_row(name: &str, chat: &ChatScore, lost_word: &str, align: usize) -> TextRow {
    let mut row = TextRow::of(
        format!(
            " {name:<9} {} typed · {} arrived · ",
            grouped(chat.typed),
            grouped(chat.arrived)
        ),
        Role::Plain,
    );
    let lost = match (chat.lost, chat.under_way()) {
        (0, 0) => "0 lost".to_owned(),
        (0, under_way) => format!("0 lost · {} under way", grouped(under_way)),
        (lost, _) => format!("{lost} {lost_word}"),
    };
    figure(&mut row, lost, chat.lost > 0);
    row = row.padded_to(align);
    figure(&mut row, format!(" · {} twice", chat.twice), chat.twice > 0);
    if chat.unseen > 0 {
        figure(
            &mut row,
            format!(" · {} unseen", grouped(chat.unseen)),
            true,
        );
    }
    row.push(
        format!(" · false \"connected\" {} s", chat.false_ms / 1_000),
        Role::Plain,
    );
    row
}

/// The keys of this moment; in free play, below those that break something.
fn keys(view: &ViewState) -> Vec<TextRow> {
    let mut rows = Vec::new();
    if view.kind == PartKind::Free {
        rows.extend(faults(view));
    }
    if let Some(text) = &view.typing {
        let row = TextRow::of(" type as Ana > ", Role::Focus)
            .with(
                format!("{}█", end_of(text, view.columns.saturating_sub(20))),
                Role::Plain,
            )
            .with("   Enter sends to both chats, Tab ends", Role::Dim);
        rows.push(row);
        return rows;
    }
    let pause = if view.is_paused { "go on" } else { "pause" };
    let (is_small, is_wide) = (view.is_small(), view.columns >= 100);
    let quit = if is_small {
        "quit"
    } else if is_wide {
        "proof and quit"
    } else {
        "proof"
    };
    let parts = view.signs.sign("← →", "left right");
    let all = [
        ("Space", pause, true),
        ("Enter", "next", !is_small && view.kind != PartKind::Free),
        (parts, view.kind.word(), view.parts > 1),
        ("Tab", if is_wide { "type as Ana" } else { "type" }, true),
        ("v", "view", !is_small),
        ("?", "help", !is_small),
        ("q", quit, true),
    ];
    let mut row = TextRow::default();
    for (key, what, _) in all.into_iter().filter(|(_, _, is_shown)| *is_shown) {
        row.push(format!(" {key}"), Role::Focus);
        row.push(format!(" {what} "), Role::Dim);
    }
    rows.push(row);
    rows
}

/// As much of the end of a text as fits.
fn end_of(text: &str, columns: usize) -> &str {
    let begins = text.char_indices().map(|(at, _)| &text[at..]);
    let mut begins = begins.skip_while(|rest| width(rest) > columns);
    begins.next().unwrap_or_default()
}

/// A rule, and the keys that break something, in as many rows as they need.
fn faults(view: &ViewState) -> Vec<TextRow> {
    if view.is_small() {
        let letters: String = FAULTS
            .iter()
            .map(|entry| format!(" {}", entry.key))
            .collect();
        return vec![TextRow::of(" break:", Role::Dim).with(letters, Role::Focus)];
    }
    let mut rows = vec![view.signs.rule(view.columns, &[(2, "break it")], None)];
    let mut row = TextRow::default();
    for entry in &FAULTS {
        let needed = entry.name.len() + 4;
        if row.width() + needed > view.columns {
            rows.push(std::mem::take(&mut row));
        }
        let is_last = view.broken == Some(entry.key);
        row.push(format!(" {}", entry.key), Role::Focus);
        let role = if is_last { Role::Head } else { Role::Dim };
        row.push(format!(" {} ", entry.name), role);
    }
    rows.push(row);
    rows
}
