//! Act 2: a connection that is dead in both directions and looks alive.

use crate::chaos::{Direction, What};
use crate::cli::demo::naive::Repair;
use crate::cli::demo::show::director::{ActError, Director};
use crate::cli::demo::show::event::ShowEvent;
use crate::cli::demo::show::model::Model;
use crate::cli::demo::show::part::PartKind;
use crate::cli::demo::show::planned::is_attempt;
use crate::client::brief;
use crate::tui::FrameWhat;

const ALARM: &str = "alarm is off, thanks";
const OVEN: &str = "please turn off the oven";
const DID_YOU: &str = "did you do it?";
const STILL_THERE: &str = "still there?";

pub(super) async fn play(show: &mut Director<'_>) -> Result<(), ActError> {
    show.begin(
        PartKind::Act,
        2,
        "the silent connection".into(),
        Repair::None,
    )
    .await?;
    show.stable().await;
    show.types("bob", ALARM).await?;
    let both_see = |model: &Model| model.screen.shows(ALARM) && model.tally.is_seen(ALARM);
    show.until_model("Ana sees Bob's line in both chats", both_see)
        .await?;
    show.caption(
        "Ana sees a good connection.",
        "Both chats say \"connected\". Nothing on the screen will change when it dies.",
        "heartbeat every 30 s, nothing unanswered".to_owned(),
    );
    show.read().await;

    show.fault(&["half"]).await;
    show.types("ana", OVEN).await?;
    let is_dead =
        |way| move |what: &What| matches!(what, What::Dead { way: dead, .. } if *dead == way);
    show.until_both("both networks swallow the line", is_dead(Direction::Up))
        .await?;
    show.caption(
        "The connection died without a sign.",
        "The network swallows everything and reports nothing, as a router that forgot a connection does.",
        "no reset, no FIN: TCP would retry for minutes".to_owned(),
    );
    show.types("ana", DID_YOU).await?;
    show.types("bob", STILL_THERE).await?;
    show.until_both("both networks swallow Bob's line", is_dead(Direction::Down))
        .await?;
    // What lost bytes stays dead; new connections pass.
    if show.with_faults {
        show.repair();
    }
    show.caption(
        "\"Sent\" is not \"arrived\".",
        "No acknowledgement comes back. Landfall shows ○, not ✓, and starts to doubt.",
        "unanswered; suspicious after max(2 s, 4 × round-trip time)".to_owned(),
    );
    let is_ping = |event: &ShowEvent| matches!(event, ShowEvent::Frame(frame) if frame.what == FrameWhat::Ping);
    show.until("Landfall sends a ping", is_ping).await?;
    show.caption(
        "No answer. Landfall asks.",
        "No acknowledgement came, so Landfall sends a ping and waits 3 s. The naive chat waits for nothing.",
        "no answer for max(2 s, 4 × RTT): ping; its deadline: max(3 s, 4 × RTT)".to_owned(),
    );
    let began = show.recorder.now();
    show.until("Landfall gives the connection up", |event| {
        is_attempt(event, 1)
    })
    .await?;
    let took = show.recorder.now().saturating_sub(began).as_millis() as u64;
    show.caption(
        "Landfall gives this connection up.",
        "Silence is treated as a failure. A new connection is made; the lines are still on disk.",
        format!(
            "no pong within {}; an idle connection is noticed within 40 s",
            brief(took)
        ),
    );
    let is_over = |model: &Model| {
        model.screen.pending.is_empty()
            && [OVEN, DID_YOU, STILL_THERE]
                .iter()
                .all(|text| model.screen.shows(text))
            && [OVEN, DID_YOU]
                .iter()
                .all(|text| model.tally.is_logged(text))
    };
    show.until_model("Landfall has sent both lines, and received Bob's", is_over)
        .await?;
    let lost = show.present(|model| model.score().naive.lost - model.act_score.naive.lost);
    show.caption(
        match lost {
            2 => "Right: both arrived. Left: both lost.",
            _ => "Landfall's lines arrived.",
        },
        "The naive chat may say \"connected\" for hours. A restart helps, but its two lines are gone.",
        format!("resent 2, missed 1, received 1 · naive lost {lost}"),
    );
    show.read().await;
    Ok(())
}
