//! The thread that reads, beside the committer: pages, positions, accounts.

use tokio::sync::mpsc;

use super::health::{Health, Watched};
use super::storage::Storage;
use crate::sqlite::DbError;
use crate::system;

type ReadJob = Box<dyn FnOnce(&mut dyn Storage) + Send>;

/// A handle to the reader's thread. The limit on unanswered frames bounds the queue.
#[derive(Clone)]
pub(super) struct StorageReader {
    jobs: mpsc::UnboundedSender<ReadJob>,
    health: Health,
    /// Asks the writing thread to check the database files: a reader only sees that they are gone.
    check_storage: std::sync::Arc<dyn Fn() + Send + Sync>,
}

impl StorageReader {
    pub(super) fn start(
        mut storage: Box<dyn Storage>,
        health: Health,
        check_storage: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let watched = Watched(health.clone());
        let (jobs, mut inbox) = mpsc::unbounded_channel::<ReadJob>();
        let run = async move {
            let _watched = watched;
            while let Some(job) = inbox.recv().await {
                job(storage.as_mut());
            }
        };
        system::spawn_worker("log-reader", run)?;
        Ok(Self {
            jobs,
            health,
            check_storage: std::sync::Arc::new(check_storage),
        })
    }

    /// Runs a read on the reader's thread, and calls back from there.
    pub(super) fn post<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Storage) -> Result<T, DbError> + Send + 'static,
        answer: impl FnOnce(Result<T, DbError>) + Send + 'static,
    ) {
        // A stopped thread drops the job and with it the connection's callback, so the connection
        // ends.
        let (health, check_storage) = (self.health.clone(), self.check_storage.clone());
        let _ = self.jobs.send(Box::new(move |storage| {
            let result = read(storage);
            match &result {
                Err(DbError::Moved { .. }) => check_storage(),
                Err(error) => health.on_error(error),
                Ok(_) => {}
            }
            answer(result);
        }));
    }

    /// Runs a read on the reader thread and returns its result.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Storage) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.post(read, move |result| {
            let _ = tx.send(result); // the caller may have ended
        });
        rx.await.unwrap_or(Err(DbError::Stopped))
    }
}
