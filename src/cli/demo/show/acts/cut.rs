//! Act 1: the cable is pulled while a line is under way.

use crate::chaos::{Direction, What};
use crate::cli::demo::naive::Repair;
use crate::cli::demo::show::director::{ActError, Director};
use crate::cli::demo::show::event::ShowEvent;
use crate::cli::demo::show::part::PartKind;
use crate::client::brief;
use crate::client::link::LinkState;
use crate::tui::{FrameWhat, SeenFrame};

const HELLO: &str = "tunnel ahead, one moment";
const DOOR: &str = "I am at your door";
const KEY: &str = "the key is under the pot";
const CODE: &str = "the alarm code is 4711";

fn is_send(event: &ShowEvent, line: &str) -> bool {
    matches!(
        event,
        ShowEvent::Frame(SeenFrame { what: FrameWhat::Send { text, .. }, .. }) if &**text == line
    )
}

pub(super) async fn play(show: &mut Director<'_>) -> Result<(), ActError> {
    show.begin(PartKind::Act, 1, "the cut".into(), Repair::None)
        .await?;
    show.stable().await;
    show.types("bob", DOOR).await?;
    show.types("ana", HELLO).await?;
    show.until_arrived(&[DOOR, HELLO]).await?;
    show.caption(
        "Same keys, two chats.",
        "Left: a chat as tutorials build it. Right: Landfall. Each key of Ana goes into both.",
        "◌ saved   ○ sent   ✓ on the server   ■ written to that disk   ✂ lost".to_owned(),
    );
    show.read().await;

    // A stall first: a reset alone loses nothing that is not under way.
    show.fault(&["stall"]).await;
    show.types("ana", KEY).await?;
    let is_held = |what: &What| {
        matches!(
            what,
            What::Held {
                way: Direction::Up,
                ..
            }
        )
    };
    show.until("Landfall sends the line", |event| is_send(event, KEY))
        .await?;
    show.until_both("both networks keep the line back", is_held)
        .await?;
    show.caption(
        "A line is on its way.",
        "Both chats handed Ana's line to the network. Landfall first saved it on her disk.",
        "committed and synced in the outbox before it was sent".to_owned(),
    );
    show.read().await;

    show.fault(&["cut"]).await;
    show.until_reset().await?;
    show.caption(
        "The cable is cut.",
        "The line was inside the network and is gone. Landfall still has it on disk.",
        "connection reset; the outbox keeps the line: sent, not acknowledged".to_owned(),
    );
    let is_third = |event: &ShowEvent| {
        matches!(
            event,
            ShowEvent::Link(LinkState::Backoff { attempt: 3.., .. }, _)
        )
    };
    show.until("Landfall waits for its third attempt", is_third)
        .await?;
    show.types("ana", CODE).await?;
    let wait = show.present(|model| model.wait);
    show.caption(
        "Landfall waits, then tries again.",
        "New lines are saved. The waits grow and are random, so that a returning server is not flooded.",
        wait.map_or_else(String::new, |wait| {
            let (drawn, longest) = (wait.drawn.as_millis() as u64, wait.longest.as_millis() as u64);
            format!("full jitter: {} of at most {}, doubled up to 30 s", brief(drawn), brief(longest))
        }),
    );
    // While this is read, the cable is already back: longer cuts only make the delays longer.
    show.fault(&["pass"]).await;
    show.until_both("both networks pass again", What::is_pass)
        .await?;
    show.caption(
        "The cable is back.",
        "No key is pressed. Each chat reconnects at its next attempt.",
        "Landfall: the rest of its random delay; the naive chat: every 2 s".to_owned(),
    );
    let mut is_resumed = false;
    show.until("the server welcomes Landfall", |event| match event {
        ShowEvent::Frame(SeenFrame {
            what: FrameWhat::Welcome { resumed },
            ..
        }) => {
            is_resumed = *resumed;
            true
        }
        _ => false,
    })
    .await?;
    if is_resumed {
        show.caption(
            "Welcome back, same session.",
            "The server had kept Ana's session. Bob's screen never showed that she left or came back.",
            "session resumed: presence was kept, no leave and no join was sent".to_owned(),
        );
    }
    show.until("Landfall sends the line again", |event| is_send(event, KEY))
        .await?;
    show.caption(
        "Sent again, under the same id.",
        "Landfall had Ana's lines on disk and sends them until the server confirms. Nothing is added twice.",
        "resent 1, new 1".to_owned(),
    );
    let is_over = |model: &crate::cli::demo::show::model::Model| {
        model.screen.pending.is_empty()
            && model.tally.is_logged(KEY)
            && model.tally.is_logged(CODE)
            && model.tally.is_stored(CODE)
    };
    show.until_model("everything has arrived", is_over).await?;
    let lost = show.present(|model| model.score().naive.lost - model.act_score.naive.lost);
    show.caption(
        if lost > 0 {
            "Landfall kept it. Naive lost it."
        } else {
            "Landfall kept it."
        },
        "The naive chat shows \"sent\", but Bob never gets the line. Only the demo marks it in red.",
        format!("acknowledged after the commit on the server's disk · naive lost {lost}"),
    );
    show.read().await;
    Ok(())
}
