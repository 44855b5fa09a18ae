//! `landfall send --lines`: each line of stdin is a message, committed as it arrives.

use std::io::{BufRead, Read as _};

use tokio::sync::mpsc;

use super::exit::{self, Failure};
use super::sending::{FULL, Sending, check};
use crate::print;
use crate::protocol::limits::BODY_BYTES_MAX;

/// Maximum lines in one transaction.
const BATCH_MAX: usize = 256;
/// Maximum bytes read of a line; a longer line does not fit in a message.
const LINE_BYTES_MAX: u64 = BODY_BYTES_MAX as u64 + 2;

/// A line with its number, from 1.
type InputLine = Result<(usize, String), Failure>;

/// Sends lines until the input ends. Reports and skips lines that cannot be messages. Returns the
/// number of skipped lines.
///
/// # Errors
/// When a line cannot be saved, or the input cannot be read; the lines before it are
/// saved.
pub(super) async fn send(sending: &mut Sending<'_>) -> Result<usize, Failure> {
    let (lines, mut read) = mpsc::channel(BATCH_MAX);
    std::thread::spawn(move || read_lines(&lines)); // ends with the input, or with the process
    let (mut batch, mut left_out) = (Vec::new(), 0);
    while read.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut bodies = Vec::new();
        let mut failed = None;
        for line in batch.drain(..) {
            match line {
                Ok(line) => bodies.push(line),
                Err(failure) if failure.code() == exit::REJECTED => {
                    print::note(failure.with("skipped"));
                    left_out += 1;
                }
                Err(failure) => failed = Some(failure),
            }
        }
        keep(sending, &bodies).await?;
        if let Some(failure) = failed {
            return Err(failure.with(format!("the {} lines before it are saved", sending.count())));
        }
    }
    if sending.count() == 0 && left_out == 0 {
        return Err(Failure::usage(
            "nothing to send: add a text, or pipe one in",
        ));
    }
    Ok(left_out)
}

/// Saves lines in order. While the outbox is full, waits until some messages are sent, if this
/// process has the connection.
async fn keep(sending: &mut Sending<'_>, lines: &[(usize, String)]) -> Result<(), Failure> {
    let mut rest = lines;
    let mut step = lines.len();
    while let Some((number, _)) = rest.first() {
        step = step.clamp(1, rest.len());
        let bodies: Vec<_> = rest[..step].iter().map(|(_, body)| body.clone()).collect();
        match sending.keep(&bodies).await {
            Ok(true) => {
                rest = &rest[step..];
                step = rest.len();
            }
            Ok(false) if step > 1 => step /= 2,
            Ok(false) if sending.has_link() => {
                print::note(format!(
                    "{FULL}: line {number} waits until some messages are sent"
                ));
                sending.some_left().await?;
                step = rest.len();
            }
            Ok(false) => {
                let what = format!("{FULL}: line {number} and all later lines were not saved");
                return Err(Failure::new(exit::DISK, what).with(format!(
                    "the {} lines before it were saved",
                    sending.count()
                )));
            }
            Err(failure) => {
                return Err(failure.with(format!(
                    "line {number} was not saved; the {} lines before it were saved",
                    sending.count()
                )));
            }
        }
    }
    Ok(())
}

fn read_lines(lines: &mpsc::Sender<InputLine>) {
    let mut input = std::io::stdin().lock();
    for number in 1.. {
        let mut bytes = Vec::new();
        let read = (&mut input)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut bytes)
            .and_then(|count| {
                let is_cut = count as u64 == LINE_BYTES_MAX && bytes.last() != Some(&b'\n');
                if is_cut {
                    input.skip_until(b'\n').map(|_| count)
                } else {
                    Ok(count)
                }
            });
        let is_over = read.is_err();
        let line = match read {
            Ok(0) => return,
            Ok(_) => line(bytes, number).transpose(),
            Err(error) => Some(Err(Failure::from(error))),
        };
        let Some(line) = line else { continue };
        if lines.blocking_send(line).is_err() || is_over {
            return;
        }
    }
}

/// Converts a line into a message; `None` for an empty line.
fn line(mut bytes: Vec<u8>, number: usize) -> Result<Option<(usize, String)>, Failure> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(
            exit::REJECTED,
            format!("line {number} is not UTF-8 (byte {at}): convert it first"),
        )
    })?;
    check(&text, &format!("line {number}"))?;
    Ok((!text.trim().is_empty()).then_some((number, text)))
}
