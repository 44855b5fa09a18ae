//! Carries out what the keys of the demo say, lets the others talk, copies the server now and then,
//! and proves it at the end.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fault::Fault;
use super::people::Talks;
use super::proof::Proof;
use super::stage::{Gauge, Stage};
use super::teller::Teller;
use super::tour::Tour;
use super::values::Values;
use crate::cli::exit::Failure;
use crate::client::actor::Client;
use crate::client::counted;
use crate::client::session::Status;
use crate::tui::PanelEvent;

/// How old the copy is at least that the server is put back from; at most twice as old.
const COPY_EVERY: Duration = Duration::from_secs(15);
/// Rest between the stations of a tour, for people who read.
const PAUSE: Duration = Duration::from_secs(4);
/// Rest between two figures.
const FIGURES: Duration = Duration::from_millis(500);
/// People who talk on are waited for so often.
const SETTLES: u32 = 5;
/// How long what is still on its way may take at the end.
const END: Duration = Duration::from_secs(60);

/// Directs until nobody presses keys any more.
pub(super) async fn direct(
    mut stage: Stage,
    teller: &Teller,
    mut done: mpsc::UnboundedReceiver<PanelEvent>,
    begins_with_tour: bool,
) -> Result<Proof, Failure> {
    let (mut talks, gauge) = (Talks::of_machines(&stage), Gauge::of(&stage)?);
    talks.add_people(&stage);
    let (values, client) = (talks.values.clone(), stage.me.running.client.clone());
    let status = stage.me.running.client.status();
    let result = tokio::select! {
        result = keys(&mut stage, teller, &values, &mut done, begins_with_tour) => result,
        () = report_links(status, teller) => Ok(()),
        failure = report_figures(&client, &values, &gauge, teller) => Err(failure),
    };
    if let Err(failure) = result {
        teller.did(&format!(
            "the demo has to end here ({failure}): Ctrl-Q ends it"
        ));
        while done.recv().await.is_some() {} // until the chat is closed
    }
    drop(talks);
    stage.carry_out(Fault::Pass).await?;
    stage.me.come_back()?; // closing the chat ended its link
    let _ = timeout(END, stage.same_everywhere()).await; // the proof tells what is not
    let proof = stage.last_proof().await;
    for person in stage.people() {
        person.running.client.quit().await;
    }
    proof
}

async fn keys(
    stage: &mut Stage,
    teller: &Teller,
    values: &Values,
    done: &mut mpsc::UnboundedReceiver<PanelEvent>,
    begins_with_tour: bool,
) -> Result<(), Failure> {
    let mut copy = tokio::time::interval(COPY_EVERY);
    let mut is_whole = true;
    let mut next = begins_with_tour.then_some(Fault::Tour);
    teller.did("ana, bob and you are in the lobby; keys break the link between you and the server");
    loop {
        if let Some(fault) = next.take() {
            is_whole = fault == Fault::Pass || (is_whole && !fault.lasts());
            teller.broke(fault);
            if fault == Fault::Tour {
                stage.carry_out(Fault::Pass).await?;
                match tour(stage, teller, values, done).await {
                    None => return Ok(()),
                    Some(Ok(())) => teller.toured(&format!(
                        "{}; keys break things again",
                        settled_proof(stage).await?
                    )),
                    Some(Err(failure)) => {
                        teller.toured(&format!(
                            "the tour stumbled ({failure}); keys break things again"
                        ));
                        stage.carry_out(Fault::Pass).await?;
                    }
                }
            } else {
                stage.carry_out(fault).await?;
            }
        }
        tokio::select! {
            status_now = done.recv() => match status_now {
                Some(PanelEvent::Pressed(key)) => next = Fault::of_key(key),
                Some(other) => stage.me.author.note(other),
                None => return Ok(()),
            },
            // A copy of a server that is broken, or that was just put back, shows nothing.
            _ = copy.tick(), if is_whole => stage.copy_for_later()?,
        }
    }
}

/// A tour; what is typed meanwhile is noted, and keys wait for its end. Nothing, when no visitor is
/// there any more.
async fn tour(
    stage: &mut Stage,
    teller: &Teller,
    values: &Values,
    done: &mut mpsc::UnboundedReceiver<PanelEvent>,
) -> Option<Result<(), Failure>> {
    let author = stage.me.author.clone();
    let mut tour = Tour {
        stage,
        teller,
        values,
        pause: PAUSE,
    };
    let mut tour = std::pin::pin!(tour.run());
    loop {
        tokio::select! {
            toured = &mut tour => return Some(toured),
            status_now = done.recv() => match status_now {
                Some(other) => author.note(other),
                None => return None,
            },
        }
    }
}

/// The proof, once what people say all the time has come through; the last one, if it never does.
async fn settled_proof(stage: &Stage) -> Result<Proof, Failure> {
    let mut proof = stage.proof()?;
    for _ in 0..SETTLES {
        if proof.holds() {
            break;
        }
        let _ = timeout(END, stage.same_everywhere()).await; // the proof tells what is not
        proof = stage.proof()?;
    }
    Ok(proof)
}

/// Tells the figures of both kinds of traffic, for as long as they can be read, and each sending
/// again.
async fn report_figures(
    client: &Client,
    values: &Values,
    gauge: &Gauge,
    teller: &Teller,
) -> Failure {
    let mut every = tokio::time::interval(FIGURES);
    let mut last = (0, 0);
    loop {
        every.tick().await;
        let passed = client
            .details()
            .await
            .map(|details| details.of_process)
            .unwrap_or_default();
        let (again, known) = (
            passed.resent.saturating_sub(last.0),
            passed.deduplicated.saturating_sub(last.1),
        );
        if again > 0 {
            teller.happened(&format!(
                "sent {} again",
                counted(again, "message", "messages")
            ));
        }
        if known > 0 {
            teller.happened(&format!("{known} the server had already"));
        }
        last = (passed.resent, passed.deduplicated);
        match gauge.figures() {
            Ok(messages) => teller.figures(format!("{messages} · {}", values.figures().now())),
            Err(failure) => return failure,
        }
    }
}

/// Tells each change of the link's state.
pub(super) async fn report_links(
    mut status: tokio::sync::watch::Receiver<Status>,
    teller: &Teller,
) {
    let (mut last, mut was_healing) = (None, false);
    loop {
        let status_now = status.borrow_and_update().clone();
        let is_healing = status_now.rooms.values().any(|room| room.healing);
        if is_healing && !was_healing {
            teller.happened("found where the two logs part; each one gives back what is theirs");
        }
        was_healing = is_healing;
        if last != Some(status_now.link.phase()) {
            last = Some(status_now.link.phase());
            teller.link(&status_now.link);
        }
        if status.changed().await.is_err() {
            return std::future::pending().await; // the end of the link is not the end of the demo
        }
    }
}
