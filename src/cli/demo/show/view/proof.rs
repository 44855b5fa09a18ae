//! PURE. The screen after the last act: what each chat lost, and how that was counted.

use super::{ViewState, blank, minutes};
use crate::cli::demo::show::model::Model;
use crate::cli::demo::show::part::PartKind;
use crate::cli::demo::show::score::{ChatScore, Score};
use crate::client::{counted, grouped};
use crate::tui::wrap;
use crate::tui::{Role, TextRow};

/// Digits of three rows, from half blocks.
const DIGITS: [[&str; 3]; 10] = [
    ["█▀█", "█ █", "▀▀▀"],
    ["▄█ ", " █ ", "▀▀▀"],
    ["▀▀█", "█▀▀", "▀▀▀"],
    ["▀▀█", " ▀█", "▀▀▀"],
    ["█ █", "▀▀█", "  ▀"],
    ["█▀▀", "▀▀█", "▀▀▀"],
    ["█▀▀", "█▀█", "▀▀▀"],
    ["▀▀█", "  █", "  ▀"],
    ["█▀█", "█▀█", "▀▀▀"],
    ["█▀█", "▀▀█", "▀▀▀"],
];

/// A big number: three rows; a plain one where it does not fit.
fn big(number: u64, columns: usize, is_ascii: bool) -> [String; 3] {
    let is_wide = number.to_string().len() * 4 > columns;
    if is_ascii || is_wide {
        return [String::new(), grouped(number), String::new()];
    }
    let digits: Vec<usize> = number
        .to_string()
        .bytes()
        .map(|digit| usize::from(digit - b'0'))
        .collect();
    [0, 1, 2].map(|row| {
        digits
            .iter()
            .map(|digit| DIGITS[*digit][row])
            .collect::<Vec<_>>()
            .join(" ")
    })
}

/// One big figure with its two words.
pub(in crate::cli::demo::show) struct BigFigure {
    pub(in crate::cli::demo::show) number: u64,
    pub(in crate::cli::demo::show) word: &'static str,
    more: String,
}

/// What a chat has done to messages, in figures.
pub(in crate::cli::demo::show) fn figures(chat: &ChatScore, is_naive: bool) -> [BigFigure; 3] {
    let of = |naive: &str| {
        if is_naive {
            naive.to_owned()
        } else {
            format!("of {}", grouped(chat.typed))
        }
    };
    [
        BigFigure {
            number: chat.lost,
            word: if is_naive { "LOST" } else { "lost" },
            more: of("seemed sent"),
        },
        BigFigure {
            number: chat.twice,
            word: if is_naive { "TWICE" } else { "twice" },
            more: of("one Enter"),
        },
        BigFigure {
            number: chat.unseen,
            word: if is_naive { "NEVER SEEN" } else { "never seen" },
            more: of("not marked"),
        },
    ]
}

/// Draws the big figures of a chat into five rows.
fn big_rows(chat: &ChatScore, is_naive: bool, columns: usize, is_ascii: bool) -> Vec<TextRow> {
    let each = columns / 3;
    let figures = figures(chat, is_naive);
    let role = |figure: &BigFigure| {
        if figure.number > 0 {
            Role::Broken
        } else {
            Role::Safe
        }
    };
    let mut rows = Vec::new();
    for line in 0..3 {
        let mut row = TextRow::default();
        for (at, figure) in figures.iter().enumerate() {
            row = row.padded_to(at * each + 2).with(
                big(figure.number, each.saturating_sub(2), is_ascii)[line].clone(),
                role(figure),
            );
        }
        rows.push(row.exactly(columns));
    }
    let words = |pick: fn(&BigFigure) -> String, role: Role| {
        let mut row = TextRow::default();
        for (at, figure) in figures.iter().enumerate() {
            row = row.padded_to(at * each + 2).with(pick(figure), role);
        }
        row.exactly(columns)
    };
    rows.push(words(|figure| figure.word.to_owned(), Role::Plain));
    rows.push(words(|figure| figure.more.clone(), Role::Dim));
    rows
}

/// The result of the proof for Landfall.
pub(in crate::cli::demo::show) struct ProofVerdict {
    pub(in crate::cli::demo::show) text: String,
    pub(in crate::cli::demo::show) is_good: bool,
}

impl ProofVerdict {
    /// `holds`: every log has every message once, in order.
    pub(in crate::cli::demo::show) fn of(landfall: &ChatScore, holds: bool) -> Self {
        let text = match (landfall.lost, landfall.twice) {
            (0, 0) if holds => "Landfall lost nothing.".to_owned(),
            (0, 0) => "Landfall's logs are not the same everywhere.".to_owned(),
            (0, twice) => format!(
                "Landfall doubled {}.",
                counted(twice, "message", "messages")
            ),
            (lost, _) => format!("Landfall lost {}.", counted(lost, "message", "messages")),
        };
        let is_good = holds && landfall.lost == 0 && landfall.twice == 0;
        Self { text, is_good }
    }
}

/// Draws the proof: exactly as many rows as the view has.
pub(in crate::cli::demo::show) fn proof_screen(
    model: &Model,
    view: &ViewState,
    landfall_holds: bool,
) -> Vec<TextRow> {
    let Score { naive, landfall } = model.score();
    let signs = view.signs;
    let is_spaced = view.rows >= 40;
    let has_room = view.rows >= 28 && view.columns >= 80;
    let played = match view.parts {
        1 => view.kind.word().to_owned(),
        parts => format!(
            "{} of {parts} {}s played",
            model.acts.len(),
            view.kind.word()
        ),
    };
    let played = format!("{played}   {} ", minutes(view.elapsed));
    let room = view.columns.saturating_sub(played.len());
    let mut rows = vec![
        TextRow::of(" Landfall demo   the proof", Role::Plain)
            .exactly(room)
            .with(played, Role::Dim),
    ];
    blank(&mut rows, is_spaced);
    let verdict = ProofVerdict::of(&landfall, landfall_holds);
    let role = if verdict.is_good {
        Role::Head
    } else {
        Role::Broken
    };
    rows.push(TextRow::of(format!(" {}", verdict.text), role));
    let same = if view.columns < 100 {
        ""
    } else {
        "Same keys, same faults. "
    };
    let costs = costs(&naive);
    let sentence = format!("{same}The naive chat {costs}.");
    let lines = wrap(&sentence, view.columns.saturating_sub(2));
    let lines = lines
        .iter()
        .map(|line| TextRow::of(format!(" {}", line.trim_end()), Role::Plain));
    rows.extend(lines);
    let counted_from = match view.columns {
        80.. => " counted from both servers' files and both screens after all faults had ended",
        _ => " counted from both servers' files and both screens",
    };
    rows.push(TextRow::of(counted_from, Role::Dim));
    blank(&mut rows, is_spaced);
    if view.columns < 80 {
        rows.push(plain_figures("naive", &naive, "LOST"));
        rows.push(plain_figures("Landfall", &landfall, "lost"));
    } else {
        big_panes(&naive, &landfall, view, &mut rows);
        blank(&mut rows, is_spaced);
        act_table(model, view, &mut rows);
    }
    if has_room {
        rows.push(signs.rule(view.columns, &[(2, "how it was counted")], None));
        for line in [
            " typed: every Enter, in both chats alike.   lost: shown as sent, and in no server file at the end.",
            " twice: one Enter, two lines in the file.   never seen: on the server, no screen, no mark.",
            " false: seconds of \"connected\" while no byte could pass.   All events: landfall demo --headless",
        ] {
            rows.push(TextRow::of(line, Role::Dim));
        }
    }
    rows.push(signs.rule(view.columns, &[(2, "next")], None));
    let next = [
        ("landfall demo --free", "break it yourself: 14 keys"),
        ("landfall", "chat; a second one: landfall --as bob"),
        (
            "landfall demo --tour",
            "nine mechanisms, one after the other",
        ),
        (
            "landfall demo --report out.html",
            "a run as a page that replays, to show to others",
        ),
    ];
    for (command, what) in next.into_iter().take(if has_room { 4 } else { 3 }) {
        let columns = if view.columns < 80 { 22 } else { 32 };
        let command = TextRow::of(format!(" {command:<columns$}"), Role::Focus);
        rows.push(command.with(what, Role::Plain));
    }
    rows.resize(view.rows.saturating_sub(2), TextRow::default());
    rows.push(TextRow::of(format!(" {}", view.notice), Role::Head));
    rows.push(last_keys(view));
    rows.into_iter().map(|row| row.fit(view.columns)).collect()
}

/// The figures of a chat in one row, where big ones do not fit.
fn plain_figures(name: &str, chat: &ChatScore, lost_word: &str) -> TextRow {
    let mut row = TextRow::of(format!(" {name:<9}"), Role::Plain);
    let figures = [
        (chat.lost, lost_word),
        (chat.twice, "twice"),
        (chat.unseen, "never seen"),
    ];
    for (count, word) in figures {
        super::figure(&mut row, format!(" {} {word} ", grouped(count)), count > 0);
    }
    row
}

/// Both chats side by side, with big figures.
fn big_panes(naive: &ChatScore, landfall: &ChatScore, view: &ViewState, rows: &mut Vec<TextRow>) {
    let signs = view.signs;
    let left = view.columns.saturating_sub(1) / 2;
    let right = view.columns.saturating_sub(left + 1);
    rows.push(signs.rule(
        view.columns,
        &[(2, "the naive chat"), (left + 2, "Landfall")],
        Some((left, "┬")),
    ));
    let panes = big_rows(naive, true, left, signs.ascii)
        .into_iter()
        .zip(big_rows(landfall, false, right, signs.ascii));
    rows.extend(
        panes.map(|(naive, landfall)| naive.with(signs.sign("│", "|"), Role::Dim).then(landfall)),
    );
}

/// Draws why an act did not come to its end, with the score so far.
pub(in crate::cli::demo::show) fn failed_screen(
    model: &Model,
    view: &ViewState,
    why: &str,
) -> Vec<TextRow> {
    let mut rows = vec![
        TextRow::of(" Landfall demo", Role::Plain),
        TextRow::default(),
    ];
    let act = model.act.as_ref().map_or("", |act| &act.title);
    rows.push(TextRow::of(
        format!(" The act \"{act}\" did not end."),
        Role::Broken,
    ));
    rows.push(TextRow::of(format!(" {why}"), Role::Plain));
    rows.push(TextRow::default());
    rows.extend(super::score(model, view));
    rows.resize(view.rows.saturating_sub(1), TextRow::default());
    rows.push(last_keys(view));
    rows.into_iter().map(|row| row.fit(view.columns)).collect()
}

/// What a chat has done to messages, in words.
pub(in crate::cli::demo::show) fn costs(chat: &ChatScore) -> String {
    let lost = counted(chat.lost, "message", "messages");
    let unseen = grouped(chat.unseen);
    match (chat.lost, chat.twice, chat.unseen) {
        (0, 0, 0) => "lost nothing, too".to_owned(),
        (_, 0, 0) => format!("lost {lost}"),
        (0, twice, 0) => format!("doubled {twice}"),
        (0, 0, _) => format!("never showed {unseen} messages"),
        (_, twice, 0) => format!("lost {lost}, and doubled {twice}"),
        (_, twice, _) => format!("lost {lost}, doubled {twice}, and never showed {unseen}"),
    }
}

/// The keys after the last part.
fn last_keys(view: &ViewState) -> TextRow {
    let mut row = TextRow::of(" r", Role::Focus).with(" again ", Role::Dim);
    if view.parts > 1 {
        row.push(format!(" 1-{}", view.parts), Role::Focus);
        let words = match view.columns {
            80.. => format!(" from this {} on ", view.kind.word()),
            _ => format!(" {}s ", view.kind.word()),
        };
        row.push(words, Role::Dim);
    }
    if view.kind != PartKind::Free {
        row.push(" s", Role::Focus);
        let words = if view.columns < 80 {
            " save "
        } else {
            " save as a page "
        };
        row.push(words, Role::Dim);
    }
    row.with(" q", Role::Focus).with(" quit", Role::Dim)
}

/// One row for each act; under 100 columns without the false seconds.
fn act_table(model: &Model, view: &ViewState, rows: &mut Vec<TextRow>) {
    let lane = view.signs.sign("│", "|");
    let is_wide = view.columns >= 100;
    let landfall_at = if is_wide { 65 } else { 56 };
    let titles = [
        (2, view.kind.table_title()),
        (33, "the naive chat"),
        (landfall_at, "Landfall"),
    ];
    rows.push(view.signs.rule(view.columns, &titles, None));
    let lost_columns = if is_wide { 8 } else { 6 };
    let false_word = if is_wide { "  false" } else { "" };
    let head = format!("{lane} {:>lost_columns$} twice unseen{false_word} ", "lost");
    let title = format!(" {:<24}{:>6} {head}{head}", "", "typed");
    rows.push(TextRow::of(title, Role::Dim).fit(view.columns));
    for (act, score) in model.acts_in_the_end() {
        let typed = grouped(score.naive.typed);
        let title = crate::tui::fit(&format!("{} {}", act.number, act.title), 24);
        let title = format!(" {title:<24}{typed:>6} ");
        let mut row = TextRow::of(title, Role::Plain);
        for chat in [&score.naive, &score.landfall] {
            row.push(format!("{lane} "), Role::Plain);
            let bad = |count: u64| if count > 0 { Role::Broken } else { Role::Plain };
            row.push(format!("{:>lost_columns$} ", chat.lost), bad(chat.lost));
            row.push(format!("{:>5} ", chat.twice), bad(chat.twice));
            row.push(format!("{:>6} ", grouped(chat.unseen)), bad(chat.unseen));
            if is_wide {
                row.push(format!("{:>4} s ", chat.false_ms / 1_000), Role::Plain);
            }
        }
        rows.push(row);
    }
}
