//! Act 3: a line arrives, and only its answer is lost.

use crate::chaos::What;
use crate::cli::demo::naive::{NaiveNews, Repair};
use crate::cli::demo::show::director::{ActError, Director};
use crate::cli::demo::show::event::ShowEvent;
use crate::cli::demo::show::model::Model;
use crate::cli::demo::show::part::PartKind;
use crate::tui::FrameWhat;

const PAY: &str = "please pay Kim 200 today";
const PAID: &str = "paid, 14:20";

pub(super) async fn play(show: &mut Director<'_>) -> Result<(), ActError> {
    show.begin(
        PartKind::Act,
        3,
        "the lost answer".into(),
        Repair::SendAgain,
    )
    .await?;
    show.stable().await;
    let lines = Repair::SendAgain.lines_of_code();
    show.caption(
        "A better naive chat.",
        "Now the naive chat sends again what was not answered. That is the usual first repair.",
        format!("{lines} lines of code; it keeps unanswered lines in memory"),
    );
    show.read().await;

    // The ack and the entry for Landfall, also on its next connection; the echo for the naive chat.
    show.fault(&["swallow ack 1", "swallow entries 2", "swallow line 1"])
        .await;
    show.types("ana", PAY).await?;
    let both_have = |model: &Model| model.tally.is_logged(PAY) && model.tally.is_stored(PAY);
    show.until_model("both servers have the line", both_have)
        .await?;
    let seq = show.present(|model| model.tally.newest());
    show.caption(
        "The server has the line.",
        "Ana asks Bob to pay Kim 200. The request has arrived; the answer to it is on its way.",
        format!("appended as number {seq}; the ack was sent after the commit"),
    );
    let is_swallowed =
        |event: &ShowEvent| matches!(event, ShowEvent::Proxy(What::Swallowed { .. }));
    show.until("an answer is lost", is_swallowed).await?;
    let lost_at = show.event_at();
    let (mut ack, mut entry, mut echo) = (false, false, false);
    show.until("all answers are lost", |event| {
        match event {
            ShowEvent::Proxy(What::Swallowed { kind, .. }) => match kind.as_str() {
                "ack" => ack = true,
                _ => entry = true,
            },
            ShowEvent::Naive(NaiveNews::Proxy(What::Swallowed { .. })) => echo = true,
            _ => {}
        }
        ack && entry && echo
    })
    .await?;
    show.fault(&["reset"]).await;
    show.until_reset().await?;
    show.is_about(lost_at);
    show.caption(
        "Only the answer is lost.",
        "Now no chat can know: did the line arrive or not? Both must send it again.",
        "ack and log frame lost in the proxy; the frame up was not".to_owned(),
    );
    let mut is_known_by_log = false;
    let mut is_sent_again = false;
    let id = show.present(|model| model.screen.message(PAY).map(|message| message.id));
    show.until("Landfall knows that its line arrived", |event| {
        let ShowEvent::Frame(frame) = event else {
            return false;
        };
        match &frame.what {
            FrameWhat::Send { id: sent, .. } => is_sent_again |= Some(*sent) == id,
            FrameWhat::Ack { id: acked, .. } => return Some(*acked) == id,
            FrameWhat::Entries { ids, .. } => {
                is_known_by_log |= id.is_some_and(|id| ids.contains(&id))
            }
            _ => {}
        }
        is_known_by_log && !is_sent_again
    })
    .await?;
    if is_sent_again {
        show.caption(
            "Same id: added once.",
            "Each Landfall message has an id made when Ana pressed Enter. The server knows it and adds nothing.",
            "deduplicated 1; (room, author, id) answered with its first number".to_owned(),
        );
    } else {
        show.caption(
            "Found it by its id.",
            "The new connection shows Landfall its own line in the log, so it need not send it again.",
            "its entry came before the line was sent again".to_owned(),
        );
    }
    show.repair();
    show.types("bob", PAID).await?;
    let is_over = |model: &Model| {
        model.screen.pending.is_empty()
            && model.screen.shows(PAID)
            && model.tally.is_seen(PAID)
            && model.tally.is_twice(PAY)
            && !model.naive.is_sending()
    };
    show.until_model("both chats have sent everything again", is_over)
        .await?;
    show.caption(
        "Naive asks Bob to pay twice.",
        "Sending again without an id trades a lost message for a doubled one.",
        "exactly-once effect = at-least-once sending + ids".to_owned(),
    );
    show.read().await;
    Ok(())
}
