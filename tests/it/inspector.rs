//! The inspector over a real connection that is cut: its values must agree with the proxy and the
//! journal.

use landfall::chaos::{Event, FaultCommand, FaultCounts, Proxy, What};

use crate::support::{Home, PATIENCE, Server, Terminal};

/// The first number before each of these words, on the inspector's row of a name.
fn numbers(screen: &str, name: &str, before: &[&str]) -> Option<Vec<u64>> {
    let row = screen
        .lines()
        .find_map(|line| line.split_once(&format!("│{name:<11}")))?
        .1
        .to_owned();
    let number = |word: &&str| {
        row.split(word)
            .next()?
            .split(' ')
            .rfind(|part| !part.is_empty())?
            .parse()
            .ok()
    };
    before.iter().map(number).collect()
}

#[test]
fn counters_agree_with_journal_and_proxy() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path());
    let (ended, ends) = std::sync::mpsc::channel();
    let listen_to = move |event: Event| {
        if matches!(event.what, What::Ended { .. }) {
            let _ = ended.send(()); // later ones are not waited for
        }
    };
    let proxy = Proxy::start(
        ([127, 0, 0, 1], 0).into(),
        &format!("127.0.0.1:{}", server.port),
        listen_to,
    );
    let proxy = proxy.expect("a proxy");
    let home = Home::new();
    home.join(&format!("ws://{}", proxy.address()), &server.invite, "ana");
    ends.recv_timeout(PATIENCE).expect("what joined has left");
    let since = |before: FaultCounts| {
        let now = proxy.counts();
        [
            now.opened - before.opened,
            now.up - before.up,
            now.down - before.down,
        ]
    };
    let before = proxy.counts();
    let mut ana = Terminal::open_sized(&home, &[], 140, 40);
    ana.ready();
    ana.keys("\x1bi\t"); // opened, and the keys back to the text
    ana.wait_for("Tab to here");
    let agrees = |screen: &str| {
        let dial = numbers(screen, "link", &[" · up since"]);
        let passed = numbers(screen, "passed", &[" B in", " B in "]);
        dial.zip(passed).is_some_and(|(dial, passed)| {
            let down = screen
                .lines()
                .find_map(|line| line.split_once('▾'))
                .map(|(_, rest)| rest.to_owned());
            let down = down.and_then(|rest| rest.trim().split(' ').next()?.parse().ok());
            down.is_some_and(|down: u64| [dial[0], passed[0], down] == since(before))
        })
    };
    for n in 1..=3 {
        ana.say(&format!("message {n}"));
        ana.wait(&format!("acks of {n}"), |screen| {
            numbers(screen, "acks", &[" · "]) == Some(vec![n])
        });
        ana.wait(&format!("the proxy's counts of dial {n}"), agrees);
        if n < 3 {
            proxy.apply(&FaultCommand::Reset);
            ana.wait(&format!("dial {}", n + 1), |screen| {
                numbers(screen, "link", &[" · up since"]) == Some(vec![n + 1])
            });
            ana.wait_for("● connected");
        }
    }
    ana.wait("three sent, none again", |screen| {
        numbers(screen, "messages", &[" sent", " again"]) == Some(vec![3, 0])
    });
    ana.quit();
    let (_, out, _) = home.run(&["journal", "--json"]);
    let lines: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let first = lines
        .iter()
        .rposition(|line| line["from"] == "none")
        .expect("the chat began");
    let ended: Vec<_> = lines[first..]
        .iter()
        .filter(|line| line["numbers"]["ended"].is_object())
        .collect();
    assert_eq!(ended.len() as u64, since(before)[0], "{out}");
    let sum = |key: &str| {
        ended
            .iter()
            .filter_map(|line| line["numbers"]["ended"][key].as_u64())
            .sum::<u64>()
    };
    assert_eq!(
        (sum("sent"), sum("acked"), sum("resent")),
        (3, 3, 0),
        "{out}"
    );
    let resets = ended
        .iter()
        .filter(|line| line["why"] == "connection lost: reset")
        .count();
    assert_eq!(resets, 2, "{out}");
}
