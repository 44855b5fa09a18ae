//! Act 5: both servers come back with an old copy of their data.

use crate::cli::demo::naive::Repair;
use crate::cli::demo::process::ServerAction;
use crate::cli::demo::show::director::{ActError, Director};
use crate::cli::demo::show::event::ShowEvent;
use crate::cli::demo::show::model::Model;
use crate::cli::demo::show::part::PartKind;
use crate::cli::demo::show::planned::is_attempt;
use crate::client::grouped;
use crate::tui::FrameWhat;

const LINES: [(&str, &str); 4] = [
    ("ana", "Friday at ten, agreed?"),
    ("bob", "agreed, at the station"),
    ("ana", "I bring the tickets"),
    ("bob", "then I bring the coffee"),
];

pub(super) async fn play(show: &mut Director<'_>) -> Result<(), ActError> {
    let texts = LINES.map(|(_, text)| text);
    show.begin(
        PartKind::Act,
        5,
        "the restored server".into(),
        Repair::SendAgain,
    )
    .await?;
    show.stable().await;
    show.servers(ServerAction::Copy)?;
    show.caption(
        "A backup is made.",
        "The operator copies the disks of both servers. Afterwards, Ana and Bob write on.",
        "both servers write nothing while they are copied".to_owned(),
    );
    show.read().await;
    for (who, text) in LINES {
        show.types(who, text).await?;
    }
    show.until_arrived(&texts).await?;
    let all_shown = |model: &Model| texts.iter().all(|text| model.screen.shows(text));
    show.until_model("Ana sees all four lines", all_shown)
        .await?;
    let newest = show.present(|model| model.tally.newest());
    show.caption(
        "Confirmed and on disk.",
        "Four lines are confirmed. The backup does not have them.",
        format!("the newest number is {}", grouped(newest.0)),
    );
    show.read().await;

    show.servers(ServerAction::Restore)?;
    show.until("Landfall loses its connection", |event| {
        is_attempt(event, 1)
    })
    .await?;
    show.caption(
        "The server forgets four lines.",
        "The disk failed, and the backup is put back. Even lines with ✓ are gone there.",
        "SIGKILL, and the data replaced by the copy".to_owned(),
    );
    let is_diverged = |event: &ShowEvent| matches!(event, ShowEvent::Frame(frame) if frame.what == FrameWhat::Diverged);
    show.until(
        "the server does not have Landfall's last message",
        is_diverged,
    )
    .await?;
    show.caption(
        "Landfall compares histories.",
        "Both sides look for the last message that they share. The server lost everything after it.",
        "hash chain over ids; positions in doubling steps".to_owned(),
    );
    let mut again = 0;
    show.until("Landfall sends its lines again", |event| {
        if let ShowEvent::Frame(frame) = event
            && let FrameWhat::Send { text, .. } = &frame.what
            && texts.contains(&&**text)
        {
            again += 1;
        }
        again >= 2
    })
    .await?;
    show.caption(
        "The clients restore the server.",
        "Each client gives back its own lines, under their old ids: Ana two, and Bob two.",
        format!("sent again by Ana: {again}; Bob's client sends his"),
    );
    let is_over = |model: &Model| {
        model.screen.pending.is_empty()
            && texts
                .iter()
                .all(|text| model.screen.shows(text) && model.tally.is_logged(text))
            && model.naive.is_connected
    };
    show.until_model("all four lines are back", is_over).await?;
    let lost = show.present(|model| model.score().naive.lost - model.act_score.naive.lost);
    show.caption(
        if lost == 4 {
            "Four back. Four gone for ever."
        } else {
            "All four lines are back."
        },
        "Each is there once. The order may be new, but it is one for all. In the naive chat, all are gone.",
        format!("own order kept · naive lost {lost}"),
    );
    show.read().await;
    Ok(())
}
