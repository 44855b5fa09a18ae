//! Health of a server, for `/healthz`: the last error that each of its threads got from the
//! storage.

use std::sync::Arc;

use tokio::sync::watch;

use crate::sqlite::DbError;

/// The health of the storage, shared by the threads that use it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<watch::Sender<HealthState>>,
}

#[derive(Clone, Debug, Default)]
enum HealthState {
    #[default]
    Well,
    /// The storage is damaged: nothing more is acknowledged, but reads are served.
    Damaged(DbError),
    /// The server has to end: the storage differs from its state, or one of its threads has ended.
    Over(DbError),
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: Arc::new(watch::Sender::default()),
        }
    }
}

impl Health {
    /// Notes an error of the storage.
    pub(super) fn on_error(&self, error: &DbError) {
        let next = match error {
            DbError::Corrupt { .. } => HealthState::Damaged(error.clone()),
            DbError::Replaced { .. }
            | DbError::Overwritten { .. }
            | DbError::Newer { .. }
            | DbError::Stopped => HealthState::Over(error.clone()),
            error if error.needs_decision() => HealthState::Over(error.clone()),
            _ => return, // temporary
        };
        self.state.send_if_modified(|state| {
            let is_worse = matches!(
                (&*state, &next),
                (HealthState::Well, _) | (HealthState::Damaged(_), HealthState::Over(_))
            );
            if is_worse {
                tracing::error!(%error, "nothing more is acknowledged");
                *state = next;
            }
            is_worse
        });
    }

    /// Returns why nothing may be acknowledged any more.
    pub(super) fn refuses(&self) -> Option<DbError> {
        match &*self.state.borrow() {
            HealthState::Well => None,
            HealthState::Damaged(error) | HealthState::Over(error) => Some(error.clone()),
        }
    }

    /// Waits until the server has to end.
    pub(super) async fn over(&self) -> DbError {
        let mut state = self.state.subscribe();
        let over = state
            .wait_for(|state| matches!(state, HealthState::Over(_)))
            .await;
        match over.as_deref() {
            Ok(HealthState::Over(error)) => error.clone(),
            Ok(HealthState::Well | HealthState::Damaged(_)) | Err(_) => DbError::Stopped,
        }
    }
}

/// Guard of a server's thread: a panic of the thread ends the server.
pub(super) struct Watched(pub(super) Health);

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.on_error(&DbError::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn damage_stops_acks_and_lost_storage_the_server() {
        let health = Health::default();
        health.on_error(&DbError::Full);
        assert!(health.refuses().is_none(), "a full disk passes");
        health.on_error(&DbError::Corrupt {
            path: "server.db".into(),
            what: "a page".into(),
        });
        assert!(matches!(health.refuses(), Some(DbError::Corrupt { .. })));
        health.on_error(&DbError::Overwritten {
            path: "server.db".into(),
        });
        assert!(matches!(health.over().await, DbError::Overwritten { .. }));
    }

    #[tokio::test]
    async fn panicked_thread_ends_the_server() {
        let health = Health::default();
        let watched = Watched(health.clone());
        let thread = std::thread::spawn(move || {
            let _watched = watched;
            panic!("as planned");
        });
        assert!(matches!(health.over().await, DbError::Stopped));
        assert!(thread.join().is_err());
    }
}
