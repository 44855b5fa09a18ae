//! `landfall feed`: sends live values from stdin into a room. Only the latest value per key counts.

use std::io::BufRead;
use std::time::Duration;

use tokio::sync::mpsc;

use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use super::send;
use super::watch::subscribed;
use crate::client::actor::Client;
use crate::client::session::Command;
use crate::config::Config;
use crate::print;
use crate::protocol::limits::{SIGNAL_BYTES_MAX, SIGNAL_KEYS_MAX};
use crate::protocol::{RoomId, Signal};

/// Maximum lines that are read and not processed.
const LINES_MAX: usize = 256;
/// Maximum time for sending the last values at the end of the input.
const LAST: Duration = Duration::from_secs(5);

pub(super) fn run(config: &Config, who: &Who, room: &str) -> Result<u8, Failure> {
    let _log = super::logging::to_file(&config.log_file());
    let profile = Profile::open_existing(config, who)?;
    let room = send::room(&profile.reader()?, room)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let running = profile.start(who)?;
        let client = &running.client;
        let work = async {
            subscribed(client, room).await?;
            let (lines, mut read) = mpsc::channel(LINES_MAX);
            // ends with the input, or with the process
            std::thread::spawn(move || read_lines(&lines));
            while let Some(line) = read.recv().await {
                match value(room, &line) {
                    Ok(Some(signal)) => client.command(Command::Signal(signal)).await,
                    Ok(None) => {}
                    Err(why) => {
                        let start: String = line.trim().chars().take(80).collect();
                        print::note(format!("{why}: {start}"));
                    }
                }
            }
            // values that arrive too late are useless
            let _ = tokio::time::timeout(LAST, flushed(client)).await;
            let given_up = client
                .details()
                .await
                .map_or(0, |details| details.signals_given_up);
            if given_up > 0 {
                print::note(format!(
                    "{given_up} values were dropped: at most {SIGNAL_KEYS_MAX} keys can be pending"
                ));
            }
            Ok(exit::OK)
        };
        let result = tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => Ok(exit::OK),
        };
        running.client.quit().await;
        result
    })
}

fn read_lines(lines: &mpsc::Sender<String>) {
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    while input
        .read_until(b'\n', &mut line)
        .is_ok_and(|length| length > 0)
    {
        let text = String::from_utf8_lossy(&line).into_owned();
        line.clear();
        if lines.blocking_send(text).is_err() {
            return;
        }
    }
}

/// `key value`; the value is the rest of the line.
fn value(room: RoomId, line: &str) -> Result<Option<Signal>, &'static str> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let (key, value) = line
        .split_once(char::is_whitespace)
        .ok_or("expected a key and a value")?;
    let value = value.trim_start();
    let signal = Signal::new(
        room,
        Signal::LIVE,
        Some(key.to_owned()),
        Some(value.to_owned()),
    );
    if signal.bytes() > SIGNAL_BYTES_MAX {
        return Err("a key and its value are at most 1 KiB long");
    }
    Ok(Some(signal))
}

/// Waits until no value is pending.
async fn flushed(client: &Client) {
    let mut passed = client.trace().news();
    while client
        .details()
        .await
        .is_some_and(|details| details.signals_waiting > 0)
    {
        if passed.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_a_key_and_a_value() {
        let read =
            |line: &str| value(RoomId::NIL, line).map(|signal| signal.map(|s| (s.key, s.value)));
        assert_eq!(
            read("cpu 12 %\r\n"),
            Ok(Some((Some("cpu".into()), Some("12 %".into()))))
        );
        assert_eq!(read("  \n"), Ok(None));
        assert!(read("alone").is_err());
        assert!(read(&format!("cpu {}", "9".repeat(1_024))).is_err());
    }
}
