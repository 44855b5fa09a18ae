//! The show: five acts in which a naive chat and Landfall get the same keys and the same faults.
//!
//! `acts` are the stories, which a [`director`] plays on the stage. The [`recorder`] writes down
//! everything that happens as one list of [`event`]s; the [`model`] is computed from that list
//! alone: what both chats show, the `ladder`, the captions and the `score`.

mod acts;
mod clock;
mod director;
mod event;
mod frame;
mod gauges;
mod ladder;
mod model;
mod naive_screen;
mod net;
mod palette;
mod player;
mod recorder;
mod report;
mod score;
mod screen;
mod view;

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

pub(super) use self::acts::ACTS;
pub(super) use self::clock::Pace;
use self::director::{ActError, Director, END};
use self::event::{ShowEvent, TypedLine};
use self::recorder::{Recorder, Watchers};
use self::report::{LineFormat, Report};
use super::fault::Fault;
use super::naive::Repair;
use super::proof::Proof;
use super::stage::{Cast, Stage};
use crate::chaos::Event;
use crate::cli::exit::{self, Failure};
use crate::config::Config;

/// The one behind the faulty proxy.
const ME: &str = "ana";
/// Bob, and ten colleagues.
const OTHERS: [&str; 11] = [
    "bob", "kim", "lee", "max", "eva", "tom", "ida", "sam", "zoe", "jon", "liv",
];
/// Ends with this when a promise was broken, or an act saw nothing happen.
const BROKEN: u8 = 1;
/// Ends with this when it was interrupted, as shells report a program that ended by SIGINT.
const INTERRUPTED: u8 = 130;

/// What is played, and how.
pub(super) struct ShowOptions {
    /// Only this act, from 1.
    pub(super) act: Option<u8>,
    /// No fault is injected: the acts must fail.
    pub(super) without_fault: bool,
    /// An object per line.
    pub(super) json: bool,
}

/// Plays in a terminal.
pub(super) fn run_in_terminal(config: &Config, act: Option<u8>) -> Result<u8, Failure> {
    screen::run(config, act)
}

/// Plays without a screen, and prints what happens.
pub(super) fn run_headless(options: &ShowOptions) -> Result<u8, Failure> {
    let recorder = Recorder::new(ME);
    let mut stage = set_stage(&recorder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let watchers = Watchers::start(&recorder, &stage.me, &stage.others[0])?;
        let format = if options.json { LineFormat::Json } else { LineFormat::Plain };
        let report = Report::start(&recorder, format);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut director = Director::new(&mut stage, recorder.clone(), Pace::instant(), !options.without_fault);
        let failed = tokio::select! {
            played = play(&mut director, options.act) => played.err().map(|error| (BROKEN, error.to_string())),
            _ = tokio::signal::ctrl_c() => Some((INTERRUPTED, "interrupted".to_owned())),
            _ = terminate.recv() => Some((INTERRUPTED, "interrupted".to_owned())),
        };
        let proof = proof_of(&mut stage).await?;
        let why = failed.as_ref().map(|(_, why)| why.as_str());
        report.end(&recorder, &proof, why).await;
        drop(watchers);
        Ok(match failed {
            _ if !proof.holds() => BROKEN,
            Some((code, _)) => code,
            None => exit::OK,
        })
    })
}

async fn play(director: &mut Director<'_>, act: Option<u8>) -> Result<(), ActError> {
    match act {
        Some(act) => acts::play(director, act).await,
        None => {
            for act in 1..=ACTS as u8 {
                acts::play(director, act).await?;
            }
            Ok(())
        }
    }
}

/// The proof, after everything that is still under way has arrived. Ends all clients.
async fn proof_of(stage: &mut Stage) -> Result<Proof, Failure> {
    if !stage.proof()?.holds() {
        stage.carry_out(Fault::Pass).await?; // an act was left in the middle
        let _ = timeout(END, stage.same_everywhere()).await; // the proof reports what differs
    }
    for person in stage.people() {
        person.running.client.quit().await;
    }
    stage.proof()
}

/// Sets up servers, proxies and people, all of whose events are recorded.
fn set_stage(recorder: &Arc<Recorder>) -> Result<Stage, Failure> {
    let (on_event, on_naive) = (recorder.clone(), recorder.clone());
    let mut stage = Stage::set(Cast {
        me: ME,
        others: &OTHERS,
        naive: &[Repair::None],
        on_event: Box::new(move |event: Event| on_event.record(ShowEvent::Proxy(event.what))),
        on_naive: Arc::new(move |news| on_naive.record(ShowEvent::Naive(news))),
    })?;
    for person in std::iter::once(&mut stage.me).chain(&mut stage.others) {
        let (recorder, author) = (recorder.clone(), person.name);
        person.author.reports_to(Arc::new(move |id, text| {
            let text = text.into();
            recorder.record(ShowEvent::Typed(TypedLine { author, id, text }));
        }));
        if author != ME
            && let Some(naive) = stage.naive.first_mut()
        {
            person.author.types_into(naive.add_chat(author));
        }
    }
    Ok(stage)
}
