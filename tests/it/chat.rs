//! Two terminals on one machine: talking, hosting, taking over.

use std::time::Duration;

use crate::support::{Home, Terminal};

#[test]
fn two_terminals_talk_without_any_configuration() {
    let home = Home::new();
    let mut ana = Terminal::open(&home, &[]);
    ana.ready();
    let mut bob = Terminal::open(&home, &["--as", "bob"]);
    bob.ready();
    ana.say("hello from ana");
    bob.wait_for("hello from ana");
    bob.say("hello from bob");
    ana.wait_for("hello from bob");
    ana.wait("the mark of everyone", |screen| {
        screen
            .lines()
            .any(|l| l.contains("hello from ana") && l.contains("✓✓"))
    });
}

/// The one that does not host hears of the first host there ever was from nobody, and once waited
/// for it in vain.
#[test]
fn two_first_terminals_start_together() {
    let home = Home::new();
    let both = [
        Terminal::open(&home, &[]),
        Terminal::open(&home, &["--as", "bob"]),
    ];
    for terminal in &both {
        terminal.wait_within(Duration::from_secs(8), "the link", |screen| {
            screen.contains("● connected")
        });
    }
}

#[test]
fn rooms_are_made_entered_named_and_left() {
    let home = Home::new();
    let mut ana = Terminal::open(&home, &[]);
    ana.ready();
    let mut bob = Terminal::open(&home, &["--as", "bob"]);
    bob.ready();
    ana.keys("/create ops deploys and incidents\r");
    ana.wait_for("#ops · deploys and incidents");
    bob.keys("/join ops\r");
    bob.wait_for("▌ops");
    bob.say("hello ops");
    ana.wait_for("hello ops");
    bob.keys("/nick robert\r");
    ana.wait_for("bob is now robert");
    bob.say("me again");
    ana.wait("the new name", |screen| {
        screen
            .lines()
            .any(|line| line.contains("robert") && line.contains("me again"))
    });
    ana.keys("/who\r");
    ana.wait_for("● robert");
    ana.keys("\x1b");
    ana.wait("closes", |screen| !screen.contains("Esc closes"));
    bob.keys("/topic quiet today\r");
    ana.wait_for("#ops · quiet today");
    bob.keys("/leave\r");
    ana.wait_for("robert left");
    bob.wait_for("#lobby");
    bob.keys("/join nowhere\r");
    bob.wait_for("no such room");
}

#[test]
fn killed_host_is_replaced_by_another_terminal() {
    let home = Home::new();
    let mut ana = Terminal::open(&home, &[]);
    ana.ready();
    let mut bob = Terminal::open(&home, &["--as", "bob"]);
    bob.ready();
    ana.say("before");
    bob.wait_for("before");
    ana.kill9();
    bob.say("during");
    bob.wait("acked by the new host", |screen| {
        screen.contains("connected")
            && screen
                .lines()
                .any(|line| line.contains("during") && line.contains('✓'))
    });
    let mut ana = Terminal::open(&home, &[]);
    ana.wait_for("during");
    ana.say("after");
    bob.wait_for("after");
    for terminal in [&ana, &bob] {
        let screen = terminal.screen();
        let order: Vec<_> = ["before", "during", "after"]
            .iter()
            .map(|word| screen.find(word).expect("is shown"))
            .collect();
        assert!(order.is_sorted(), "{screen}");
    }
}

#[test]
fn host_with_damaged_database_reports_and_recovers() {
    let home = Home::new();
    let mut ana = Terminal::open(&home, &[]);
    ana.ready();
    ana.say("before");
    ana.wait_for("✓✓");
    ana.quit();
    let path = home.path().join("data/host/server.db");
    let whole = std::fs::read(&path).expect("reads");
    let wal = home.path().join("data/host/server.db-wal").metadata();
    assert!(
        wal.is_err() || wal.is_ok_and(|wal| wal.len() == 0),
        "the file alone is whole once nobody has it open"
    );
    std::fs::write(&path, [0x5a; 40_000]).expect("writes");
    let mut ana = Terminal::open(&home, &[]);
    ana.wait_for("cannot run the server");
    ana.say("meanwhile");
    ana.wait_for("◌ 1");
    std::fs::write(&path, whole).expect("writes");
    ana.wait("it is sent", |screen| {
        screen
            .lines()
            .any(|line| line.contains("meanwhile") && line.contains('✓'))
    });
    ana.wait_for("before");
}

#[test]
fn leaving_hands_the_hosting_over() {
    let home = Home::new();
    let ana = Terminal::open(&home, &[]);
    ana.ready();
    let mut bob = Terminal::open(&home, &["--as", "bob"]);
    bob.ready();
    ana.quit();
    bob.say("still here");
    bob.wait("acked", |screen| {
        screen
            .lines()
            .any(|line| line.contains("still here") && line.contains('✓'))
    });
}
