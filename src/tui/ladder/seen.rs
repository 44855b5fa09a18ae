//! PURE. What a ladder needs to know of a traced frame.

use std::sync::Arc;

use serde::Deserialize;

use crate::client::{FrameDirection, TracedFrame};
use crate::protocol::{Dial, EntryId, Position, Seq};

/// A frame of the client behind the faulty proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SeenFrame {
    /// The number of the traced frame.
    pub(crate) n: u64,
    pub(crate) dial: Dial,
    pub(crate) bytes: usize,
    pub(crate) what: FrameWhat,
}

/// The kinds of frames that matter in a show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FrameWhat {
    /// Up. `resumes`: with the session of an earlier connection.
    Hello {
        resumes: bool,
    },
    Welcome {
        resumed: bool,
    },
    /// Up. `have`: the highest stored seq; none in a search for the last common entry.
    Open {
        have: Option<Seq>,
    },
    Opened {
        from: Seq,
        head: Seq,
    },
    Diverged,
    /// Up. A page after, or before, a seq.
    Fetch,
    /// Entries from the first to the last seq. `is_page`: the answer to a fetch.
    Entries {
        first: Seq,
        last: Seq,
        ids: Vec<EntryId>,
        is_page: bool,
    },
    /// Up.
    Send {
        id: EntryId,
        text: Arc<str>,
    },
    Ack {
        id: EntryId,
        seq: Seq,
    },
    /// The server did not take an entry.
    Reject {
        id: EntryId,
        reason: Arc<str>,
    },
    /// Up.
    Ping,
    Pong,
    /// Signals, watermarks, presence and room data: nothing that a ladder shows.
    Other,
}

/// All fields that are read, of any frame.
#[derive(Deserialize)]
struct AnyFrame {
    #[serde(rename = "type")]
    kind: String,
    session: Option<serde_json::Value>,
    resumed: Option<bool>,
    have: Option<Position>,
    from: Option<Position>,
    head: Option<Position>,
    request: Option<u64>,
    entries: Option<Vec<AnyEntry>>,
    id: Option<EntryId>,
    body: Option<String>,
    seq: Option<Seq>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct AnyEntry {
    seq: Seq,
    id: EntryId,
}

impl SeenFrame {
    pub(crate) fn of(frame: &TracedFrame) -> Self {
        let what = serde_json::from_str(&frame.text).map_or(FrameWhat::Other, |any| {
            FrameWhat::of(any, frame.way).unwrap_or(FrameWhat::Other)
        });
        Self {
            n: frame.n,
            dial: frame.dial,
            bytes: frame.bytes,
            what,
        }
    }
}

impl FrameWhat {
    fn of(frame: AnyFrame, way: FrameDirection) -> Option<Self> {
        Some(match (way, frame.kind.as_str()) {
            (FrameDirection::Up, "hello") => Self::Hello {
                resumes: frame.session.is_some(),
            },
            (FrameDirection::Up, "open") => Self::Open {
                have: frame.have.map(|have| have.seq),
            },
            (FrameDirection::Up, "fetch") => Self::Fetch,
            (FrameDirection::Up, "send") => Self::Send {
                id: frame.id?,
                text: frame.body.unwrap_or_default().into(),
            },
            (FrameDirection::Up, "ping") => Self::Ping,
            (FrameDirection::Down, "welcome") => Self::Welcome {
                resumed: frame.resumed?,
            },
            (FrameDirection::Down, "opened") => Self::Opened {
                from: frame.from?.seq,
                head: frame.head?.seq,
            },
            (FrameDirection::Down, "diverged") => Self::Diverged,
            (FrameDirection::Down, "entries") => {
                let entries = frame.entries?;
                Self::Entries {
                    first: entries.first()?.seq,
                    last: entries.last()?.seq,
                    ids: entries.iter().map(|entry| entry.id).collect(),
                    is_page: frame.request.is_some(),
                }
            }
            (FrameDirection::Down, "ack") => Self::Ack {
                id: frame.id?,
                seq: frame.seq?,
            },
            (FrameDirection::Down, "reject") => Self::Reject {
                id: frame.id?,
                reason: frame.reason.unwrap_or_default().into(),
            },
            (FrameDirection::Down, "pong") => Self::Pong,
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(way: FrameDirection, text: &str) -> FrameWhat {
        let frame = TracedFrame {
            n: 1,
            at: 0,
            dial: Dial(1),
            way,
            bytes: text.len(),
            text: text.into(),
        };
        SeenFrame::of(&frame).what
    }

    #[test]
    fn frames_of_the_specification_are_recognised() {
        let specification = include_str!("../../../PROTOCOL.md");
        let lines = specification
            .lines()
            .filter(|line| line.starts_with("{\"type\""));
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for line in lines {
            up.push(seen(FrameDirection::Up, line));
            down.push(seen(FrameDirection::Down, line));
        }
        let count = |all: &[FrameWhat], is_it: fn(&FrameWhat) -> bool| {
            all.iter().filter(|what| is_it(what)).count()
        };
        assert!(count(&up, |what| matches!(what, FrameWhat::Hello { .. })) >= 2);
        assert!(count(&up, |what| matches!(what, FrameWhat::Open { have: None })) >= 1);
        assert!(
            count(&up, |what| matches!(
                what,
                FrameWhat::Open { have: Some(_) }
            )) >= 1
        );
        assert!(count(&up, |what| matches!(what, FrameWhat::Send { .. })) >= 1);
        assert!(count(&up, |what| matches!(what, FrameWhat::Fetch)) >= 2);
        assert!(count(&up, |what| matches!(what, FrameWhat::Ping)) >= 1);
        assert!(
            count(&down, |what| matches!(
                what,
                FrameWhat::Welcome { resumed: true }
            )) >= 1
        );
        assert!(count(&down, |what| matches!(what, FrameWhat::Opened { .. })) >= 1);
        assert!(count(&down, |what| matches!(what, FrameWhat::Diverged)) >= 1);
        assert!(
            count(&down, |what| matches!(
                what,
                FrameWhat::Entries { is_page: false, .. }
            )) >= 1
        );
        assert!(count(&down, |what| matches!(what, FrameWhat::Ack { .. })) >= 1);
        assert!(count(&down, |what| matches!(what, FrameWhat::Reject { .. })) >= 1);
        assert!(count(&down, |what| matches!(what, FrameWhat::Pong)) >= 1);
    }

    #[test]
    fn masked_and_unknown_frames_are_read() {
        let hello = r#"{"type":"hello","token":"…","device":"d","session":"s"}"#;
        assert_eq!(
            seen(FrameDirection::Up, hello),
            FrameWhat::Hello { resumes: true }
        );
        assert_eq!(seen(FrameDirection::Down, "{}"), FrameWhat::Other);
        assert_eq!(seen(FrameDirection::Down, "not JSON"), FrameWhat::Other);
    }
}
