//! The whole screen at common sizes: every row fits, and no caption, score or key is cut.

use std::sync::Arc;

use super::*;
use crate::cli::demo::naive::{FileEvent, NaiveEvent, NaiveLine, NaiveNews, Repair};
use crate::cli::demo::show::event::{ActBegin, Caption, Recorded, ShowEvent, TypedLine};
use crate::protocol::EntryId;

const SIZES: [(usize, usize); 4] = [(80, 24), (100, 30), (160, 45), (200, 50)];

fn view((columns, rows): (usize, usize)) -> ViewState {
    ViewState {
        columns,
        rows,
        signs: Signs { ascii: false },
        layout: Layout::Both,
        is_paused: false,
        present: String::new(),
        is_help: false,
        elapsed: Duration::from_secs(16),
        behind: Duration::ZERO,
        moment: Duration::from_secs(16),
        typing: None,
        scrolled: 0,
        broken: None,
        notice: String::new(),
        parts: 5,
        is_from_start: true,
        kind: PartKind::Act,
    }
}

/// The page of keys and signs, and a pause, at each size.
#[test]
fn help_and_pause_fit_every_size() {
    for size in SIZES {
        let mut view = view(size);
        let texts = |rows: Vec<TextRow>| -> Vec<String> {
            let text = |row: TextRow| row.pieces.into_iter().map(|(text, _)| text).collect();
            rows.into_iter().map(text).collect()
        };
        let help = texts(help_screen(&view));
        assert_eq!(help.len(), size.1);
        let cut = help.iter().find(|row| row.contains('…'));
        assert_eq!(cut, None, "{size:?}");
        view.is_paused = true;
        view.present = "attempt 12 in 29.9 s (0–30 s)".to_owned();
        let paused = texts(screen(&model(), &view)).join("\n");
        assert!(
            paused.contains(" Paused") && paused.contains(&view.present),
            "{paused}"
        );
    }
}

/// A show in its middle, with the longest caption and large figures.
fn model() -> Model {
    let mut model = Model::new("ana");
    let act = ActBegin {
        kind: PartKind::Act,
        number: 4,
        title: "the silent connection".into(),
        naive: Repair::SendAgain,
        naive_lines: 159,
    };
    let sentence = "Each Landfall message has an id made when Ana pressed Enter. The server knows it and adds nothing.";
    let caption = Caption {
        since: Duration::ZERO,
        headline: "Landfall waits, then tries again.".to_owned(),
        sentence: sentence.to_owned(),
        detail: "no answer for max(2 s, 4 × RTT): ping; its deadline: max(3 s, 4 × RTT)".to_owned(),
    };
    let mut events = vec![ShowEvent::Act(act), ShowEvent::Caption(caption)];
    let line = |n: u64| NaiveLine {
        author: "kim".to_owned(),
        text: format!("build {n} is green"),
    };
    for n in 0..5_000 {
        let text: Arc<str> = line(n).text.into();
        events.push(ShowEvent::Typed(TypedLine {
            author: "kim",
            id: EntryId::from_parts(n, [0; 10]),
            text,
        }));
        events.push(ShowEvent::Naive(NaiveNews::File(FileEvent::Added(line(n)))));
    }
    let recent = (4_950..5_000).map(line).collect();
    events.push(ShowEvent::Naive(NaiveNews::Screen(
        "ana",
        NaiveEvent::Replaced(recent),
    )));
    for event in events {
        model.apply(&Recorded {
            at: Duration::from_secs(9),
            event,
        });
    }
    model
}

#[test]
fn screen_fits_every_size_and_cuts_nothing() {
    let model = model();
    for size in SIZES {
        let view = view(size);
        let rows = screen(&model, &view);
        assert_eq!(rows.len(), size.1, "{size:?}");
        assert!(rows.iter().all(|row| row.width() <= size.0), "{size:?}");
        let texts: Vec<String> = rows.iter().map(TextRow::text).collect();
        let all = texts.join("\n");
        let parts = [
            "act 4 of 5: the silent connection",
            "Landfall waits, then tries again.",
            "adds nothing.",
            "deadline: max(3 s, 4 × RTT)",
            "? help  q proof",
            "missing, not marked",
        ];
        for part in parts {
            assert!(all.contains(part), "{size:?}: {part}\n{all}");
        }
        let captions = &texts[..6];
        let score = &texts[size.1 - 5..];
        let cut = captions.iter().chain(score).find(|row| row.contains('…'));
        assert_eq!(cut, None, "{size:?}");
    }
}

#[test]
fn proof_fits_every_size() {
    let model = model();
    for size in SIZES {
        let rows = proof_screen(&model, &view(size), true);
        assert_eq!(rows.len(), size.1, "{size:?}");
        let texts: Vec<String> = rows.iter().map(TextRow::text).collect();
        assert_eq!(texts.iter().find(|row| row.contains('…')), None, "{size:?}");
        assert!(
            texts.last().is_some_and(|keys| keys.contains("q quit")),
            "{size:?}"
        );
    }
}

#[test]
fn ascii_screen_has_only_ascii_signs() {
    let mut ascii = view((100, 30));
    ascii.signs.ascii = true;
    let rows = screen(&model(), &ascii);
    let drawn: String = rows[4..26].iter().map(TextRow::text).collect();
    let sign = drawn.chars().find(|sign| !sign.is_ascii() && *sign != '·');
    assert_eq!(sign, None);
}

#[test]
fn every_view_fills_its_rows() {
    let model = model();
    for layout in [Layout::Both, Layout::Ladder, Layout::Chats] {
        for size in SIZES {
            let view = ViewState {
                layout,
                ..view(size)
            };
            assert_eq!(screen(&model, &view).len(), size.1, "{layout:?} {size:?}");
        }
    }
}

#[test]
fn small_screen_has_captions_one_chat_and_the_score() {
    let model = model();
    for size in [(60, 20), (79, 30), (100, 23), (60, 16)] {
        let view = view(size);
        let rows = screen(&model, &view);
        assert_eq!(rows.len(), size.1, "{size:?}");
        assert!(rows.iter().all(|row| row.width() <= size.0), "{size:?}");
        let texts: Vec<String> = rows.iter().map(TextRow::text).collect();
        let all = texts.join("\n");
        for part in [
            "act 4 of 5",
            "then tries again.",
            "adds nothing.",
            "Landfall ",
            "naive ",
            "q quit",
        ] {
            assert!(all.contains(part), "{size:?}: {part}\n{all}");
        }
        let cut = texts[size.1 - 3..].iter().find(|row| row.contains('…'));
        assert_eq!(cut, None, "{size:?}");
    }
}

#[test]
fn small_proof_is_not_cut() {
    for size in [(60, 20), (79, 30), (60, 16)] {
        let rows = proof_screen(&model(), &view(size), true);
        assert_eq!(rows.len(), size.1, "{size:?}");
        let texts: Vec<String> = rows.iter().map(TextRow::text).collect();
        let cut = texts.iter().find(|row| row.contains('…'));
        assert_eq!(cut, None, "{size:?}");
        let all = texts.join("\n");
        assert!(
            all.contains("4,950 never seen") && all.contains(" 0 lost "),
            "{all}"
        );
    }
}
