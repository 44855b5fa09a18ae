//! Draws pictures from the real program: `cargo pictures`. The film of the README goes to `assets`,
//! single screens of the demo to `target/pictures`, for people who look at them.

#[expect(dead_code, reason = "made for tests")]
mod browser;
mod picture;
#[expect(dead_code, reason = "made for many more tests")]
mod support;

use std::path::Path;
use std::time::Duration;

use browser::Browser;
use picture::{Background, DARK, LIGHT, svg};
use support::{Home, Terminal};
use vt100::Screen;

/// Time between two screens of the film, as it was recorded.
const FRAME: Duration = Duration::from_millis(250);
/// How much faster the film is than the demo, whose captions stay three seconds.
const FASTER: u32 = 2;
/// How long the last screen of an act stays.
const LAST: Duration = Duration::from_secs(3);
const SIZES: [(u16, u16); 3] = [(80, 24), (100, 30), (160, 45)];
const THEMES: [(&str, &str, Background); 2] = [("dark", "15;0", DARK), ("light", "0;15", LIGHT)];

fn write(folder: &str, name: &str, picture: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), picture).expect("is written");
}

fn demo(home: &Home, arguments: &[&str], size: (u16, u16), colors: &str) -> Terminal {
    let environment = [("COLORTERM", "truecolor"), ("COLORFGBG", colors)];
    let arguments = [&["demo"], arguments].concat();
    Terminal::open_in(home, &arguments, size, &environment)
}

/// The screens of one act up to its proof, at the speed of the film.
fn film_of(act: &str) -> (Vec<(Duration, Screen)>, Duration) {
    let home = Home::new();
    let mut demo = demo(&home, &["--act", act], (100, 30), "15;0");
    demo.wait("it plays", |screen| {
        screen.contains(&format!("act {act} of 5"))
    });
    let film = demo.film();
    demo.wait_for("Landfall lost nothing.");
    let (screens, lasted) = film.screens(FRAME);
    demo.keys("q");
    assert_eq!(demo.wait_end(), 0);
    let faster = |(at, screen)| (at / FASTER, screen);
    (
        screens.into_iter().map(faster).collect(),
        lasted / FASTER + LAST,
    )
}

/// Acts 1 and 5, each with its proof.
fn film() {
    let (mut screens, first) = film_of("1");
    let (more, second) = film_of("5");
    screens.extend(more.into_iter().map(|(at, screen)| (first + at, screen)));
    write("assets", "demo.svg", &svg(&screens, first + second, DARK));
}

/// Pictures of an act and its proof.
fn pictures(act: &str, headline: &str, size: (u16, u16), theme: (&str, &str, Background)) {
    let (name, colors, background) = theme;
    let home = Home::new();
    let mut demo = demo(&home, &["--act", act], size, colors);
    let take = |demo: &Terminal, what: &str| {
        let name = format!("{}x{}-{name}-{what}.svg", size.0, size.1);
        let screen = vec![(Duration::ZERO, demo.styled_screen())];
        write("target/pictures", &name, &svg(&screen, LAST, background));
    };
    demo.wait_for(headline);
    demo.keys(" ");
    demo.wait_for("PAUSED");
    take(&demo, &format!("act-{act}"));
    demo.keys(" ");
    demo.wait("the whole proof", |screen| {
        screen.contains("Landfall lost nothing.") && screen.contains(" r again")
    });
    take(&demo, &format!("proof-{act}"));
    demo.keys("q");
    assert_eq!(demo.wait_end(), 0);
}

/// The page of all acts: its proof, and the middle of the replay.
fn page() {
    let home = Home::new();
    let page = home.path().join("report.html");
    let file = page.to_str().expect("UTF-8");
    let (status, _, errors) = home.run(&["demo", "--headless", "--report", file]);
    assert_eq!(status, 0, "{errors}");
    let Some(mut browser) = Browser::open(&page, (1500, 950)) else {
        return;
    };
    for (theme, ..) in THEMES {
        browser.theme(theme);
        write(
            "target/pictures",
            &format!("page-{theme}-proof.png"),
            browser.picture(),
        );
        browser.key("1");
        browser.click("bar", 0.13);
        write(
            "target/pictures",
            &format!("page-{theme}-act-1.png"),
            browser.picture(),
        );
        browser.click("bar", 0.6);
        write(
            "target/pictures",
            &format!("page-{theme}-later.png"),
            browser.picture(),
        );
        browser.key("p");
    }
    write(
        "target/pictures",
        "report.html",
        std::fs::read(&page).expect("a page"),
    );
}

/// `cargo pictures` draws everything, `cargo pictures page` and `cargo pictures film` only that.
fn main() {
    let is_only = |what: &str| std::env::args().any(|argument| argument == what);
    if is_only("page") {
        return page();
    }
    if is_only("film") {
        return film();
    }
    film();
    page();
    for theme in THEMES {
        for size in SIZES {
            // two at once: five thousand messages are work for everybody
            std::thread::scope(|scope| {
                scope.spawn(move || pictures("1", "Sent again, under", size, theme));
                scope.spawn(move || pictures("4", "The newest first,", size, theme));
            });
        }
    }
}
