//! PURE. What each traced frame means for the ladder.

use std::time::Duration;

use super::{
    ArrowFate, ArrowFrame, FrameWhat, LOST, Ladder, LadderRow, LadderWhat, Pages, SeenFrame,
    short_id,
};
use crate::client::{brief, grouped};
use crate::protocol::{Dial, EntryId, Seq, sanitize_line};

impl Ladder {
    pub(crate) fn arrow(&self, label: &str, fate: ArrowFate) -> ArrowFrame {
        ArrowFrame {
            label: label.to_owned(),
            fate,
            entry: None,
            is_known: false,
            acks: 0,
            dial: self.dial.unwrap_or(Dial(0)),
            pages: None,
        }
    }

    pub(crate) fn on_frame(&mut self, frame: &SeenFrame, at: Duration) {
        if self.dial != Some(frame.dial) {
            self.dial = Some(frame.dial);
            self.is_up = true;
            self.waits = 0;
        }
        let before = self.rows.len();
        self.frame = Some(frame.n);
        self.on_frame_of(frame, at);
        self.frame = None;
        if !self.is_up && self.rows.len() > before {
            self.move_before_end();
        }
    }

    /// The newest row is of a frame that was traced after the end of its connection.
    fn move_before_end(&mut self) {
        let is_end = |row: &LadderRow| matches!(row.what, LadderWhat::Ended(_));
        let Some(end) = self.rows.iter().rposition(is_end) else {
            return;
        };
        let Some(mut row) = self.rows.pop() else {
            return;
        };
        row.is_up = true;
        let (fate, note) = self.network.fate_at_end();
        row.end_up(fate, note);
        self.rows.insert(end, row); // the newest row is after the end
    }

    fn on_frame_of(&mut self, frame: &SeenFrame, at: Duration) {
        match &frame.what {
            FrameWhat::Hello { resumes: true } => self.up("hello, here is my session", at),
            FrameWhat::Hello { resumes: false } => self.up("hello", at),
            FrameWhat::Welcome { resumed } => {
                let label = if *resumed {
                    "welcome back, same session"
                } else {
                    "welcome"
                };
                self.answer("hello");
                self.down(label, at);
            }
            FrameWhat::Open { have: Some(have) } => {
                self.up(
                    &format!("open: I have everything up to number {}", grouped(have.0)),
                    at,
                );
            }
            FrameWhat::Open { have: None } => self.up("open: which of these do you have?", at),
            FrameWhat::Opened { head, .. } => {
                self.answer("open");
                self.down(
                    &format!("opened: the head is number {}", grouped(head.0)),
                    at,
                );
            }
            FrameWhat::Diverged => {
                self.answer("open");
                self.down("diverged: I do not have your last message", at);
            }
            FrameWhat::Send { id, text } => self.on_send(*id, text, at),
            FrameWhat::Ack { id, seq } => self.on_ack(*id, *seq, at),
            FrameWhat::Reject { id, reason } => self.on_reject(*id, reason, at),
            FrameWhat::Entries {
                first,
                last,
                ids,
                is_page,
            } => {
                self.on_entries((*first, *last), ids, *is_page, frame.bytes as u64, at);
            }
            FrameWhat::Fetch => {
                let is_repeated = self
                    .rows
                    .iter()
                    .rev()
                    .take(3)
                    .any(LadderRow::is_fetch_or_page);
                if !is_repeated {
                    self.up("fetch: the next page of the gap", at);
                }
            }
            FrameWhat::Ping => self.on_ping(at),
            FrameWhat::Pong => self.on_pong(at),
            FrameWhat::Other => {}
        }
    }

    fn up(&mut self, label: &str, at: Duration) {
        let arrow = self.arrow(label, self.network.fate_of_new());
        self.push(at, LadderWhat::Up(arrow));
    }

    fn down(&mut self, label: &str, at: Duration) {
        let arrow = self.arrow(label, ArrowFate::Arrived);
        self.push(at, LadderWhat::Down(arrow));
    }

    /// The frame whose label begins with this word was answered.
    fn answer(&mut self, word: &str) {
        let is_it = |row: &&mut LadderRow| {
            row.is_under_way()
                && matches!(&row.what, LadderWhat::Up(arrow) if arrow.label.starts_with(word))
        };
        if let Some(row) = self.rows.iter_mut().rev().find(is_it)
            && let LadderWhat::Up(arrow) = &mut row.what
        {
            arrow.fate = ArrowFate::Arrived;
        }
    }

    fn on_send(&mut self, id: EntryId, text: &str, at: Duration) {
        let is_again = !self.sent.insert(id);
        self.own.entry(id).or_insert_with(|| text.into());
        let (text, short) = (sanitize_line(text), short_id(id));
        let label = if is_again {
            format!("\"{text}\" again, same id {short}")
        } else {
            format!("\"{text}\" {short}")
        };
        let mut arrow = self.arrow(&label, self.network.fate_of_new());
        arrow.entry = Some(id);
        arrow.is_known = self.logged.contains_key(&id);
        let is_lost = arrow.fate == ArrowFate::Lost;
        let row = self.push(at, LadderWhat::Up(arrow));
        row.is_saved = true;
        if is_lost {
            row.note = LOST.to_owned();
        }
    }

    fn on_ack(&mut self, id: EntryId, seq: Seq, at: Duration) {
        self.acked.insert(id);
        let mut is_again = false;
        if let Some(row) = self.answer_to(id)
            && let LadderWhat::Up(arrow) = &row.what
        {
            is_again = arrow.label.contains("again, same id");
            row.is_stored = true;
            row.note = match (is_again, arrow.is_known) {
                (true, true) => "had it: not added twice".to_owned(),
                (true, false) => format!("added as number {}", grouped(seq.0)),
                (false, _) => String::new(),
            };
        }
        self.acknowledged(id, at);
        if let Some(row) = self.rows.last_mut()
            && !is_again
        {
            row.note = format!("✓ number {}", grouped(seq.0));
        }
    }

    /// A row for acknowledgements that follow each other.
    fn acknowledged(&mut self, id: EntryId, at: Duration) {
        if let Some(LadderRow {
            what: LadderWhat::Down(arrow),
            ..
        }) = self.rows.last_mut()
            && arrow.acks > 0
        {
            arrow.acks += 1;
            arrow.label = format!("acknowledged: {} lines, last {}", arrow.acks, short_id(id));
            return;
        }
        let mut arrow = self.arrow(
            &format!("acknowledged {}", short_id(id)),
            ArrowFate::Arrived,
        );
        arrow.acks = 1;
        self.push(at, LadderWhat::Down(arrow));
    }

    fn on_reject(&mut self, id: EntryId, reason: &str, at: Duration) {
        self.answer_to(id);
        self.down(&format!("not now {}", short_id(id)), at);
        if let Some(row) = self.rows.last_mut() {
            row.note = sanitize_line(reason).into_owned();
        }
    }

    /// The newest frame with this entry was answered.
    fn answer_to(&mut self, id: EntryId) -> Option<&mut LadderRow> {
        let is_it = |row: &&mut LadderRow| matches!(&row.what, LadderWhat::Up(arrow) if arrow.entry == Some(id));
        let row = self.rows.iter_mut().rev().find(is_it)?;
        if let LadderWhat::Up(arrow) = &mut row.what {
            arrow.fate = ArrowFate::Arrived;
        }
        Some(row)
    }

    fn on_entries(
        &mut self,
        (first, last): (Seq, Seq),
        ids: &[EntryId],
        is_page: bool,
        bytes: u64,
        at: Duration,
    ) {
        let own_unanswered: Vec<_> = (ids.iter().copied())
            .filter(|id| self.own.contains_key(id) && !self.acked.contains(id))
            .collect();
        if ids.iter().all(|id| self.acked.contains(id)) {
            return; // the acknowledgement is a row
        }
        if is_page {
            self.answer("fetch");
        }
        if let Some(pages) = self.last_pages()
            && pages.is_fetched == is_page
            && (is_page || pages.last.next() == first)
        {
            let pages = Pages {
                count: pages.count + 1,
                first: pages.first.min(first),
                last: pages.last.max(last),
                bytes: pages.bytes + bytes,
                ..pages
            };
            self.fold_into_last(pages, at);
            return self.note_own(&own_unanswered);
        }
        let mut arrow = self.arrow(&numbers(first, last), ArrowFate::Arrived);
        arrow.pages = Some(Pages {
            is_fetched: is_page,
            count: 1,
            first,
            last,
            bytes,
            began: at,
        });
        let row = self.push(at, LadderWhat::Down(arrow));
        row.is_saved = true;
        self.note_own(&own_unanswered);
    }

    /// The last row shows own entries whose acknowledgement did not come.
    fn note_own(&mut self, own: &[EntryId]) {
        for id in own {
            self.acked.insert(*id);
            if let Some(row) = self.rows.last_mut() {
                row.note = format!("its own line {} is in the log", short_id(*id));
            }
        }
    }

    fn last_pages(&self) -> Option<Pages> {
        match &self.rows.last()?.what {
            LadderWhat::Down(arrow) => arrow.pages,
            _ => None,
        }
    }

    fn fold_into_last(&mut self, pages: Pages, at: Duration) {
        if let Some(row) = self.rows.last_mut()
            && let LadderWhat::Down(arrow) = &mut row.what
        {
            arrow.label = numbers(pages.first, pages.last);
            arrow.pages = Some(pages);
            if pages.is_fetched {
                let took = brief(at.saturating_sub(pages.began).as_millis() as u64);
                let kilobytes = grouped(pages.bytes / 1_000);
                row.note = format!("{} frames · {took} · {kilobytes} kB", pages.count);
            }
            row.at = at;
        }
    }

    fn on_ping(&mut self, at: Duration) {
        let is_lost = self.network.is_dead_up;
        if self.last_pages().is_some_and(|pages| pages.is_fetched) {
            return; // a heartbeat between the pages of a gap
        }
        if let Some(LadderRow {
            what:
                LadderWhat::Heartbeat {
                    count,
                    answered_ms: Some(_),
                },
            ..
        }) = self.rows.last_mut()
            && !is_lost
        {
            *count += 1;
            return;
        }
        if is_lost {
            return self.up("ping: are you there?", at);
        }
        let what = LadderWhat::Heartbeat {
            count: 1,
            answered_ms: None,
        };
        self.push(at, what);
    }

    fn on_pong(&mut self, at: Duration) {
        let asked = self.rows.iter_mut().rev().take(3);
        for row in asked {
            let took = at.saturating_sub(row.at).as_millis() as u64;
            if let LadderWhat::Heartbeat { answered_ms, .. } = &mut row.what {
                answered_ms.get_or_insert(took);
                return;
            }
        }
    }
}

fn numbers(first: Seq, last: Seq) -> String {
    if first == last {
        format!("message number {}", grouped(first.0))
    } else {
        format!("numbers {} to {}", grouped(first.0), grouped(last.0))
    }
}
