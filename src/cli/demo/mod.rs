//! `landfall demo`: a server, a faulty link, other people and your chat, to break things and watch.
//!
//! `show` plays the five acts. For free play and the tour, `stage` has the server, the proxy and the
//! people (`person`, `author`), `copies` are of its servers' data, `fault` lists what can be broken,
//! `people` chat and `values` are published, `tour` shows one fault after the other, `director` carries
//! out keys, `teller` reports, and `proof` compares typed messages with the logs; `naive` is a chat that
//! gets the same keys and faults.

mod author;
mod copies;
mod director;
mod fault;
mod naive;
mod options;
mod people;
mod person;
mod proof;
mod show;
mod stage;
mod story;
mod teller;
mod tour;
mod values;

use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::fault::Fault;
pub(super) use self::options::DemoOptions;
use self::proof::Proof;
use self::show::ShowOptions;
use self::stage::{Cast, Stage};
use self::teller::{Teller, Voice};
use self::tour::Tour;
use super::exit::{self, Failure};
use crate::config::Config;
use crate::tui::{self, SidePanel, Theme};

/// Ends with this when the proof does not hold.
const BROKEN: u8 = 1;
/// Ends with this when somebody stopped it, as shells say it of a program that ended by SIGINT.
const INTERRUPTED: u8 = 130;
/// Rest between stations for people who read along.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) fn run(config: &Config, options: &DemoOptions) -> Result<u8, Failure> {
    if options.headless && !options.tour {
        return show::run_headless(&ShowOptions {
            act: options.act,
            without_fault: options.without_fault,
            json: options.json,
        });
    }
    if options.headless {
        return without_screen(options);
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "the demo needs a terminal: without one there is `landfall demo --headless`",
        ));
    }
    if options.tour || options.free {
        return with_screen(config, options.tour);
    }
    show::run_in_terminal(config, options.act)
}

/// The tour, as lines.
fn without_screen(options: &DemoOptions) -> Result<u8, Failure> {
    let voice = if options.json {
        Voice::Json
    } else {
        Voice::Plain
    };
    let mut stage = Stage::set(Cast::of_tour())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let teller = Teller::new(voice);
        let status = stage.me.running.client.status();
        let pause = if options.json { Duration::ZERO } else { PAUSE };
        let talks = people::Talks::of_machines(&stage);
        let mut tour = Tour { stage: &mut stage, teller: &teller, values: &talks.values, pause };
        let mut terminate = signal(SignalKind::terminate())?;
        let (code, failed) = tokio::select! {
            biased; // what the link goes through is told before what the tour makes of it
            () = director::report_links(status, &teller) => (exit::SOFTWARE, Some("the link's task ended".to_owned())),
            toured = tour.run() => match toured {
                Ok(()) => (exit::OK, None),
                Err(failure) => (BROKEN, Some(failure.to_string())),
            },
            _ = tokio::signal::ctrl_c() => (INTERRUPTED, Some("interrupted".to_owned())),
            _ = terminate.recv() => (INTERRUPTED, Some("interrupted".to_owned())),
        };
        let proof = stage.last_proof().await?;
        teller.proof(&proof, failed.as_deref());
        for person in stage.people() {
            person.running.client.quit().await;
        }
        Ok(if proof.holds() { code } else { BROKEN })
    })
}

/// Your chat with the inspector open, and the board below it.
fn with_screen(config: &Config, begins_with_tour: bool) -> Result<u8, Failure> {
    let _log = super::logging::to_file(&config.log_file());
    let _ = writeln!(
        std::io::stdout(),
        "a server, two people and a faulty link are being set up …"
    );
    let stage = Stage::set(Cast::of_tour())?;
    let (store, client) = (stage.me.store().clone(), stage.me.running.client.clone());
    let teller = Arc::new(Teller::new(Voice::Board));
    let (done, told) = mpsc::unbounded_channel(); // bounded by what a person can do
    let board = SidePanel {
        keys: Fault::ALL
            .iter()
            .map(|entry| (entry.key, entry.name))
            .collect(),
        shown: teller.shown(),
        done,
    };
    let direct = move || -> Result<Proof, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(director::direct(stage, &teller, told, begins_with_tour))
    };
    let director = std::thread::Builder::new()
        .name("director".to_owned())
        .spawn(direct)?;
    let options = tui::ScreenOptions {
        theme: Theme::new(config.color, config.ascii),
        store,
        connect: Box::new(move || Ok(client)),
        status: super::chat::starting(),
        log_file: config.log_file(),
        pause: Box::new(|_| {}),
        notice: None,
        board: Some(board),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(tui::run(options));
    let _ = writeln!(std::io::stdout(), "what is still on its way arrives …");
    let proof = director
        .join()
        .map_err(|_| Failure::new(exit::SOFTWARE, "the demo's director ended"))??;
    let _ = writeln!(std::io::stdout(), "{proof}");
    ended.map_err(Failure::from)?;
    Ok(code(&proof))
}

const fn code(proof: &Proof) -> u8 {
    if proof.holds() { exit::OK } else { BROKEN }
}
