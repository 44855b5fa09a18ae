//! PURE. The frames of the process and the lines of the journal as one ladder. A client cannot know
//! where a frame was lost: one without an answer has an open end.

use std::time::Duration;

use crate::client::link::{LinkPhase, Wait};
use crate::client::store::JournalRow;
use crate::client::{Cause, TracedFrame};
use crate::tui::ladder::{FrameWhat, Ladder, SeenFrame};

/// Draws frames and lines of the journal, each oldest first, by their times.
pub(super) fn ladder(frames: &[TracedFrame], journal: &[JournalRow]) -> Ladder {
    let mut ladder = Ladder::default();
    // older states have no frames any more
    let from = frames.first().map_or(0, |frame| frame.at);
    let mut lines = journal.iter().filter(|line| line.at >= from).peekable();
    for frame in frames {
        while let Some(line) = lines.next_if(|line| line.at < frame.at) {
            on_line(&mut ladder, line);
        }
        let seen = SeenFrame::of(frame);
        if seen.what != FrameWhat::Other {
            ladder.on_frame(&seen, time(frame.at));
        }
    }
    lines.for_each(|line| on_line(&mut ladder, line));
    ladder
}

/// A time since 1970.
const fn time(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn on_line(ladder: &mut Ladder, line: &JournalRow) {
    let at = time(line.at);
    let why = line
        .cause
        .as_ref()
        .map_or_else(String::new, ToString::to_string);
    match line.to {
        LinkPhase::Backoff => {
            let ms = |ms: Option<u64>| ms.map(Duration::from_millis);
            let numbers = &line.numbers;
            let wait = ms(numbers.wait_ms).zip(ms(numbers.wait_max_ms));
            let wait = wait.map(|(drawn, longest)| Wait { drawn, longest });
            let is_silent = matches!(line.cause, Some(Cause::NoAnswer { .. }));
            ladder.on_backoff(&why, is_silent, wait, at);
        }
        LinkPhase::Offline if ladder.is_up => ladder.on_ended(&why, at),
        LinkPhase::Offline => {
            ladder.note(at, "offline").note = crate::protocol::sanitize_line(&why).into_owned();
        }
        LinkPhase::Connecting | LinkPhase::Resyncing | LinkPhase::Connected => {} // frames show it
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::{FrameDirection, JournalDetails};
    use crate::protocol::Dial;
    use crate::tui::ladder::{ArrowFate, LadderWhat};

    fn frame(n: u64, at: u64, dial: u64, way: FrameDirection, text: &str) -> TracedFrame {
        TracedFrame {
            n,
            at,
            dial: Dial(dial),
            way,
            bytes: text.len(),
            text: Arc::from(text),
        }
    }

    #[test]
    fn outage_of_a_real_connection_has_open_ends_and_waits() {
        let id = "0190b0f4-0000-7000-8000-00000000a17c";
        let send = format!("{{\"type\":\"send\",\"id\":\"{id}\",\"body\":\"train is late\"}}");
        let ack = format!("{{\"type\":\"ack\",\"id\":\"{id}\",\"seq\":9}}");
        let (up, down) = (FrameDirection::Up, FrameDirection::Down);
        let frames = [
            frame(1, 1_000, 1, up, "{\"type\":\"hello\"}"),
            frame(
                2,
                1_010,
                1,
                down,
                "{\"type\":\"welcome\",\"resumed\":false}",
            ),
            frame(3, 5_000, 1, up, &send),
            frame(4, 10_400, 2, up, "{\"type\":\"hello\",\"session\":{}}"),
            frame(
                5,
                10_410,
                2,
                down,
                "{\"type\":\"welcome\",\"resumed\":true}",
            ),
            frame(6, 10_420, 2, up, &send),
            frame(7, 10_430, 2, down, &ack),
        ];
        let line = |at, cause, wait_ms| JournalRow {
            n: 2,
            at,
            from: Some(LinkPhase::Connected),
            to: LinkPhase::Backoff,
            cause: Some(cause),
            numbers: JournalDetails {
                wait_ms: Some(wait_ms),
                wait_max_ms: Some(500),
                ..JournalDetails::default()
            },
        };
        let journal = [
            line(10, Cause::Refused, 300), // before the first frame
            line(
                10_000,
                Cause::NoAnswer {
                    waited: Duration::from_secs(5),
                },
                400,
            ),
        ];
        let ladder = ladder(&frames, &journal);
        let fate = |at: usize| match &ladder.rows[at].what {
            LadderWhat::Up(arrow) | LadderWhat::Down(arrow) => {
                Some((arrow.fate, arrow.label.as_str()))
            }
            _ => None,
        };
        let sent: Vec<_> = (0..ladder.rows.len())
            .filter_map(fate)
            .filter(|(_, label)| label.contains("train"))
            .collect();
        assert_eq!(sent[0].0, ArrowFate::Unknown);
        assert_eq!(sent[1].0, ArrowFate::Arrived);
        assert!(sent[1].1.contains("again, same id"), "{sent:?}");
        let is_given_up = |what: &LadderWhat| matches!(what, LadderWhat::Ended(why) if why == "connection given up");
        assert_eq!(
            ladder
                .rows
                .iter()
                .filter(|row| is_given_up(&row.what))
                .count(),
            1
        );
        let waits = ladder
            .rows
            .iter()
            .filter(|row| matches!(row.what, LadderWhat::Waits(_)));
        assert_eq!(waits.count(), 1);
    }
}
