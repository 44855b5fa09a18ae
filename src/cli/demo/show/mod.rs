//! The show: five acts in which a naive chat and Landfall get the same keys and the same faults.
//!
//! A `program` is acts, or a `plan` from a file. A [`director`] plays it on the stage. The [`recorder`] writes down
//! everything that happens as one list of [`event`]s; the [`model`] is computed from that list
//! alone: what both chats show, the `ladder`, the captions and the `score`.

mod acts;
mod clock;
mod director;
mod event;
mod gauges;
mod ladder;
mod model;
mod naive_screen;
mod net;
mod palette;
mod part;
mod plan;
mod planned;
mod player;
mod program;
mod recorder;
mod replay;
mod report;
mod score;
mod screen;
mod talk;
mod view;

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use self::acts::ACTS;
use self::clock::Pace;
use self::director::{Director, END};
use self::event::{ShowEvent, TypedLine};
use self::gauges::GaugeTasks;
use self::part::PartKind;
pub(in crate::cli) use self::plan::USAGE as PLAN_USAGE;
use self::program::Program;
pub(in crate::cli) use self::program::scenarios;
use self::recorder::{Recorder, Watchers};
use self::replay::ReplayFile;
use self::report::{LineFormat, Report};
use self::screen::Motion;
use super::options::DemoOptions;
use super::proof::Proof;
use super::stage::{Cast, Stage};
use crate::chaos::Event;
use crate::cli::exit::{self, Failure};
use crate::config::Config;

/// The one behind the faulty proxy.
const ME: &str = "ana";
/// Bob, Kim, whose live values everybody gets, and nine more colleagues.
const OTHERS: [&str; 11] = [
    "bob", "kim", "lee", "max", "eva", "tom", "ida", "sam", "zoe", "jon", "liv",
];
/// A smaller terminal gets lines, in columns and rows.
const SMALLEST: (u16, u16) = (60, 16);
/// Ends with this when a promise was broken, or an act saw nothing happen.
const BROKEN: u8 = 1;
/// Ends with this when it was interrupted, as shells report a program that ended by SIGINT.
const INTERRUPTED: u8 = 130;

fn program_of(options: &DemoOptions) -> Result<Program, Failure> {
    match &options.scenario {
        Some(name) => Program::of_scenario(name),
        None if options
            .act
            .is_some_and(|act| !(1..=usize::from(ACTS)).contains(&act)) =>
        {
            Err(Failure::usage(format!("the acts are 1 to {ACTS}")))
        }
        None if options.tour => Program::of_tour(),
        None if options.free => Ok(Program::of_free_play()),
        None => Ok(Program::of_acts()),
    }
}

/// Plays in a terminal.
pub(super) fn run_in_terminal(config: &Config, options: &DemoOptions) -> Result<u8, Failure> {
    let program = program_of(options)?;
    let report = options.report.as_deref().map(ReplayFile::new).transpose()?;
    let (columns, rows) = crossterm::terminal::size()?;
    let (least_columns, least_rows) = SMALLEST;
    if columns < least_columns || rows < least_rows {
        return match program.kind {
            PartKind::Free => Err(Failure::usage(format!(
                "free play needs a terminal of {least_columns} columns and {least_rows} rows"
            ))),
            _ => run_headless(options),
        };
    }
    let motion = if options.no_motion {
        Motion::Little
    } else {
        Motion::Full
    };
    screen::run(config, &program, options.act, report, motion)
}

/// Plays without a screen, and prints what happens.
pub(super) fn run_headless(options: &DemoOptions) -> Result<u8, Failure> {
    let program = program_of(options)?;
    let page = options.report.as_deref().map(ReplayFile::new).transpose()?;
    let first = options.act.unwrap_or(1);
    let last = options.act.unwrap_or(program.len());
    let recorder = Recorder::new(ME);
    let mut stage = set_stage(&recorder, &program)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let watchers = Watchers::start(&recorder, &stage.me, &stage.others[0])?;
        let pace = Pace::instant();
        let _gauges = GaugeTasks::start(&recorder, &pace, &stage.others[1], &stage.me);
        let format = if options.json {
            LineFormat::Json
        } else {
            LineFormat::Plain
        };
        let report = Report::start(&recorder, format);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut director =
            Director::new(&mut stage, recorder.clone(), pace, !options.without_fault);
        let play = async {
            for number in first..=last {
                program.play(&mut director, number).await?;
            }
            Ok::<_, director::ActError>(())
        };
        let failed = tokio::select! {
            played = play => played.err().map(|error| (BROKEN, error.to_string())),
            _ = tokio::signal::ctrl_c() => Some((INTERRUPTED, "interrupted".to_owned())),
            _ = terminate.recv() => Some((INTERRUPTED, "interrupted".to_owned())),
        };
        let proof = proof_of(&mut stage, &recorder).await?;
        let why = failed.as_ref().map(|(_, why)| why.as_str());
        report.end(&recorder, &proof, why).await;
        if let Some(page) = page {
            page.write(&program, &recorder, &proof, why)?;
        }
        drop(watchers);
        Ok(match failed {
            _ if !proof.holds() => BROKEN,
            Some((code, _)) => code,
            None => exit::OK,
        })
    })
}

/// The proof, after everything that is still under way has arrived. Ends the recording, and all
/// clients.
async fn proof_of(stage: &mut Stage, recorder: &Recorder) -> Result<Proof, Failure> {
    stage.repair().await?; // a part was left in the middle
    if !stage.proof()?.holds() {
        let _ = timeout(END, stage.same_everywhere()).await; // the proof reports what differs
    }
    recorder.stop();
    for person in stage.people() {
        person.running.client.quit().await;
    }
    let proof = stage.proof()?;
    // a store that is open when its folder is removed would save its data beside it
    for person in stage.people() {
        person.store().close().await;
    }
    Ok(proof)
}

/// Sets up servers, proxies and people, all of whose events are recorded.
fn set_stage(recorder: &Arc<Recorder>, program: &Program) -> Result<Stage, Failure> {
    let (on_event, on_naive) = (recorder.clone(), recorder.clone());
    let mut stage = Stage::set(Cast {
        me: ME,
        others: &program.others(),
        attempts: program.attempts(),
        on_event: Box::new(move |event: Event| on_event.record(ShowEvent::Proxy(event.what))),
        on_naive: Arc::new(move |news| on_naive.record(ShowEvent::Naive(news))),
    })?;
    for person in std::iter::once(&mut stage.me).chain(&mut stage.others) {
        let (recorder, author) = (recorder.clone(), person.name);
        person.author.reports_to(Arc::new(move |id, text| {
            let text = text.into();
            recorder.record(ShowEvent::Typed(TypedLine { author, id, text }));
        }));
        if author != ME {
            let keys = stage.naive.add_chat(author);
            person.author.types_into(keys);
        }
    }
    Ok(stage)
}
