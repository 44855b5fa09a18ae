//! The page from events that are made here: pictures, times, the data for the script, and its limit.

use std::sync::Arc;
use std::time::Duration;

use super::data::data;
use super::page::{PageFacts, page};
use super::steps::Replay;
use crate::cli::demo::naive::Repair;
use crate::cli::demo::show::event::{ActBegin, Caption, Recorded, ShowEvent, TypedLine};
use crate::cli::demo::show::part::PartKind;
use crate::protocol::EntryId;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn act() -> ShowEvent {
    ShowEvent::Act(ActBegin {
        kind: PartKind::Act,
        number: 1,
        title: "the cut".into(),
        naive: Repair::None,
        naive_lines: 98,
    })
}

fn caption(headline: &str) -> ShowEvent {
    ShowEvent::Caption(Caption {
        since: Duration::MAX,
        headline: headline.to_owned(),
        sentence: "A sentence.".to_owned(),
        detail: "detail".to_owned(),
    })
}

fn typed(text: &str) -> ShowEvent {
    ShowEvent::Typed(TypedLine {
        author: "ana",
        id: EntryId::NIL,
        text: text.into(),
    })
}

fn recorded(events: Vec<(u64, ShowEvent)>) -> Vec<Recorded> {
    let recorded = |(at, event)| Recorded { at: MS(at), event };
    events.into_iter().map(recorded).collect()
}

fn facts() -> PageFacts {
    PageFacts {
        day: "27 Nov 2026".to_owned(),
        kind: PartKind::Act,
        parts: 5,
        landfall_holds: true,
        failed: None,
        acts: Vec::new(),
    }
}

/// Many lines, one each 10 ms, below a caption.
fn busy(lines: u64) -> Vec<Recorded> {
    let mut events = vec![(0, act()), (1, caption("One."))];
    events.extend((0..lines).map(|n| (10 + n * 10, typed(&format!("line {n} of a long text")))));
    events.push((20 + lines * 10, caption("Two.")));
    recorded(events)
}

#[test]
fn steps_in_data_are_the_pictures() {
    let replay = Replay::of("ana", &busy(40));
    let data = data(&replay, 5);
    let rows = data["rows"].as_array().expect("rows");
    let text = |number: &serde_json::Value| -> String {
        let row = rows[number.as_u64().expect("a number") as usize].as_array();
        let pieces = row
            .expect("pieces")
            .iter()
            .filter_map(|piece| piece.as_str());
        pieces.map(|piece| &piece[1..]).collect()
    };
    let mut ladder: Vec<String> = Vec::new();
    let steps = data["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), replay.steps.len());
    for (step, picture) in steps.iter().zip(&replay.steps) {
        if let Some(new) = step["d"].as_array() {
            ladder.truncate(step["k"].as_u64().expect("a number") as usize);
            ladder.extend(new.iter().map(text));
        }
        let drawn = picture.ladder.iter().map(|row| replay.rows[*row].text());
        let drawn: Vec<String> = drawn.map(|row| row.trim_end().to_owned()).collect();
        assert_eq!(ladder, drawn);
    }
    assert!(ladder.len() >= 40);
}

#[test]
fn caption_of_a_replay_stays_three_seconds() {
    let events = vec![
        (0, act()),
        (0, caption("One.")),
        (100, caption("Two.")),
        (200, typed("a")),
    ];
    let replay = Replay::of("ana", &recorded(events));
    let shown: Vec<_> = replay
        .steps
        .iter()
        .map(|step| (step.caption, step.shown_at))
        .collect();
    assert_eq!(
        shown,
        [
            (None, MS(0)),
            (Some(0), MS(0)),
            (Some(1), MS(3_000)),
            (Some(1), MS(3_100))
        ]
    );
}

#[test]
fn thinned_replay_keeps_each_caption_and_the_end() {
    let mut replay = Replay::of("ana", &busy(500));
    let (before, end) = (replay.steps.len(), replay.last().cloned());
    replay.thin(MS(100));
    assert!(
        replay.steps.len() * 5 < before,
        "{before} {}",
        replay.steps.len()
    );
    assert_eq!(replay.last().cloned(), end);
    let begins = (0..replay.steps.len()).filter(|at| replay.begins_frame(*at));
    assert_eq!(begins.count(), 2);
}

#[test]
fn long_run_makes_a_page_of_limited_size() {
    let html = page(Replay::of("ana", &busy(2_500)), &facts());
    assert!(html.len() < 400_000, "{} bytes", html.len());
    assert!(html.contains("Two.") && html.contains("line 2499 of a long"));
}

#[test]
fn run_of_many_captions_has_a_page_of_limited_size() {
    let events = (0..200).flat_map(|n| {
        [
            (n * 20, caption(&format!("Frame {n}."))),
            (n * 20 + 10, typed(&format!("line {n}"))),
        ]
    });
    let events = recorded(std::iter::once((0, act())).chain(events).collect());
    let html = page(Replay::of("ana", &events), &facts());
    assert!(html.len() < 400_000, "{} bytes", html.len());
    assert!(html.contains("<h4>Frame 199.</h4>"));
}

#[test]
fn text_cannot_end_the_data_or_become_markup() {
    let hostile: Arc<str> = "</SCRIPT><svg onload=alert(1)>{{data}}\u{2028}\"'".into();
    let events = vec![(0, act()), (1, typed(&hostile)), (2, caption(&hostile))];
    let html = page(Replay::of("ana", &recorded(events)), &facts());
    assert!(!html.contains("<svg") && !html.contains("</SCRIPT>"));
    assert_eq!(
        html.matches("</script>").count(),
        2,
        "of data, and of the script"
    );
}
