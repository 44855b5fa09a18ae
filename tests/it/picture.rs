//! Screens of a terminal as an SVG: one of them, or one after the other. Each run of cells that
//! look the same is a piece of text of a given length, so that every font keeps the columns.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use vt100::{Cell, Color, Screen};

/// Size of a cell, and of the frame around all of them, px.
const WIDE: f32 = 8.4;
const HIGH: f32 = 16.4;
const EDGE: f32 = 14.0;
const FONT: &str = "ui-monospace,'SF Mono','DejaVu Sans Mono',Menlo,Consolas,monospace";
/// The sixteen colours, and those of paper and ink.
const COLORS: [&str; 16] = [
    "#30343f", "#e06c75", "#8cc570", "#e0b96a", "#6aa7f0", "#c08ae0", "#56c2cf", "#c8cdd6",
    "#737b8c", "#f08a92", "#a5d98c", "#f0d08c", "#8fc0ff", "#d6a8f0", "#80dce6", "#ffffff",
];

/// The colours of a terminal that programs do not choose.
#[derive(Clone, Copy)]
pub(crate) struct Background {
    paper: &'static str,
    ink: &'static str,
}

pub(crate) const DARK: Background = Background {
    paper: "#16181d",
    ink: "#d6dae2",
};
#[allow(dead_code, reason = "for pictures alone")]
pub(crate) const LIGHT: Background = Background {
    paper: "#ffffff",
    ink: "#24292f",
};

/// How a cell looks.
#[derive(Clone, PartialEq, Eq)]
struct Look {
    ink: String,
    paper: Option<String>,
    bold: bool,
    dim: bool,
}

fn color(color: Color, otherwise: &str) -> String {
    match color {
        Color::Default => otherwise.to_owned(),
        Color::Idx(n) => COLORS
            .get(usize::from(n))
            .map_or_else(|| otherwise.to_owned(), |color| (*color).to_owned()),
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

fn look(cell: &Cell, on: Background) -> Look {
    let (ink, paper) = (
        color(cell.fgcolor(), on.ink),
        color(cell.bgcolor(), on.paper),
    );
    let (ink, paper) = if cell.inverse() {
        (paper, ink)
    } else {
        (ink, paper)
    };
    Look {
        ink,
        paper: (paper != on.paper).then_some(paper),
        bold: cell.bold(),
        dim: cell.dim(),
    }
}

/// One row, as elements at `y` 0.
fn row(screen: &Screen, y: u16, cursor: bool, on: Background) -> String {
    let mut runs: Vec<(u16, u16, Look, String)> = Vec::new();
    for x in 0..screen.size().1 {
        let Some(cell) = screen
            .cell(y, x)
            .filter(|cell| !cell.is_wide_continuation())
        else {
            continue;
        };
        let mut look = look(cell, on);
        if cursor && !screen.hide_cursor() && screen.cursor_position() == (y, x) {
            (look.ink, look.paper) = (on.paper.to_owned(), Some(on.ink.to_owned()));
        }
        let (text, wide) = (
            if cell.has_contents() {
                cell.contents()
            } else {
                " "
            },
            1 + u16::from(cell.is_wide()),
        );
        match runs.last_mut() {
            Some((from, columns, last, run)) if *last == look && *from + *columns == x => {
                run.push_str(text);
                *columns += wide;
            }
            _ => runs.push((x, wide, look, text.to_owned())),
        }
    }
    runs.iter()
        .map(|(from, columns, look, text)| element(*from, *columns, look, text))
        .collect()
}

fn element(from: u16, columns: u16, look: &Look, text: &str) -> String {
    let (x, wide) = (f32::from(from) * WIDE, f32::from(columns) * WIDE);
    let mut out = String::new();
    if let Some(paper) = &look.paper {
        let _ = write!(
            out,
            r#"<rect x="{x:.1}" width="{wide:.1}" height="{HIGH}" fill="{paper}"/>"#
        );
    }
    let (shown, blank) = (text.trim_end(), text.trim_start().len());
    if shown.is_empty() {
        return out;
    }
    let before = (text.len() - blank) as u16; // spaces are a byte each
    let after = (text.len() - shown.len()) as u16;
    let (x, wide) = (
        x + f32::from(before) * WIDE,
        wide - f32::from(before + after) * WIDE,
    );
    let weight = if look.bold {
        r#" font-weight="bold""#
    } else {
        ""
    };
    let faint = if look.dim { r#" opacity=".6""# } else { "" };
    let text = shown
        .trim_start()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = write!(
        out,
        r#"<text x="{x:.1}" y="12.8" textLength="{wide:.1}" fill="{}"{weight}{faint}>{text}</text>"#,
        look.ink
    );
    out
}

/// Returns the screens as an animation, each until the next one; it repeats after `ends`.
pub(crate) fn svg(screens: &[(Duration, Screen)], ends: Duration, on: Background) -> String {
    let (rows, columns) = screens.first().map_or((0, 0), |(_, screen)| screen.size());
    let (wide, high) = (
        f32::from(columns) * WIDE + 2.0 * EDGE,
        f32::from(rows) * HIGH + 2.0 * EDGE,
    );
    let (mut style, mut body) = (String::new(), String::new());
    let mut times = BTreeMap::new();
    for y in 0..rows {
        let top = EDGE + f32::from(y) * HIGH;
        for (from, to, what) in spans(screens, y, ends, on) {
            if what.is_empty() {
                continue;
            }
            let is_last = to == ends;
            let class = if from.is_zero() && is_last {
                String::new()
            } else {
                class(&mut times, &mut style, (from, to), ends)
            };
            let _ = writeln!(
                body,
                r#"<g transform="translate({EDGE} {top})"{class}>{what}</g>"#
            );
        }
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0} {high:.0}" width="{wide:.0}" height="{high:.0}" font-family="{FONT}" font-size="14" xml:space="preserve">
<style>text{{white-space:pre}}@media(prefers-reduced-motion:reduce){{g{{animation-play-state:paused!important}}}}{style}</style>
<rect width="100%" height="100%" rx="8" fill="{}"/>
{body}</svg>
"#,
        on.paper
    )
}

/// What stands in a row, from when to when.
fn spans(
    screens: &[(Duration, Screen)],
    y: u16,
    ends: Duration,
    on: Background,
) -> Vec<(Duration, Duration, String)> {
    let mut spans: Vec<(Duration, Duration, String)> = Vec::new();
    for (at, screen) in screens {
        let what = row(screen, y, true, on);
        match spans.last_mut() {
            Some((_, _, last)) if *last == what => {}
            last => {
                last.into_iter().for_each(|(_, to, _)| *to = *at);
                spans.push((*at, ends, what));
            }
        }
    }
    spans
}

/// The class of a frame that is visible from one time to another.
fn class(
    known: &mut BTreeMap<(Duration, Duration), usize>,
    style: &mut String,
    (from, to): (Duration, Duration),
    ends: Duration,
) -> String {
    let next = known.len();
    let n = *known.entry((from, to)).or_insert(next);
    if n == next {
        let percent = |at: Duration| at.as_secs_f64() / ends.as_secs_f64() * 100.0;
        let begin = if from.is_zero() {
            String::new()
        } else {
            "0%{visibility:hidden}".to_owned()
        };
        let end = if to == ends {
            String::new()
        } else {
            format!("{:.2}%{{visibility:hidden}}", percent(to))
        };
        let _ = write!(
            style,
            "@keyframes k{n}{{{begin}{:.2}%{{visibility:visible}}{end}}}.k{n}{{animation:k{n} {:.1}s step-end infinite}}",
            percent(from),
            ends.as_secs_f64()
        );
    }
    format!(r#" class="k{n}""#)
}

#[test]
fn picture_keeps_columns_and_escapes_text() {
    let mut parser = vt100::Parser::new(2, 12, 0);
    parser.process(b"\x1b[?25la <b>&\x1b[31;1m red\x1b[0m\r\n\x1b[7mselected\x1b[0m");
    let before = parser.screen().clone();
    parser.process(b"\x1b[1;1Hz");
    let ends = Duration::from_secs(2);
    let picture = svg(
        &[
            (Duration::ZERO, before),
            (Duration::from_secs(1), parser.screen().clone()),
        ],
        ends,
        DARK,
    );
    assert!(
        picture.contains(r#">a &lt;b&gt;&amp;</text>"#)
            && picture.contains(r#">z &lt;b&gt;&amp;</text>"#),
        "{picture}"
    );
    let red = format!(
        r#"x="{:.1}" y="12.8" textLength="{:.1}" fill="{}" font-weight="bold">red<"#,
        7.0 * WIDE,
        3.0 * WIDE,
        COLORS[1]
    );
    assert!(picture.contains(&red), "{picture}");
    assert!(
        picture.contains(&format!(
            r#"width="{:.1}" height="{HIGH}" fill="{}"/>"#,
            8.0 * WIDE,
            DARK.ink
        )),
        "{picture}"
    );
    let (seen_first, seen_second) = (
        "0.00%{visibility:visible}50.00%{visibility:hidden}",
        "0%{visibility:hidden}50.00%{visibility:visible}",
    );
    assert!(
        picture.contains(seen_first) && picture.contains(seen_second),
        "{picture}"
    );
}
