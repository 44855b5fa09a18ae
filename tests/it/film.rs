//! Draws the picture of the README from the real program: `cargo pictures`. Pauses imitate a
//! reader's pace.

#![expect(clippy::disallowed_methods, reason = "a film has the real clock")]

mod picture;
#[expect(dead_code, reason = "made for many more tests")]
mod support;

use std::path::Path;
use std::time::Duration;

use picture::svg;
use support::{Home, Terminal};

/// Rest between two screens of a film.
const FRAME: Duration = Duration::from_millis(250);
/// How fast somebody types.
const LETTER: Duration = Duration::from_millis(70);

fn write(name: &str, picture: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), picture).expect("is written");
}

/// Pauses while readers read.
fn reads(seconds: f32) {
    std::thread::sleep(Duration::from_secs_f32(seconds));
}

fn types(demo: &mut Terminal, text: &str) {
    for letter in text.chars() {
        demo.keys(letter.encode_utf8(&mut [0; 4]));
        std::thread::sleep(LETTER);
    }
}

fn main() {
    let home = Home::new();
    let mut demo = Terminal::open_sized(&home, &["demo", "--free"], 100, 30);
    demo.wait("two have talked", |screen| {
        screen.matches(" bob  ").count() > 1
    });
    let film = demo.film();
    reads(2.0);
    demo.keys("c");
    demo.wait_for("noticed: lost after");
    reads(1.0);
    demo.keys("\t");
    types(&mut demo, "typed while it is cut");
    demo.keys("\r");
    reads(2.0);
    demo.keys("\tp");
    demo.wait("it is there", |screen| {
        screen.contains("connected again") && screen.contains("✓ 1")
    });
    reads(3.0);
    demo.keys("b");
    demo.wait("noticed", |screen| {
        screen.contains("over an older copy") && screen.contains("noticed: lost after")
    });
    demo.wait("healed", |screen| {
        screen.contains("connected again") && screen.contains("typed while")
    });
    reads(4.0);
    demo.keys("\x11");
    demo.wait_for("same order everywhere");
    assert_eq!(demo.wait_end(), 0);
    let (screens, lasts) = film.screens(FRAME);
    write("demo.svg", &svg(&screens, lasts + Duration::from_secs(4)));
}
