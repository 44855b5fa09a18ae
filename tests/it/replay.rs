//! The page of a run: what a browser shows of it, with a script and without.

use crate::browser::Browser;
use crate::support::Home;

/// A message that would become markup on a careless page.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)><b>bold</b> &amp; 日本";

/// A part of the demo, and its page.
fn page_of(arguments: &[&str]) -> (Home, std::path::PathBuf) {
    let home = Home::new();
    let page = home.path().join("out.html");
    let file = page.to_str().expect("UTF-8");
    let arguments = [&["demo", "--headless", "--report", file], arguments].concat();
    let (status, _, errors) = home.run(&arguments);
    assert_eq!((status, errors.as_str()), (0, ""));
    (home, page)
}

#[test]
fn report_page_replays_the_run() {
    let (_home, page) = page_of(&["--act", "1"]);
    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(html.len() < 400_000, "{} bytes", html.len());
    let Some(mut browser) = Browser::open(&page, (1400, 1000)) else {
        return;
    };
    let tally = "naive: 4 typed, 1 LOST, 0 TWICE, 0 NEVER SEEN  ·  Landfall: 0 lost, 0 twice";
    assert_eq!(browser.text("tally"), tally);
    // it begins with the proof, and plays after a click
    let visible = "!document.getElementById('player').hidden";
    assert_eq!(browser.value(visible), false);
    browser.click("watch", 0.5);
    assert_eq!(
        (browser.value(visible), browser.text("play")),
        (true.into(), "pause".to_owned())
    );
    browser.text_after("time", |_| {}); // it plays
    browser.key(" ");
    assert_eq!(browser.text("play"), "play");
    browser.key("Home");
    assert!(browser.text("tally").contains("0 LOST"));
    // the bar: at its end everything is as at the beginning of the page
    let time = browser.text_after("time", |browser| browser.click("bar", 0.6));
    let exact = |time: &str| {
        let (minutes, seconds) = time.split_once(" of ")?.0.split_once(':')?;
        Some(minutes.parse::<u32>().ok()? * 60 + seconds.parse::<u32>().ok()?)
    };
    assert!(exact(&time).is_some_and(|at| at > 0), "{time}");
    let headline = browser.text("headline");
    let spoken = browser.value("document.getElementById('bar').getAttribute('aria-valuetext')");
    assert!(
        spoken
            .as_str()
            .is_some_and(|spoken| spoken.starts_with(&headline)),
        "{spoken}"
    );
    browser.key("End");
    assert_eq!(browser.text("tally"), tally);
    let (naive, landfall) = (browser.text("naive"), browser.text("landfall"));
    assert!(
        naive.contains("LOST") && !landfall.contains("LOST"),
        "{naive}\n{landfall}"
    );
    assert!(browser.text("ladder").contains("again, same id"));
    // a row of the ladder lights its message in both chats
    let lit = "(() => { const row = [...document.querySelectorAll('#ladder .row')].find(row => row.dataset.message); row.focus(); return [...document.querySelectorAll('#naive .lit, #landfall .lit')].length; })()";
    assert!(browser.value(lit).as_u64() >= Some(1));
    browser.key("p");
    assert_eq!(browser.value(visible), false);
    assert_eq!(browser.complaints, [""; 0]);
}

#[test]
fn report_page_tells_its_story_without_script() {
    let (_home, page) = page_of(&["--act", "1"]);
    let Some(mut browser) = Browser::open(&page, (1400, 1000)) else {
        return;
    };
    browser.without_script();
    let shown = browser.value("document.body.innerText");
    let shown = shown.as_str().expect("a text");
    for part in [
        "Landfall lost nothing.",
        "The cable is cut.",
        "✗ LOST",
        "again, same id",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("Watch what happened"));
}

#[test]
fn report_page_shows_hostile_text_as_text() {
    let home = Home::new();
    let plan = home.path().join("hostile.plan");
    let text = format!(
        "title <i>markup</i>\nnaive plain\nana: {HOSTILE}\nuntil shown\ncaption It is <s>shown</s>. | Both chats show it.\nnetwork cut\nuntil reset\nnetwork pass\nuntil arrived\n"
    );
    std::fs::write(&plan, text).expect("is written");
    let page = home.path().join("out.html");
    let (plan, file) = (plan.to_str().expect("UTF-8"), page.to_str().expect("UTF-8"));
    let (status, _, errors) =
        home.run(&["demo", "--headless", "--scenario", plan, "--report", file]);
    assert_eq!((status, errors.as_str()), (0, ""));
    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(!html.contains("<img") && !html.contains("<b>bold"));
    let Some(mut browser) = Browser::open(&page, (1400, 1000)) else {
        return;
    };
    for id in ["naive", "landfall", "story"] {
        let text = browser.text(id);
        assert!(text.contains("</script><img src=x"), "{id}: {text}");
        let markup =
            format!("document.querySelectorAll('#{id} img, #{id} b, #{id} s, #{id} i').length");
        assert_eq!(browser.value(&markup), 0, "{id}");
    }
    assert_eq!(browser.complaints, [""; 0]);
}

#[test]
fn report_never_replaces_a_file() {
    let home = Home::new();
    let file = home.path().join("letter.html");
    std::fs::write(&file, "a letter").expect("is written");
    let name = file.to_str().expect("UTF-8");
    for (name, part) in [
        (name, "exists already"),
        ("/no/such/folder/out.html", "folder"),
    ] {
        let (status, out, errors) =
            home.run(&["demo", "--headless", "--act", "1", "--report", name]);
        assert_eq!((status, out.as_str()), (73, ""), "{errors}");
        assert!(errors.contains(part), "{errors}");
    }
    assert_eq!(
        std::fs::read_to_string(&file).expect("is there"),
        "a letter"
    );
}
