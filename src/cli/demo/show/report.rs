//! What a show prints without a screen: acts, captions, scores and the proof, as lines or as JSON.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::event::{Caption, Recorded, ShowEvent};
use super::recorder::Recorder;
use super::score::{ChatScore, Score};
use crate::cli::demo::proof::Proof;
use crate::client::brief;
use crate::print;

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LineFormat {
    Plain,
    /// An object per line.
    Json,
}

/// Prints the events of a show as they happen.
pub(super) struct Report {
    format: LineFormat,
    task: JoinHandle<()>,
}

/// What is printed, and up to which event it was.
struct Printer {
    format: LineFormat,
    next: usize,
    /// When the current act began, ms.
    act_ms: u64,
    acts: usize,
}

impl Report {
    pub(super) fn start(recorder: &Arc<Recorder>, format: LineFormat) -> Self {
        let recorder = recorder.clone();
        let task = tokio::spawn(async move {
            let mut printer = Printer {
                format,
                next: 0,
                act_ms: 0,
                acts: 0,
            };
            let mut news = recorder.news();
            loop {
                news.borrow_and_update();
                printer.print_new(&recorder);
                if news.changed().await.is_err() {
                    return;
                }
            }
        });
        Self { format, task }
    }

    /// Prints the proof, and why the show did not come to its end, if it did not.
    pub(super) async fn end(self, recorder: &Recorder, proof: &Proof, failed: Option<&str>) {
        tokio::task::yield_now().await; // what is new is printed first
        self.task.abort();
        let texts = |texts: &[Arc<str>]| -> Vec<String> {
            texts.iter().map(|text| text.to_string()).collect()
        };
        let (at_ms, score, naive_lost, late) = {
            let model = &recorder.recording().model;
            let lost = model.tally.lost_texts(&model.nets.naive);
            (
                model.at.as_millis() as u64,
                model.score(),
                texts(&lost),
                texts(&model.late),
            )
        };
        match self.format {
            LineFormat::Json => json(&serde_json::json!({
                "at_ms": at_ms, "event": "proof", "holds": proof.holds(), "finished": failed.is_none(),
                "failed": failed, "score": score, "naive_lost": naive_lost, "late": late, "proof": proof,
            })),
            LineFormat::Plain => {
                if let Some(failed) = failed {
                    print(&format!("\n{failed}"));
                }
                print(&format!("\nproof\n{}\n  {proof}", score_lines(&score)));
                if !late.is_empty() {
                    print(&format!(
                        "  not on Landfall's server when the time was up: {}",
                        few(&late)
                    ));
                }
                if !naive_lost.is_empty() {
                    print(&format!("  lost by the naive chat: {}", few(&naive_lost)));
                }
            }
        }
    }
}

impl Printer {
    fn print_new(&mut self, recorder: &Recorder) {
        let newer: Vec<Recorded> = {
            let recording = recorder.recording();
            let newer = &recording.events[self.next.min(recording.events.len())..];
            self.next += newer.len();
            let is_printed = |event: &ShowEvent| {
                matches!(
                    event,
                    ShowEvent::Act(_) | ShowEvent::Caption(_) | ShowEvent::ActEnded(_)
                )
            };
            newer
                .iter()
                .filter(|recorded| is_printed(&recorded.event))
                .cloned()
                .collect()
        };
        for recorded in newer {
            let at_ms = recorded.at.as_millis() as u64;
            match &recorded.event {
                ShowEvent::Act(act) => {
                    self.act_ms = at_ms;
                    match self.format {
                        LineFormat::Json => json(&serde_json::json!({
                            "at_ms": at_ms, "event": "act", "act": act.number, "title": &*act.title,
                        })),
                        LineFormat::Plain => print(&format!(
                            "\n{}{}",
                            act.kind.line_heading(act.number),
                            act.title
                        )),
                    }
                }
                ShowEvent::Caption(caption) => self.caption(caption, at_ms),
                ShowEvent::ActEnded(_) => self.act_ended(recorder, at_ms),
                _ => {}
            }
        }
    }

    fn caption(&self, caption: &Caption, at_ms: u64) {
        let Caption {
            since: _,
            headline,
            sentence,
            detail,
        } = caption;
        match self.format {
            LineFormat::Json => json(&serde_json::json!({
                "at_ms": at_ms, "event": "caption", "headline": headline, "sentence": sentence, "detail": detail,
            })),
            LineFormat::Plain => {
                let after = brief(at_ms.saturating_sub(self.act_ms));
                print(&format!(
                    "  {after:>8}  {headline}\n            {sentence}\n            ({detail})"
                ));
            }
        }
    }

    fn act_ended(&mut self, recorder: &Recorder, at_ms: u64) {
        let ended = {
            let acts = &recorder.recording().model.acts;
            acts.get(self.acts)
                .map(|ended| (ended.act.clone(), ended.score))
        };
        self.acts += 1;
        let Some((act, score)) = ended else {
            return;
        };
        match self.format {
            LineFormat::Json => json(&serde_json::json!({
                "at_ms": at_ms, "event": "score", "act": act.number, "score": score,
            })),
            LineFormat::Plain => print(&score_lines(&score)),
        }
    }
}

/// The first texts of a list, for a line.
fn few(texts: &[String]) -> String {
    let shown = texts.iter().take(5).map(String::as_str);
    let more = (texts.len() > 5).then_some("…");
    shown.chain(more).collect::<Vec<_>>().join(" | ")
}

/// The two rows of a score, with the same words in the same columns.
pub(super) fn score_lines(score: &Score) -> String {
    let row = |name: &str, chat: &ChatScore, lost: &str| {
        let ChatScore {
            typed,
            arrived,
            twice,
            unseen,
            false_ms,
            ..
        } = chat;
        format!(
            "  {name:<9} {typed:>5} typed · {arrived:>5} arrived · {lost:<22} · {twice} twice · {unseen} never seen · false \"connected\" {}",
            brief(*false_ms)
        )
    };
    let naive_lost = match score.naive.lost {
        0 => "0 lost".to_owned(),
        lost => format!("{lost} LOST (shown as sent)"),
    };
    let landfall_lost = format!("{} lost", score.landfall.lost);
    format!(
        "{}\n{}",
        row("naive", &score.naive, &naive_lost),
        row("Landfall", &score.landfall, &landfall_lost)
    )
}

/// Prints lines; without a reader, the show continues.
pub(super) fn print(lines: &str) {
    for line in lines.split('\n') {
        let _ = print::line(line);
    }
}

/// Prints an object; without a reader, the show continues.
fn json(value: &serde_json::Value) {
    let _ = print::json(value);
}
