//! `landfall send`: messages from the command line. Each is on disk before it is sent; works beside
//! a running chat too.
//!
//! The exit code reports the result: 0 acknowledged, 75 saved and not acknowledged yet, 74 not
//! saved.

use std::io::{IsTerminal, Read};

use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use super::sending::{FULL, Sending, check, too_long};
use super::stopping::{self, Ends};
use crate::client::store::Reader;
use crate::config::Config;
use crate::print;
use crate::protocol::RoomId;
use crate::protocol::limits::BODY_BYTES_MAX;

/// Maximum bytes read of a text; a longer one does not fit in a message.
const TEXT_BYTES_MAX: u64 = BODY_BYTES_MAX as u64 * 2;

pub(super) struct SendOptions {
    pub(super) room: String,
    pub(super) text: Vec<String>,
    pub(super) lines: bool,
    pub(super) wait_s: u64,
}

pub(super) fn run(config: &Config, who: &Who, options: &SendOptions) -> Result<u8, Failure> {
    let _log = super::logging::to_file(&config.log_file());
    let is_stream = options.lines && options.text.is_empty();
    let bodies = if is_stream {
        Vec::new()
    } else {
        bodies(options)?
    };
    let profile = Profile::open_existing(config, who).map_err(Failure::not_kept)?;
    let room = room(&profile.reader()?, &options.room)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        stopping::between_writes(&profile.store, None)?;
        let mut ends = Ends::listen()?;
        let mut sending = Sending::new(&profile, who, room, options.wait_s)?;
        let result = tokio::select! {
            result = send(&mut sending, &bodies, is_stream) => result,
            () = ends.next() => Ok(false),
        };
        let result = match result {
            Ok(true) => Ok(exit::OK),
            Ok(false) => sending.later().await,
            Err(failure) => Err(failure),
        };
        sending.end().await?;
        result
    })
}

/// Saves all messages and waits for the acknowledgements. Returns whether all arrived.
async fn send(
    sending: &mut Sending<'_>,
    bodies: &[String],
    is_stream: bool,
) -> Result<bool, Failure> {
    if is_stream {
        let left_out = super::lines::send(sending).await?;
        if left_out > 0 {
            let is_acked = sending.settle().await?;
            let fate = match (sending.count(), is_acked) {
                (0, _) => "there were no other lines".to_owned(),
                (1, true) => "the other line was acknowledged".to_owned(),
                (1, false) => "the other line is saved, not acknowledged yet".to_owned(),
                (count, true) => format!("the other {count} lines were acknowledged"),
                (count, false) => {
                    format!("the other {count} lines are saved, not acknowledged yet")
                }
            };
            let skipped = match left_out {
                1 => "1 line that cannot be a message".to_owned(),
                n => format!("{n} lines that cannot be messages"),
            };
            let text = format!("skipped {skipped}; {fate}");
            return Err(Failure::new(exit::REJECTED, text));
        }
    } else if !sending.keep(bodies).await? {
        return Err(Failure::new(
            exit::DISK,
            format!("{FULL}: nothing was saved, try again when some were sent"),
        ));
    }
    sending.settle().await
}

/// Returns the room of a name, if the account is a member.
pub(super) fn room(reader: &Reader, name: &str) -> Result<RoomId, Failure> {
    match reader.room_named(name.trim_start_matches('#'))? {
        Some((room, true)) => Ok(room),
        Some((_, false)) => Err(Failure::new(
            exit::REJECTED,
            format!("you are not in {name}: join it in the chat first"),
        )),
        None => Err(Failure::new(
            exit::REJECTED,
            format!("this profile does not know a room {name:?}: join it in the chat first"),
        )),
    }
}

/// Returns the messages to send, all checked before the first one is saved.
fn bodies(options: &SendOptions) -> Result<Vec<String>, Failure> {
    let text = if options.text.is_empty() {
        stdin()?
    } else {
        options.text.join(" ")
    };
    let text = text.replace("\r\n", "\n");
    let bodies: Vec<_> = if options.lines {
        text.lines().collect()
    } else {
        vec![text.trim_end_matches(['\n', '\r'])]
    };
    let bodies: Vec<_> = bodies
        .into_iter()
        .filter(|body| !body.trim().is_empty())
        .map(str::to_owned)
        .collect();
    if bodies.is_empty() {
        return Err(Failure::usage(
            "nothing to send: add a text, or pipe one in",
        ));
    }
    bodies.iter().try_for_each(|body| check(body, "the text"))?;
    Ok(bodies)
}

fn stdin() -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        print::note("write the message; Ctrl-D on an empty line sends it, Ctrl-C cancels");
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(TEXT_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 == TEXT_BYTES_MAX {
        return Err(too_long("the text"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(
            exit::REJECTED,
            format!("stdin is not UTF-8 (byte {at}): convert it first; nothing was saved"),
        )
    })
}
