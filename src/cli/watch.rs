//! `landfall watch`: the live values of a room, as a table that stays fresh or as lines.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use crossterm::{cursor, queue, terminal};
use tokio::sync::broadcast;

use super::exit::{self, Failure};
use super::feed::LIVE;
use super::profile::{Profile, Who};
use crate::client::actor::Client;
use crate::client::link::LinkState;
use crate::client::session::Command;
use crate::client::{Recent, brief, quantile};
use crate::config::Config;
use crate::protocol::{RoomId, Signal, harmless_line};
use crate::system;
use crate::tui::BARS;

/// Values of a key that its line of bars shows.
const BARS_SHOWN: usize = 24;
/// Ages that are remembered for the figures.
const AGES_MAX: usize = 10_000;
/// Keys that are shown; of more, the ones that were told last.
const KEYS_MAX: usize = 1_000;
/// Shortest time between two pictures of the table.
const REDRAW: Duration = Duration::from_millis(250);

pub(super) struct Options {
    pub(super) room: String,
    pub(super) json: bool,
    pub(super) for_s: Option<u64>,
}

pub(super) fn run(config: &Config, who: &Who, options: &Options) -> Result<u8, Failure> {
    super::logging::to_file(&config.log_file());
    let profile = Profile::open_existing(config, who)?;
    let room = super::send::room(&profile.reader()?, &options.room)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = profile.start(who)?;
        let mut table = Table::default();
        let over = async {
            match options.for_s {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            result = watch(&running.client, room, options.json, &mut table) => result,
            () = over => Ok(()),
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        running.client.quit().await;
        eprintln!("{}", table.figures());
        result.map(|()| exit::OK)
    })
}

async fn watch(client: &Client, room: RoomId, json: bool, table: &mut Table) -> Result<(), Failure> {
    let mut signals = client.signals();
    client.command(Command::Focus(room)).await;
    subscribed(client, room).await?;
    let mut status = client.status();
    let mut ahead = ahead_ms(client).await;
    let is_table = !json && io::stdout().is_terminal();
    let mut redraw = tokio::time::interval(REDRAW);
    let mut is_new = true;
    loop {
        tokio::select! {
            signal = signals.recv() => match signal {
                Ok(signal) if signal.room == room && signal.kind == LIVE => {
                    let row = table.put(&signal, system::unix_ms() as i64 + ahead);
                    if json {
                        writeln!(io::stdout(), "{}", self::json(&signal, row))?;
                    } else if !is_table {
                        let (key, value) = (shown(signal.key.as_ref()), shown(signal.value.as_ref()));
                        writeln!(io::stdout(), "{key} {value}")?;
                    }
                    is_new = true;
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {} // newer ones come
                Err(broadcast::error::RecvError::Closed) => return Err(Failure::new(exit::SOFTWARE, "the link's task ended")),
            },
            Ok(()) = status.changed() => ahead = ahead_ms(client).await, // another link, perhaps
            _ = redraw.tick(), if is_table => {
                // Ages go on by themselves, as long as there is something that grows older.
                if std::mem::take(&mut is_new) || !table.rows.is_empty() {
                    draw(client, table)?;
                }
            }
        }
    }
}

/// How far the server's clock is ahead of this one, ms, by the greeting of the link that stands.
async fn ahead_ms(client: &Client) -> i64 {
    let greeting = client.details().await.and_then(|details| details.greeting);
    greeting.map_or(0, |greeting| greeting.ahead_ms(client.now(), system::unix_ms()))
}

fn draw(client: &Client, table: &Table) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let (columns, rows) = terminal::size()?;
    queue!(out, cursor::MoveTo(0, 0), terminal::Clear(terminal::ClearType::All))?;
    let link = client.status().borrow().link.word();
    let lines = table.lines(system::unix_ms(), columns.into());
    for line in
        std::iter::once(format!("{link} · {}", table.figures())).chain(lines).take(rows.saturating_sub(1).into())
    {
        write!(out, "{}\r\n", line.chars().take(columns.into()).collect::<String>())?;
    }
    out.flush()
}

fn json(signal: &Signal, age_ms: u64) -> serde_json::Value {
    serde_json::json!({
        "key": signal.key, "value": signal.value, "account": signal.account, "at": signal.at, "age_ms": age_ms,
        "skipped": signal.skipped,
    })
}

fn shown(text: Option<&String>) -> String {
    harmless_line(text.map_or("", String::as_str)).into_owned()
}

/// Waits until a room is subscribed on this process's link.
pub(super) async fn subscribed(client: &Client, room: RoomId) -> Result<(), Failure> {
    let mut status = client.status();
    let settled = status.wait_for(|status| {
        status.rooms.get(&room).is_some_and(|room| room.live) || matches!(status.link, LinkState::Offline { .. })
    });
    match settled.await.map(|status| status.link.clone()) {
        Ok(LinkState::Offline { why }) => Err(Failure::no_link(&why)),
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::new(exit::SOFTWARE, "the link's task ended")),
    }
}

/// What was told, by key.
#[derive(Debug, Default)]
struct Table {
    rows: BTreeMap<String, Row>,
    ages: Recent<u64, AGES_MAX>,
    values: u64,
    skipped: u64,
}

#[derive(Debug)]
struct Row {
    value: String,
    /// When it was said, by this machine's clock.
    said_at: u64,
    skipped: u64,
    numbers: Recent<f64, BARS_SHOWN>,
}

impl Table {
    /// A value that came now, by the server's clock. Returns its age, ms.
    fn put(&mut self, signal: &Signal, server_now: i64) -> u64 {
        let age = (server_now - signal.at.map_or(server_now, |at| at as i64)).max(0) as u64;
        self.values += 1;
        self.skipped += signal.skipped;
        self.ages.push(age);
        let key = shown(signal.key.as_ref());
        if self.rows.len() >= KEYS_MAX && !self.rows.contains_key(&key) {
            let oldest = self.rows.iter().min_by_key(|(_, row)| row.said_at).map(|(key, _)| key.clone());
            oldest.map(|key| self.rows.remove(&key));
        }
        let row = self.rows.entry(key).or_insert_with(|| Row {
            value: String::new(),
            said_at: 0,
            skipped: 0,
            numbers: Recent::default(),
        });
        row.value = shown(signal.value.as_ref());
        row.said_at = system::unix_ms().saturating_sub(age);
        row.skipped += signal.skipped;
        number(&row.value).into_iter().for_each(|number| row.numbers.push(number));
        age
    }

    fn figures(&self) -> String {
        let age = |percent| quantile(self.ages.iter().copied().collect(), percent);
        let ages = age(50)
            .zip(age(99))
            .map_or_else(String::new, |(p50, p99)| format!(", age p50 {}, p99 {}", brief(p50), brief(p99)));
        format!("{} values of {} keys{ages}, {} older ones skipped", self.values, self.rows.len(), self.skipped)
    }

    /// A line for each key: value, bars, age.
    fn lines(&self, now: u64, columns: usize) -> Vec<String> {
        let wide = self.rows.keys().map(|key| key.chars().count()).max().unwrap_or(0).clamp(4, columns / 3);
        let line = |(key, row): (&String, &Row)| {
            let key: String = key.chars().take(wide).collect();
            let value: String = row.value.chars().take(16).collect();
            let age = brief(now.saturating_sub(row.said_at));
            format!("{key:<wide$}  {value:>16}  {:<BARS_SHOWN$}  {age:>7} old", bars(&row.numbers))
        };
        self.rows.iter().map(line).collect()
    }
}

/// The number that a value begins with, if it does.
fn number(value: &str) -> Option<f64> {
    let end = value.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+')).unwrap_or(value.len());
    value[..end].parse().ok().filter(|number: &f64| number.is_finite())
}

fn bars(numbers: &Recent<f64, BARS_SHOWN>) -> String {
    let (low, high) = numbers.iter().fold((f64::MAX, f64::MIN), |(low, high), n| (low.min(*n), high.max(*n)));
    let step = |number: &f64| if high > low { ((number - low) / (high - low) * 7.0) as usize } else { 3 };
    numbers.iter().map(|number| BARS[step(number).min(7)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(key: &str, value: &str, at: u64, skipped: u64) -> Signal {
        let (key, value) = (Some(key.to_owned()), Some(value.to_owned()));
        Signal { room: RoomId::NIL, kind: LIVE.to_owned(), key, value, account: None, at: Some(at), skipped }
    }

    #[test]
    fn figures_tell_ages_and_what_was_skipped() {
        let mut table = Table::default();
        for n in 0..100 {
            assert_eq!(table.put(&signal("cpu", &n.to_string(), 1_000, 2), 1_000 + n), n as u64);
        }
        assert_eq!(table.figures(), "100 values of 1 keys, age p50 50 ms, p99 99 ms, 200 older ones skipped");
        let line = table.lines(system::unix_ms(), 80).remove(0);
        assert!(line.starts_with("cpu                 99  ▁") && line.contains('█'), "{line}");
    }

    #[test]
    fn what_comes_from_others_is_shown_harmlessly_and_costs_bounded_memory() {
        let mut table = Table::default();
        table.put(&signal("a\u{1b}[2J", "1\u{7}", 1, 0), 1);
        assert!(table.lines(1, 80)[0].chars().all(|c| !c.is_control()));
        for n in 0..20_000 {
            table.put(&signal(&n.to_string(), "1e999", 1, 0), 1);
        }
        assert_eq!((table.rows.len(), table.ages.iter().count()), (KEYS_MAX, AGES_MAX));
    }

    #[test]
    fn a_value_is_drawn_by_the_number_that_it_begins_with() {
        assert_eq!([number("12 %"), number("-3.5"), number("up"), number("")], [Some(12.0), Some(-3.5), None, None]);
    }
}
