//! Messages and live values on one slow connection: no message may be lost, no value may lag.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use landfall::chaos::{FaultCommand, Proxy};

use crate::support::{Home, Server};

#[test]
fn slow_connection_keeps_values_fresh() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path());
    let proxy = Proxy::start(
        ([127, 0, 0, 1], 0).into(),
        &format!("127.0.0.1:{}", server.port),
        |_| {},
    )
    .expect("a proxy");
    let (watcher, feeder, talker) = (Home::new(), Home::new(), Home::new());
    watcher.join(&format!("ws://{}", proxy.address()), &server.invite, "ana");
    feeder.join(&server.url(), &server.invite, "sensor");
    talker.join(&server.url(), &server.invite, "bob");
    for home in [&watcher, &feeder, &talker] {
        let (status, _, err) = home.run(&["send", "lobby", "here"]); // and so the lobby is known
        assert_eq!(status, 0, "{err}");
    }
    proxy.apply(&FaultCommand::Latency(
        Duration::from_millis(300),
        Duration::ZERO,
    ));
    proxy.apply(&FaultCommand::Rate(20_000));
    let mut watch = watcher
        .command(&["watch", "lobby", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut feed = feeder
        .command(&["feed", "lobby"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut values = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut line = || -> serde_json::Value {
        let line = values.next().expect("goes on").expect("reads");
        serde_json::from_str(&line).expect("JSON")
    };
    let mut into = feed.stdin.take().expect("piped");
    let pump = std::thread::spawn(move || {
        // Ten keys with two hundred values per second each: far more than the connection can carry.
        for n in 0_u64.. {
            for key in 0..10 {
                if writeln!(into, "key{key} {n} {}", "x".repeat(60)).is_err() {
                    return;
                }
            }
            // the pace of a sensor, not a wait for anything
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let first = line();
    assert!(first["age_ms"].is_u64(), "{first}");
    let lines: String = (0..200)
        .map(|n| format!("message {n} {}\n", "y".repeat(100)))
        .collect();
    let (status, _, err) = talker.run_with(
        &["send", "lobby", "--lines", "--wait", "30"],
        lines.as_bytes(),
    );
    assert_eq!(status, 0, "{err}");
    let mut ages: Vec<u64> = (0..250)
        .map(|_| line())
        .filter_map(|value| value["age_ms"].as_u64())
        .collect();
    ages.sort_unstable();
    let skipped = (0..20)
        .map(|_| line())
        .filter_map(|value| value["skipped"].as_u64())
        .sum::<u64>();
    let (p50, p99) = (ages[ages.len() / 2], ages[ages.len() * 99 / 100]);
    println!(
        "age of {} values: p50 {p50} ms, p99 {p99} ms; {skipped} older ones skipped in 20",
        ages.len()
    );
    let _ = (
        feed.kill(),
        feed.wait(),
        watch.kill(),
        watch.wait(),
        pump.join(),
    ); // whichever ended already
    let told: Vec<String> = watcher
        .bodies()
        .into_iter()
        .filter(|body| body.starts_with("message"))
        .collect();
    let numbers: Vec<_> = told
        .iter()
        .filter_map(|body| body.split(' ').nth(1)?.parse::<u32>().ok())
        .collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert!(p99 < 1_500, "p99 is {p99} ms"); // about 650 on a machine that does nothing else
    assert!(skipped > 0);
}
