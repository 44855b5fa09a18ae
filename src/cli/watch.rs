//! `landfall watch`: the live values of a room, as an updated table or as lines.

use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use crossterm::style::Print;
use crossterm::{cursor, queue, terminal};

use super::exit::{self, Failure};
use super::live::{LiveSignals, LiveTable, shown};
use super::profile::{Profile, Who};
use crate::client::Cause;
use crate::client::actor::Client;
use crate::client::link::LinkState;
use crate::client::session::Command;
use crate::config::Config;
use crate::print;
use crate::protocol::{RoomId, Signal};
use crate::system;
use crate::tui::{fit, wrap};

/// Maximum remembered ages for the summary.
const AGES_MAX: usize = 10_000;
/// Minimum time between two draws of the table.
const REDRAW: Duration = Duration::from_millis(250);

pub(super) struct WatchOptions {
    pub(super) room: String,
    pub(super) json: bool,
    pub(super) for_s: Option<u64>,
}

pub(super) fn run(config: &Config, who: &Who, options: &WatchOptions) -> Result<u8, Failure> {
    let _log = super::logging::to_file(&config.log_file());
    let profile = Profile::open_existing(config, who)?;
    let room = super::send::room(&profile.reader()?, &options.room)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let running = profile.start(who)?;
        let mut table = LiveTable::<AGES_MAX>::default();
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
        print::lines(&format!("{}\n", table.figures()));
        result.map(|()| exit::OK)
    })
}

async fn watch(
    client: &Client,
    room: RoomId,
    json: bool,
    table: &mut LiveTable<AGES_MAX>,
) -> Result<(), Failure> {
    let mut signals = LiveSignals::of(client, room);
    client.command(Command::Focus(room)).await;
    subscribed(client, room).await?;
    let is_table = !json && io::stdout().is_terminal();
    let mut redraw = tokio::time::interval(REDRAW);
    let mut is_new = true;
    loop {
        tokio::select! {
            received = signals.next() => {
                let Some((signal, server_now)) = received else {
                    return Err(Failure::new(exit::SOFTWARE, "the connection's task ended"));
                };
                let row = table.put(&signal, server_now);
                if json {
                    print::json(&self::json(&signal, row))?;
                } else if !is_table {
                    let (key, value) = (shown(signal.key.as_ref()), shown(signal.value.as_ref()));
                    print::line(format!("{key} {value}"))?;
                }
                is_new = true;
            }
            _ = redraw.tick(), if is_table => {
                // Redraws the ages while there are values.
                if std::mem::take(&mut is_new) || table.values() > 0 {
                    draw(client, table)?;
                }
            }
        }
    }
}

fn draw(client: &Client, table: &LiveTable<AGES_MAX>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let (columns, rows) = terminal::size()?;
    queue!(out, cursor::MoveTo(0, 0))?;
    let link = client.status().borrow().link.phase();
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    let heads = wrap(&format!("{link} · {}", table.figures()), columns);
    let lines = table.lines(
        system::unix_ms(),
        columns,
        rows.saturating_sub(heads.len() + 1),
    );
    // Overwrites the old screen: clearing it first would flicker.
    for line in heads
        .iter()
        .map(|head| fit(head, columns))
        .chain(lines)
        .take(rows.saturating_sub(1))
    {
        queue!(
            out,
            Print(line),
            terminal::Clear(terminal::ClearType::UntilNewLine),
            Print("\r\n")
        )?;
    }
    queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
    out.flush()
}

fn json(signal: &Signal, age_ms: u64) -> serde_json::Value {
    serde_json::json!({
        "key": signal.key, "value": signal.value, "account": signal.account, "at": signal.at, "age_ms": age_ms,
        "skipped": signal.skipped,
    })
}

/// Waits until a room is subscribed on this process's connection.
pub(super) async fn subscribed(client: &Client, room: RoomId) -> Result<(), Failure> {
    let mut status = client.status();
    let settled = status.wait_for(|status| {
        status.rooms.get(&room).is_some_and(|room| room.live)
            || matches!(status.link, LinkState::Offline { .. })
    });
    match settled.await.map(|status| status.link.clone()) {
        Ok(LinkState::Offline {
            why: why @ Cause::NotOwner { .. },
        }) => Err(Failure::new(
            exit::UNAVAILABLE,
            format!(
                "{why}. Live values need a connection: use another profile, with --as or --profile"
            ),
        )),
        Ok(LinkState::Offline { why }) => Err(Failure::no_link(&why)),
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::new(exit::SOFTWARE, "the connection's task ended")),
    }
}
