//! Stops a client of the demo, like a closed laptop: nothing of it runs, and everything else continues.

use std::sync::mpsc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A runtime whose only thread is stopped, until this is dropped.
pub(super) struct Frozen(#[expect(dead_code, reason = "its end is the signal")] mpsc::Sender<()>);

/// Stops the only thread of a runtime. Returns once it is stopped.
pub(super) async fn freeze(runtime: &Handle) -> Frozen {
    let (thaw, thawed) = mpsc::channel::<()>();
    let (stopping, stopped) = oneshot::channel();
    runtime.spawn(async move {
        let _ = stopping.send(()); // received below
        let _ = thawed.recv(); // blocks the thread on purpose, until its sender is dropped
    });
    let _ = stopped.await; // an ended runtime is stopped, too
    Frozen(thaw)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn frozen_runtime_runs_nothing_until_it_is_thawed() {
        let (handle, got) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            let (end, ended) = oneshot::channel::<()>();
            handle
                .send((runtime.handle().clone(), end))
                .expect("received");
            let _ = runtime.block_on(ended);
        });
        let (runtime, end) = got.recv().expect("a runtime");
        let frozen = freeze(&runtime).await;
        let count = Arc::new(AtomicU32::new(0));
        let counted = count.clone();
        let (done, is_done) = oneshot::channel();
        runtime.spawn(async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = done.send(());
        });
        tokio::task::yield_now().await;
        assert_eq!(count.load(Ordering::SeqCst), 0);
        drop(frozen);
        is_done.await.expect("it runs again");
        assert_eq!(count.load(Ordering::SeqCst), 1);
        drop(end);
        thread.join().expect("ends");
    }
}
