//! The Unix signals of a screen: end, stop, continue.

use std::io;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The meaning of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SignalChoice {
    End,
    Stop,
    /// The process was stopped from outside, and is continued.
    GoOn,
}

/// The signals that a screen handles. They are registered before anything is drawn, so that none of
/// them ends the process by default.
pub(super) struct RaisedSignals(Vec<(Signal, SignalChoice)>);

impl RaisedSignals {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the system rejects the signal handlers.
    pub(super) fn listen() -> io::Result<Self> {
        let ends = [
            Number::TERM,
            Number::INT,
            Number::HUP,
            Number::QUIT,
            Number::USR1,
            Number::USR2,
        ];
        let ends = ends.into_iter().map(|number| (number, SignalChoice::End));
        let others = [
            (Number::TSTP, SignalChoice::Stop),
            (Number::CONT, SignalChoice::GoOn),
        ];
        let listen = |(number, asked): (Number, SignalChoice)| {
            Ok((signal(SignalKind::from_raw(number.as_raw()))?, asked))
        };
        ends.chain(others)
            .map(listen)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Waits for the next signal. Cancelling the wait loses nothing.
    pub(super) async fn next(&mut self) -> SignalChoice {
        let waiting = self.0.iter_mut().map(|(signal, asked)| {
            Box::pin(async move {
                signal.recv().await;
                *asked
            })
        });
        futures_util::future::select_all(waiting).await.0
    }
}
