//! The one thread that reads, beside the committer: pages, positions, who is who.

use std::sync::mpsc;

use super::storage::Storage;
use crate::sqlite::DbError;

type Job = Box<dyn FnOnce(&mut dyn Storage) + Send>;

/// A handle to the reader's thread. What a connection may have outstanding bounds the queue.
#[derive(Clone)]
pub(super) struct Reader {
    jobs: mpsc::Sender<Job>,
}

impl Reader {
    pub(super) fn start(mut storage: Box<dyn Storage>) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let run = move || inbox.into_iter().for_each(|job| job(storage.as_mut()));
        std::thread::Builder::new().name("log-reader".to_owned()).spawn(run)?;
        Ok(Self { jobs })
    }

    /// Reads and calls back from the reader's thread.
    pub(super) fn post<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Storage) -> Result<T, DbError> + Send + 'static,
        answer: impl FnOnce(Result<T, DbError>) + Send + 'static,
    ) {
        // A thread that has stopped drops the job, and with it the connection's way to an answer: the link ends.
        let _ = self.jobs.send(Box::new(move |storage| answer(read(storage))));
    }

    /// Reads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Storage) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.post(read, move |result| {
            let _ = tx.send(result); // the caller may have gone
        });
        rx.await.unwrap_or(Err(DbError::Stopped))
    }
}
