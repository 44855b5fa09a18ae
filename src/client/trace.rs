//! The latest frames, and the bytes of connections, for the inspector. Bounded; secrets are removed
//! before storing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::protocol::Dial;
use crate::system;

/// Maximum remembered frames.
const FRAMES_MAX: usize = 512;
/// Maximum bytes of all kept frames.
const BYTES_MAX: usize = 1024 * 1024;
/// Fields that contain secrets: tokens, invites and codes. Their values are masked.
const SECRETS: [&str; 3] = ["token", "invite", "code"];
/// Prefixes of frames that contain secrets.
const SECRETIVE: [&str; 2] = [r#"{"type":"hello""#, r#"{"type":"request""#];

/// The direction of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameDirection {
    Up,
    Down,
}

/// A remembered frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TracedFrame {
    /// Counts up from 1.
    pub n: u64,
    /// Wall clock, ms since 1970.
    pub at: u64,
    pub dial: Dial,
    pub way: FrameDirection,
    /// Bytes of the frame's text.
    pub bytes: usize,
    /// The JSON, without secrets.
    pub text: Arc<str>,
}

/// The frames of the connections of one process, shared by the connection and the inspector.
#[derive(Debug, Default)]
pub struct Trace {
    ring: Mutex<Ring>,
    news: watch::Sender<u64>,
    up: AtomicU64,
    down: AtomicU64,
}

#[derive(Debug, Default)]
struct Ring {
    frames: VecDeque<TracedFrame>,
    bytes: usize,
    n: u64,
}

impl Trace {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        // every critical section leaves a valid state
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a frame. [`Trace::notify`] reports it, once its effects were carried out.
    pub(super) fn frame(&self, dial: Dial, way: FrameDirection, text: &str) {
        let bytes = text.len();
        let is_secretive =
            way == FrameDirection::Up && SECRETIVE.iter().any(|begins| text.starts_with(begins));
        let text: Arc<str> = if is_secretive {
            without_secrets(text).into()
        } else {
            text.into()
        };
        let mut ring = self.ring();
        ring.n += 1;
        ring.bytes += text.len();
        let passed = TracedFrame {
            n: ring.n,
            at: system::unix_ms(),
            dial,
            way,
            bytes,
            text,
        };
        ring.frames.push_back(passed);
        while ring.frames.len() > FRAMES_MAX || ring.bytes > BYTES_MAX {
            let Some(oldest) = ring.frames.pop_front() else {
                break;
            };
            ring.bytes -= oldest.text.len();
        }
    }

    /// Reports that there is something new.
    pub(super) fn notify(&self) {
        let n = self.ring().n;
        self.news.send_replace(n);
    }

    /// Adds bytes below the frames, including handshakes.
    pub(super) fn bytes(&self, way: FrameDirection, count: usize) {
        let counter = if way == FrameDirection::Up {
            &self.up
        } else {
            &self.down
        };
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Returns the remembered frames after number `n`, from old to new.
    #[must_use]
    pub fn frames_after(&self, n: u64) -> Vec<TracedFrame> {
        let ring = self.ring();
        let newer = ring.frames.iter().rev().take_while(|frame| frame.n > n);
        let mut newer: Vec<_> = newer.cloned().collect();
        newer.reverse();
        newer
    }

    /// Returns the remembered frames, from old to new.
    #[must_use]
    pub fn frames(&self) -> Vec<TracedFrame> {
        self.ring().frames.iter().cloned().collect()
    }

    /// Returns the bytes to and from servers since the process started, including handshakes.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        (
            self.up.load(Ordering::Relaxed),
            self.down.load(Ordering::Relaxed),
        )
    }

    /// Changes with each frame; the value is its number.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

/// Returns one of our frames with every secret replaced. Entries are not searched, since messages
/// may contain any text.
fn without_secrets(text: &str) -> String {
    let mut masked = text.to_owned();
    for secret in SECRETS {
        let key = format!("\"{secret}\":\"");
        let Some(start) = masked.find(&key).map(|at| at + key.len()) else {
            continue;
        };
        let end = start + end_of_string(&masked[start..]);
        masked.replace_range(start..end, "…");
    }
    masked
}

/// Returns the end of a JSON string that has begun.
fn end_of_string(json: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in json.char_indices() {
        match c {
            '"' if !is_escaped => return at,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        AccountId, ClientFrame, DeviceId, Enrol, Hello, InstanceId, Op, Token, encode,
    };

    fn up(trace: &Trace, frame: &ClientFrame) {
        trace.frame(
            Dial(1),
            FrameDirection::Up,
            &encode(frame).expect("is small"),
        );
    }

    #[test]
    fn no_secret_is_remembered() {
        let trace = Trace::default();
        let token = Token::from_random([7; 32]);
        let secret = serde_json::to_string(&token).expect("serialises");
        up(
            &trace,
            &ClientFrame::Hello(Hello {
                token,
                device: DeviceId::from_random([1; 16]),
                instance: InstanceId::from_random([2; 16]),
                dial: Dial(1),
                session: None,
                enrol: Some(Enrol {
                    invite: "come-\"in".into(),
                    name: "ana".into(),
                    account: AccountId::from_random([3; 16]),
                }),
            }),
        );
        up(
            &trace,
            &ClientFrame::Request {
                request: 1,
                op: Op::LinkDevice {
                    code: "once-only".into(),
                },
            },
        );
        let masked = format!("{:?}", trace.frames());
        assert!(
            masked.contains("hello") && masked.contains("ana") && masked.contains("link_device"),
            "{masked}"
        );
        for hidden in [secret.trim_matches('"'), "come-", "in\\\"", "once-only"] {
            assert!(!masked.contains(hidden), "{hidden} in {masked}");
        }
    }

    #[test]
    fn trace_is_bounded_by_count_and_bytes() {
        let trace = Trace::default();
        for _ in 0..2_000 {
            trace.frame(Dial(1), FrameDirection::Down, "{}");
        }
        assert_eq!(trace.frames().len(), FRAMES_MAX);
        assert_eq!(trace.frames().last().map(|frame| frame.n), Some(2_000));
        let newest: Vec<_> = trace
            .frames_after(1_998)
            .iter()
            .map(|frame| frame.n)
            .collect();
        assert_eq!(newest, [1_999, 2_000]);
        assert_eq!(trace.frames_after(0).len(), FRAMES_MAX);
        let big = "x".repeat(64 * 1024);
        for _ in 0..64 {
            trace.frame(Dial(1), FrameDirection::Down, &big);
        }
        assert_eq!(trace.frames().len(), BYTES_MAX / big.len());
    }
}
