//! Act 4: 5,000 messages are missed.

use crate::cli::demo::naive::Repair;
use crate::cli::demo::show::director::{ActError, Director};
use crate::cli::demo::show::event::ShowEvent;
use crate::cli::demo::show::model::Model;
use crate::cli::demo::show::part::PartKind;
use crate::cli::demo::stage::MyAction;
use crate::client::grouped;
use crate::client::link::LinkPhase;
use crate::tui::FrameWhat;

const NIGHT: &str = "good night";
const DINNER: &str = "dinner is at eight, at Lee's";
/// Lines of each colleague: one burst, which the server accepts at once.
const LINES_EACH: usize = 500;
/// Bytes per second while the gap is filled, so that it can be watched.
const RATE: &str = "rate 300000";
/// Pages until the filling gets its caption.
const PAGES: usize = 6;

pub(super) async fn play(show: &mut Director<'_>) -> Result<(), ActError> {
    show.begin(PartKind::Act, 4, "away for a day".into(), Repair::SendAgain)
        .await?;
    show.stable().await;
    show.types("ana", NIGHT).await?;
    show.until_arrived(&[NIGHT]).await?;
    let before = show.present(|model| model.tally.newest());
    show.mine(MyAction::Stop).await;
    show.fault(&["cut"]).await;
    show.until_reset().await?;
    show.caption(
        "Ana is away.",
        "Her computer sleeps, without a network. The others write: dinner moves to eight, at Lee's.",
        format!("10 devices × {LINES_EACH} lines; Landfall syncs each to disk before it confirms it"),
    );
    let stored = show.present(|model| model.score().naive.arrived);
    let total = write_all(show).await?;
    let has_all = |model: &Model| {
        model.tally.newest().since(before) >= total && model.score().naive.arrived - stored >= total
    };
    show.until_model("both servers have all lines", has_all)
        .await?;
    let head = show.present(|model| model.tally.newest());
    show.caption(
        "5,000 messages without her.",
        "A day's talk, here in seconds. One of them matters to Ana: dinner is at eight.",
        format!(
            "the server's newest number is {}; Ana has {before}",
            grouped(head.0)
        ),
    );
    show.read().await;

    show.fault(&["pass", RATE]).await;
    show.mine(MyAction::Continue).await;
    let is_opened = |event: &ShowEvent| matches!(event, ShowEvent::Frame(frame) if matches!(frame.what, FrameWhat::Opened { .. }));
    show.until("Landfall opens the room", is_opened).await?;
    show.caption(
        "Landfall says what it has.",
        "Landfall sends the number of its last message. The naive chat just gets the last 50 lines.",
        format!(
            "{} missing: more than 1,000, so it starts near the newest",
            grouped(head.since(before))
        ),
    );
    let is_newest =
        |event: &ShowEvent| matches!(event, ShowEvent::Screen(screen) if screen.missing > 0);
    show.until("the newest messages are shown", is_newest)
        .await?;
    show.caption(
        "The newest first, the gap marked.",
        "Landfall shows the newest of 5,000 messages at once, marks what is missing, and loads it.",
        "200 before the newest; then the gap, 200 a page".to_owned(),
    );
    let mut pages = 0;
    show.until("the gap is being filled", |event| {
        if let ShowEvent::Frame(frame) = event
            && frame.what == FrameWhat::Fetch
        {
            pages += 1;
        }
        pages > PAGES
    })
    .await?;
    show.caption(
        "The gap fills, oldest first.",
        "Ana reads on; what she reads does not move. The number at the gap falls to zero.",
        format!(
            "{} pages of 200 messages, over 300 kB/s",
            (total - 200) / 200
        ),
    );
    let is_whole = |model: &Model| {
        model.link.phase() == LinkPhase::Connected
            && model.screen.missing == 0
            && model.naive.is_connected
    };
    show.until_model("the gap is filled", is_whole).await?;
    show.is_about(Some(show.recorder.now()));
    show.search(DINNER)?;
    let found = show.present(|model| model.tally.is_seen(DINNER));
    show.caption(
        "Dinner is at eight.",
        if found {
            "Ana looks for it: both chats have the line in the middle."
        } else {
            "Ana looks for it: Landfall has the line. The naive chat has no sign that messages are missing."
        },
        format!(
            "no number is missing · naive skipped {}",
            grouped(show.present(|model| model.tally.skipped().len() as u64))
        ),
    );
    show.read().await;
    Ok(())
}

/// Each colleague writes a burst. Returns the number of all lines.
async fn write_all(show: &Director<'_>) -> Result<u64, ActError> {
    let colleagues: Vec<_> = show
        .stage
        .others
        .iter()
        .skip(1)
        .map(|person| (person.name, person.author.clone()))
        .collect();
    for (at, (name, author)) in colleagues.iter().enumerate() {
        let lines = (1..=LINES_EACH).map(|n| match (at, n) {
            (0, n) if n == LINES_EACH / 2 => DINNER.to_owned(),
            _ => format!("build {name}-{n} is green"),
        });
        author.send_all(lines).await?;
    }
    Ok((colleagues.len() * LINES_EACH) as u64)
}
