//! `landfall demo`: a server, a faulty link, other people and your chat, to break things and watch.
//!
//! `stage` is what is played with, `fault` what can be broken, `tour` breaks everything in turn, `teller` says what happens,
//! `proof` compares what was typed with what stands in the logs.

mod fault;
mod proof;
mod stage;
mod teller;
mod tour;

use std::time::Duration;

use self::stage::Stage;
use self::teller::{Teller, Voice};
use self::tour::Tour;
use super::exit::{self, Failure};

pub(super) struct Options {
    pub(super) tour: bool,
    pub(super) headless: bool,
    pub(super) json: bool,
}

/// Ends with this when the proof does not hold.
const BROKEN: u8 = 1;
/// Rest between stations for people who read along.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) fn run(options: &Options) -> Result<u8, Failure> {
    if !(options.headless && options.tour) {
        return Err(Failure::usage("so far there is `landfall demo --tour --headless [--json]`"));
    }
    let voice = if options.json { Voice::Json } else { Voice::Plain };
    let mut stage = Stage::set(|_| {})?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let proof = runtime.block_on(async {
        let teller = Teller::new(voice);
        let mut status = stage.me.running.client.status();
        let tell_links = async {
            let mut last = "";
            loop {
                let told = status.borrow_and_update().clone();
                if told.link.word() != last {
                    last = told.link.word();
                    teller.link(&told.link, told.last_cause.as_ref());
                }
                if status.changed().await.is_err() {
                    return std::future::pending::<()>().await;
                }
            }
        };
        let pause = if options.json { Duration::ZERO } else { PAUSE };
        let mut tour = Tour { stage: &mut stage, teller: &teller, pause };
        let toured = tokio::select! {
            toured = tour.run() => toured,
            () = tell_links => Ok(()),
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        if let Err(failure) = &toured {
            eprintln!("landfall: {failure}"); // the proof tells what came of it
        }
        let proof = stage.proof()?;
        teller.proof(&proof);
        for person in stage.people() {
            person.running.client.quit().await;
        }
        Ok::<_, Failure>(proof)
    })?;
    Ok(if proof.holds() { exit::OK } else { BROKEN })
}
