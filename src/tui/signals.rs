//! What the system asks of the screen: to end, to stop, to go on.

use std::io;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SignalChoice {
    End,
    Stop,
    /// It was stopped from outside, and goes on.
    GoOn,
}

/// The signals that a screen knows; listened to before anything is drawn, so that none of them ends
/// it by itself.
pub(super) struct RaisedSignals(Vec<(Signal, SignalChoice)>);

impl RaisedSignals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not let it.
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

    /// Waits for the next one. Nothing is lost when the waiting is given up.
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
