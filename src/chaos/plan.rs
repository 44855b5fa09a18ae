//! PURE. The commands of the proxy, as text and as values, and their effect on bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

/// The direction through the proxy; up is from client to server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Up,
    Down,
}

impl Direction {
    /// Returns the opposite direction.
    #[must_use]
    pub const fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// One thing to do. What lasts, lasts until [`FaultCommand::Pass`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultCommand {
    /// All faults end. A connection that lost bytes stays dead, since they cannot be restored.
    Pass,
    /// Resets all connections and refuses new ones.
    Cut,
    /// Resets all connections and accepts new ones.
    Reset,
    /// Closes all connections cleanly and accepts new ones.
    Close,
    /// Refuses new connections and keeps the open ones.
    Refuse,
    /// Accepts new connections and never answers.
    Mute,
    /// Answers new connections with a redirect to a login page, as the network of a hotel.
    Portal,
    /// Drops the bytes of both directions; connections stay open.
    Half,
    /// Drops the bytes of one direction; connections stay open.
    Dead(Direction),
    /// Keeps all bytes until another command.
    Stall,
    /// Delays bytes by the first duration plus up to the second, preserving order.
    Latency(Duration, Duration),
    /// Limits each direction of each connection to this many bytes per second.
    Rate(u64),
    /// Resets a connection after this many more bytes in this direction, also inside a frame.
    ResetAfter(u64, Direction),
    /// Delay until the other side learns that a connection has ended.
    LateFin(Duration),
    /// Changes the next byte in this direction.
    Corrupt(Direction),
    /// Drops this many frames of this type from the server, and nothing else.
    Swallow(String, u64),
    /// Alternates between `cut` and `pass`, each for this duration.
    Flap(Duration),
}

/// A line that is no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{line}` is not a command; use {}", usage_of(.line))]
pub struct BadCommand {
    line: String,
}

fn mistake(line: &str) -> BadCommand {
    BadCommand {
        line: line.trim().chars().take(80).collect(),
    }
}

/// Returns how a line's command is written; all commands, if it has none.
fn usage_of(line: &str) -> String {
    let word = line.split_whitespace().next().unwrap_or_default();
    let mut commands = USAGE.split(", ");
    let found = commands.find(|usage| usage.split(' ').next() == Some(word));
    found.map_or_else(
        || format!("one of: {USAGE}{TIMES}"),
        |usage| format!("{usage}{TIMES}"),
    )
}

/// Follows the commands in error messages.
const TIMES: &str = "; a TIME is written as 2s or 300ms";

/// All commands, for error messages.
pub(super) const USAGE: &str = "pass, cut, reset, close, refuse, mute, portal, half, dead up|down, stall, latency TIME [JITTER], \
rate BYTES_PER_SECOND, reset-after BYTES up|down, late-fin TIME, corrupt up|down, swallow FRAME COUNT, flap TIME, wait TIME, status, quit";

impl FromStr for FaultCommand {
    type Err = BadCommand;

    fn from_str(line: &str) -> Result<Self, BadCommand> {
        let words: Vec<_> = line.split_whitespace().collect();
        let command = match words[..] {
            ["pass"] => Some(Self::Pass),
            ["cut"] => Some(Self::Cut),
            ["reset"] => Some(Self::Reset),
            ["close"] => Some(Self::Close),
            ["refuse"] => Some(Self::Refuse),
            ["mute"] => Some(Self::Mute),
            ["portal"] => Some(Self::Portal),
            ["half"] => Some(Self::Half),
            ["dead", which] => way(which).map(Self::Dead),
            ["stall"] => Some(Self::Stall),
            ["latency", base] => time(base).map(|base| Self::Latency(base, Duration::ZERO)),
            ["latency", base, jitter] => time(base)
                .zip(time(jitter))
                .map(|(base, jitter)| Self::Latency(base, jitter)),
            ["rate", bytes] => bytes
                .parse()
                .ok()
                .filter(|bytes| *bytes > 0)
                .map(Self::Rate),
            ["reset-after", bytes, which] => bytes
                .parse()
                .ok()
                .zip(way(which))
                .map(|(bytes, way)| Self::ResetAfter(bytes, way)),
            ["late-fin", after] => time(after).map(Self::LateFin),
            ["corrupt", which] => way(which).map(Self::Corrupt),
            ["swallow", kind, count] => count
                .parse()
                .ok()
                .map(|count| Self::Swallow(kind.to_owned(), count)),
            ["flap", every] => time(every).filter(|every| !every.is_zero()).map(Self::Flap),
            _ => None,
        };
        command.ok_or_else(|| mistake(line))
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

impl fmt::Display for FaultCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = Duration::as_millis;
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Cut => f.write_str("cut"),
            Self::Reset => f.write_str("reset"),
            Self::Close => f.write_str("close"),
            Self::Refuse => f.write_str("refuse"),
            Self::Mute => f.write_str("mute"),
            Self::Portal => f.write_str("portal"),
            Self::Half => f.write_str("half"),
            Self::Dead(way) => write!(f, "dead {way}"),
            Self::Stall => f.write_str("stall"),
            Self::Latency(base, jitter) => write!(f, "latency {}ms {}ms", ms(base), ms(jitter)),
            Self::Rate(bytes) => write!(f, "rate {bytes}"),
            Self::ResetAfter(bytes, way) => write!(f, "reset-after {bytes} {way}"),
            Self::LateFin(after) => write!(f, "late-fin {}ms", ms(after)),
            Self::Corrupt(way) => write!(f, "corrupt {way}"),
            Self::Swallow(kind, count) => write!(f, "swallow {kind} {count}"),
            Self::Flap(every) => write!(f, "flap {}ms", ms(every)),
        }
    }
}

fn way(word: &str) -> Option<Direction> {
    match word {
        "up" => Some(Direction::Up),
        "down" => Some(Direction::Down),
        _ => None,
    }
}

/// Parses `500ms`, `2s` or `1.5s`, at most a day.
fn time(word: &str) -> Option<Duration> {
    let (number, seconds) = match word.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (word.strip_suffix('s')?, 1.0),
    };
    let seconds = number.parse::<f64>().ok()? * seconds;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| time.as_secs() <= 86_400)
}

/// A line of a script, or of stdin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Commands that take effect at one moment.
    Commands(Vec<FaultCommand>),
    /// Waits before the next command.
    Wait(Duration),
    /// Report the counts so far.
    Status,
    Quit,
}

impl FromStr for Step {
    type Err = BadCommand;

    fn from_str(line: &str) -> Result<Self, BadCommand> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["wait", after] => time(after).map(Self::Wait).ok_or_else(|| mistake(line)),
            ["status"] => Ok(Self::Status),
            ["quit"] => Ok(Self::Quit),
            _ => {
                let commands = line.split(';').map(str::parse);
                commands.collect::<Result<_, _>>().map(Self::Commands)
            }
        }
    }
}

/// The part of a line before its `#`; `None` when that is empty.
#[must_use]
pub fn command_text(line: &str) -> Option<&str> {
    let command_text = line
        .trim_start_matches('\u{feff}')
        .split('#')
        .next()
        .unwrap_or_default()
        .trim();
    (!command_text.is_empty()).then_some(command_text)
}

/// Parses a script: each line is a command, several commands with `;` between them, or `wait TIME`.
/// `#` starts a comment.
///
/// # Errors
/// The first invalid line, with its number.
pub fn steps(text: &str) -> Result<Vec<Step>, (usize, BadCommand)> {
    let lines = text
        .lines()
        .enumerate()
        .filter_map(|(at, line)| Some((at + 1, command_text(line)?)));
    lines
        .map(|(number, line)| line.parse().map_err(|mistake| (number, mistake)))
        .collect()
}

/// Treatment of new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AcceptMode {
    #[default]
    Open,
    Refusing,
    Mute,
    Portal,
}

/// Treatment of the bytes of open connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Flow {
    #[default]
    Pass,
    Stall,
    Dead,
    DeadOn(Direction),
}

impl Flow {
    /// Whether bytes in this direction are dropped.
    pub(super) fn loses(self, way: Direction) -> bool {
        self == Self::Dead || self == Self::DeadOn(way)
    }
}

/// The commands in force. Resets and closes are counted, so that every connection
/// learns of each.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultState {
    pub(super) door: AcceptMode,
    pub(super) flow: Flow,
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    pub(super) rate: Option<u64>,
    pub(super) late_fin: Duration,
    pub(super) flap: Option<Duration>,
    pub(super) resets: u64,
    pub(super) closes: u64,
    pub(super) armed: Armed,
}

/// One-shot faults, which affect the first matching connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Armed {
    reset_after: Option<(u64, Direction)>,
    corrupt: Option<Direction>,
    /// Number of frames to drop, by type.
    swallow: BTreeMap<String, u64>,
}

impl FaultState {
    pub(super) fn apply(&mut self, command: &FaultCommand) {
        match command {
            FaultCommand::Pass => {
                *self = Self {
                    resets: self.resets,
                    closes: self.closes,
                    ..Self::default()
                }
            }
            FaultCommand::Cut => {
                self.door = AcceptMode::Refusing;
                self.resets += 1;
            }
            FaultCommand::Reset => self.resets += 1,
            FaultCommand::Close => self.closes += 1,
            FaultCommand::Refuse => self.door = AcceptMode::Refusing,
            FaultCommand::Mute => self.door = AcceptMode::Mute,
            FaultCommand::Portal => self.door = AcceptMode::Portal,
            FaultCommand::Half => self.flow = Flow::Dead,
            FaultCommand::Dead(way) => self.flow = Flow::DeadOn(*way),
            FaultCommand::Stall => self.flow = Flow::Stall,
            FaultCommand::Latency(base, jitter) => (self.latency, self.jitter) = (*base, *jitter),
            FaultCommand::Rate(bytes) => self.rate = Some(*bytes),
            FaultCommand::LateFin(after) => self.late_fin = *after,
            FaultCommand::ResetAfter(bytes, way) => self.armed.reset_after = Some((*bytes, *way)),
            FaultCommand::Corrupt(way) => self.armed.corrupt = Some(*way),
            FaultCommand::Swallow(kind, count) => {
                self.armed.swallow.insert(kind.clone(), *count);
            }
            FaultCommand::Flap(every) => {
                self.flap = Some(*every);
                self.apply(&FaultCommand::Cut);
            }
        }
    }

    /// Whether connections that began in `began` have to end.
    pub(super) fn ends_since(&self, began: &Self) -> bool {
        self.resets != began.resets || self.closes != began.closes
    }

    /// Switches to the other half of a flap.
    pub(super) fn flap(&mut self) {
        match self.door {
            AcceptMode::Refusing => self.door = AcceptMode::Open,
            AcceptMode::Open | AcceptMode::Mute | AcceptMode::Portal => {
                self.apply(&FaultCommand::Cut)
            }
        }
    }
}

impl Armed {
    /// Flips the top bit of a byte if a corruption is due, so that any text becomes invalid.
    pub(super) fn corrupt(&mut self, way: Direction, bytes: &mut [u8]) -> bool {
        let middle = bytes.len() / 2;
        match bytes.get_mut(middle).filter(|_| self.corrupt == Some(way)) {
            Some(byte) => {
                *byte ^= 0x80;
                self.corrupt = None;
                true
            }
            None => false,
        }
    }

    /// Returns how many of `length` bytes pass before a due reset; `None` without one.
    pub(super) fn reset_after(&mut self, way: Direction, length: u64) -> Option<u64> {
        let (left, _) = self
            .reset_after
            .as_mut()
            .filter(|(_, armed)| *armed == way)?;
        if *left > length {
            *left -= length;
            return None;
        }
        self.reset_after.take().map(|(left, _)| left)
    }

    /// Returns the type of a frame that is to be dropped.
    pub(super) fn swallow(&mut self, frame: &[u8]) -> Option<String> {
        let is_of = |kind: &str| {
            let field = format!("\"type\":\"{kind}\"");
            frame
                .windows(field.len())
                .any(|window| window == field.as_bytes())
        };
        let (kind, left) = self
            .swallow
            .iter_mut()
            .find(|(kind, left)| **left > 0 && is_of(kind))?;
        *left -= 1;
        Some(kind.clone())
    }
}

#[cfg(test)]
mod tests;
