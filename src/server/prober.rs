//! Whether a server works, for requests over HTTP: its reader reads, its committer writes, its
//! clock is plausible.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};

use super::answers;
use super::committer::{CommitJob, Committer};
use super::reader::StorageReader;
use crate::sqlite::DbError;

/// Minimum pause between two checks, since each writes to the disk; the last result is reused.
const CHECK_PAUSE: Duration = Duration::from_secs(1);
/// A disk that needs longer for one small write counts as failed.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A clock that is further behind the newest entry is reported, ms.
const CLOCK_BEHIND_MS_MAX: u64 = 10 * 60 * 1_000;

/// Checks a server. Clones share the last result.
#[derive(Clone, Debug)]
pub(super) struct Prober {
    last: Arc<Mutex<Option<ProbeResult>>>,
    clock_behind_ms: Option<u64>,
}

#[derive(Debug)]
struct ProbeResult {
    at: Instant,
    result: Result<(), String>,
}

impl Prober {
    /// Makes a prober. `newest` is the time of the newest entry, `now` the server's clock, ms since
    /// 1970.
    pub(super) fn new(newest: Option<u64>, now: u64) -> Self {
        let behind = newest.map(|newest| newest.saturating_sub(now));
        Self {
            last: Arc::default(),
            clock_behind_ms: behind.filter(|behind| *behind > CLOCK_BEHIND_MS_MAX),
        }
    }

    /// Returns a report if the clock was far behind the newest entry when the server started.
    pub(super) fn clock_behind(&self) -> Option<String> {
        let minutes = self.clock_behind_ms? / 60_000;
        Some(format!(
            "this machine's clock is {minutes} minutes behind the newest message: set the clock"
        ))
    }

    /// Reads and writes a small row.
    ///
    /// # Errors
    /// The failure, as text for the response.
    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    pub(super) async fn check(
        &self,
        reader: &StorageReader,
        committer: &Committer,
    ) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some(ProbeResult { at, result }) = &*last
            && at.elapsed() < CHECK_PAUSE
        {
            return result.clone();
        }
        let result = match timeout(ANSWER_MAX, read_and_write(reader, committer)).await {
            Ok(result) => result.map_err(|error| answers::in_public(&error).to_owned()),
            Err(_) => Err(format!(
                "the disk has not answered for {} s",
                ANSWER_MAX.as_secs()
            )),
        };
        *last = Some(ProbeResult {
            at: Instant::now(),
            result: result.clone(),
        });
        result
    }
}

async fn read_and_write(reader: &StorageReader, committer: &Committer) -> Result<(), DbError> {
    reader.read(|storage| storage.list_rooms("", 1)).await?;
    let (tx, rx) = oneshot::channel();
    committer.post(CommitJob::Probe(Box::new(move |probed| {
        let _ = tx.send(probed); // the check may have timed out
    })));
    rx.await.unwrap_or(Err(DbError::Stopped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_far_behind_the_newest_entry_is_reported() {
        let behind = |newest, now| Prober::new(newest, now).clock_behind();
        assert_eq!(behind(None, 0), None);
        assert_eq!(behind(Some(1_000), 2_000), None);
        assert_eq!(behind(Some(CLOCK_BEHIND_MS_MAX + 5), 5), None);
        let what = behind(Some(CLOCK_BEHIND_MS_MAX * 12), 0).expect("two hours");
        assert!(what.contains("120 minutes behind"), "{what}");
    }
}
