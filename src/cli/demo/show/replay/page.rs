//! PURE. The page itself: the proof, the player, the story, and the data that the script reads.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::data::data;
use super::steps::Replay;
use super::story::{escaped, story};
use crate::cli::demo::show::event::ActBegin;
use crate::cli::demo::show::part::PartKind;
use crate::cli::demo::show::score::{ChatScore, Score};
use crate::cli::demo::show::view::{ProofVerdict, costs, figures};
use crate::client::grouped;

const STYLE: &str = include_str!("../../../../../assets/replay/page.css");
const SCRIPT: &str = include_str!("../../../../../assets/replay/player.js");
const FRAME: &str = include_str!("../../../../../assets/replay/page.html");

/// Maximum length of the data and of the story, bytes.
const DATA_BYTES_MAX: usize = 250_000;
/// Pictures that follow each other sooner than this become one, if the data is too long at first.
const THIN: Duration = Duration::from_millis(50);
/// At this distance only captions have pictures of their own.
const THIN_MAX: Duration = Duration::from_secs(60);

/// The facts that the page shows beside the replay.
#[derive(Clone, Debug)]
pub(super) struct PageFacts {
    /// Day of the run, for people.
    pub(super) day: String,
    pub(super) kind: PartKind,
    /// Number of parts of the program.
    pub(super) parts: usize,
    /// Whether the logs of all people have every message once, in order.
    pub(super) landfall_holds: bool,
    /// Why the run did not come to its end.
    pub(super) failed: Option<String>,
    /// The figures of each act.
    pub(super) acts: Vec<(ActBegin, Score)>,
}

/// Returns the whole page: one file that loads nothing.
pub(super) fn page(mut replay: Replay, facts: &PageFacts) -> String {
    let mut json = as_script_text(&data(&replay, facts.parts));
    let mut time = THIN;
    while json.len() > DATA_BYTES_MAX && time < THIN_MAX {
        replay.thin(time);
        json = as_script_text(&data(&replay, facts.parts));
        time *= 2;
    }
    let score = replay.last().map(|last| last.score).unwrap_or_default();
    let length = replay.last().map_or(Duration::ZERO, |last| last.shown_at);
    let parts = [
        ("{{policy}}", policy()),
        ("{{style}}", STYLE.to_owned()),
        (
            "{{title}}",
            escaped(&format!(
                "Landfall demo, {}, {} min {} s",
                facts.day,
                length.as_secs() / 60,
                length.as_secs() % 60
            )),
        ),
        ("{{proof}}", proof(&score, facts)),
        ("{{story}}", story(&replay, facts.parts)),
        ("{{data}}", json),
        ("{{script}}", SCRIPT.to_owned()),
    ];
    filled(FRAME, &parts)
}

/// Replaces each place once, from left to right: what is filled in is not searched.
fn filled(frame: &str, parts: &[(&str, String)]) -> String {
    let mut page = String::new();
    let mut rest = frame;
    for (place, text) in parts {
        let Some((before, after)) = rest.split_once(place) else {
            debug_assert!(false, "the page has no {place}");
            continue;
        };
        page.push_str(before);
        page.push_str(text);
        rest = after;
    }
    page.push_str(rest);
    page
}

/// The page may use its own style and script, and load nothing (Content Security Policy 3).
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// JSON that cannot end the element around it.
fn as_script_text(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

fn proof(score: &Score, facts: &PageFacts) -> String {
    let verdict = ProofVerdict::of(&score.landfall, facts.landfall_holds);
    let class = if verdict.is_good { "h" } else { "b" };
    let failed = facts.failed.as_ref().map_or_else(String::new, |why| {
        format!(
            "<p class=b>The run did not come to its end: {}</p>",
            escaped(why)
        )
    });
    format!(
        "<h2 class={class}>{}</h2>\n<p>Same keys, same faults. The naive chat {}.</p>\n{failed}<div class=pair>{}{}</div>\n{}",
        escaped(&verdict.text),
        escaped(&costs(&score.naive)),
        card("the naive chat", &score.naive, true),
        card("Landfall", &score.landfall, false),
        table(facts),
    )
}

/// Three big figures.
fn card(name: &str, chat: &ChatScore, is_naive: bool) -> String {
    let figures: String = figures(chat, is_naive)
        .iter()
        .map(|figure| {
            let class = if figure.number > 0 { "b" } else { "s" };
            format!(
                "<div><b class={class}>{}</b><span>{}</span></div>",
                grouped(figure.number),
                figure.word
            )
        })
        .collect();
    let typed = grouped(chat.typed);
    format!(
        "<div class=card><h3>{name}</h3><div class=figures>{figures}</div><p class=d>of {typed} messages</p></div>"
    )
}

/// One row for each act.
fn table(facts: &PageFacts) -> String {
    let cell = |figure: u64| {
        let class = if figure > 0 { " class=b" } else { "" };
        format!("<td{class}>{}</td>", grouped(figure))
    };
    let row = |(act, score): &(ActBegin, Score)| {
        let chats: String = [score.naive, score.landfall]
            .iter()
            .map(|chat| {
                let seconds = chat.false_ms / 1_000;
                let [lost, twice, unseen] = [chat.lost, chat.twice, chat.unseen].map(cell);
                format!("{lost}{twice}{unseen}<td>{seconds} s</td>")
            })
            .collect();
        let typed = grouped(score.naive.typed);
        format!(
            "<tr><th scope=row>{} {}</th><td>{typed}</td>{chats}</tr>\n",
            act.number,
            escaped(&act.title)
        )
    };
    let rows: String = facts.acts.iter().map(row).collect();
    let columns = "<th>lost</th><th>twice</th><th>never seen</th><th>false</th>";
    format!(
        "<div class=scroll><table><thead><tr><th rowspan=2>{}</th><th rowspan=2>typed</th><th colspan=4>the naive chat</th><th colspan=4>Landfall</th></tr>\n<tr>{columns}{columns}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>",
        facts.kind.table_title()
    )
}
