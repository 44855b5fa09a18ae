//! Live values: who may send them, and how they leave beside the log.

use super::*;

#[test]
fn signal_needs_membership_and_small_size() {
    let passes = |session: &mut ServerSession, kind: &str, key: usize| {
        let (key, value) = (Some("k".repeat(key)), Some("v".into()));
        let signal = Signal {
            room: room(),
            account: None,
            kind: kind.into(),
            key,
            value,
            at: None,
            skipped: 0,
        };
        frame(session, ClientFrame::Signal(signal))
            .iter()
            .any(|effect| matches!(effect, Effect::Signal(_)))
    };
    let mut session = live();
    assert!(!passes(&mut session, "typing", 1), "not a member");
    session.step(s(1), Input::Room(changed_room()));
    assert!(passes(&mut session, "typing", 1));
    let most = limits::SIGNAL_BYTES_MAX - "live".len() - "v".len();
    assert!(passes(&mut session, "live", most));
    assert!(!passes(&mut session, "live", most + 1));
    assert!(!passes(&mut session, &"x".repeat(60_000), 1));
}

#[test]
fn fast_values_are_throttled_to_the_newest() {
    let mut session = live();
    session.step(s(1), Input::Room(changed_room()));
    let value = |n: u32| {
        let (key, value) = (Some("cpu".to_owned()), Some(n.to_string()));
        ClientFrame::Signal(Signal {
            room: room(),
            account: None,
            kind: "live".into(),
            key,
            value,
            at: None,
            skipped: 0,
        })
    };
    let mut handed_on = Vec::new();
    let mut take = |effects: Vec<Effect>| {
        let signals = effects.into_iter().filter_map(|e| {
            if let Effect::Signal(signal) = e {
                Some(signal)
            } else {
                None
            }
        });
        handed_on.extend(signals.map(|signal| (signal.value.unwrap_or_default(), signal.skipped)));
    };
    (0..1_000).for_each(|n| take(frame(&mut session, value(n))));
    let due = session.deadline().expect("some wait");
    take(session.step(due, Input::Tick));
    assert_eq!(handed_on.len() as u32, limits::SIGNALS_PER_SECOND + 1);
    assert_eq!(
        handed_on.last(),
        Some(&(
            "999".to_owned(),
            u64::from(1_000 - limits::SIGNALS_PER_SECOND - 1)
        ))
    );
}

#[test]
fn values_precede_log_within_confirmations() {
    let mut session = live();
    let signal = |n: usize| Signal {
        room: room(),
        account: None,
        kind: "live".into(),
        key: Some(format!("key{n}")),
        value: Some("v".repeat(900)),
        at: Some(1),
        skipped: 0,
    };
    let mut probes = Vec::new();
    let mut sent = 0;
    while session.signals_from().is_some_and(|at| at <= s(1)) {
        let effects = session.step(s(1), Input::Signals(vec![signal(sent)]));
        assert!(
            matches!(
                effects[..],
                [Effect::Fresh(_), Effect::Probe(Lane::Ephemeral, _)]
            ),
            "{effects:?}"
        );
        probes.extend(effects.iter().filter_map(|e| {
            if let Effect::Probe(_, n) = e {
                Some(*n)
            } else {
                None
            }
        }));
        sent += 1;
        assert!(sent < 100, "without end");
    }
    assert!(sent >= 3, "{sent}");
    session.step(
        s(2),
        Input::Confirmed(Confirmed {
            ephemeral: probes[0],
            log: 0,
        }),
    );
    assert!(session.signals_from().is_some_and(|at| at <= s(2)));
    let effects = session.step(s(2), Input::Presence(room(), 2));
    assert!(
        matches!(effects[..], [Effect::Log(_), Effect::Probe(Lane::Log, _)]),
        "behind what it asks for: {effects:?}"
    );
}

#[test]
fn signal_account_is_set_by_the_server() {
    let mut session = live();
    session.step(s(1), Input::Room(changed_room()));
    let other = Some(AccountId::from_random([9; 16]));
    let outgoing = Signal {
        room: room(),
        account: other,
        kind: "live".into(),
        key: Some("cpu".into()),
        value: Some("1".into()),
        at: Some(7),
        skipped: u64::MAX,
    };
    let heard = |effects: Vec<Effect>| {
        let signal = effects.into_iter().find_map(|e| {
            if let Effect::Signal(signal) = e {
                Some(signal)
            } else {
                None
            }
        });
        signal.expect("is handed on")
    };
    let sent = heard(frame(&mut session, ClientFrame::Signal(outgoing.clone())));
    assert!(sent.account.is_some() && sent.account != other, "{sent:?}");
    assert_eq!((sent.at, sent.key.as_deref()), (None, Some("cpu")));
    let bound = u64::from(u32::MAX)..2 * u64::from(u32::MAX);
    assert!(bound.contains(&sent.skipped), "{sent:?}");
    let typing = heard(frame(
        &mut session,
        ClientFrame::Signal(Signal {
            kind: "typing".into(),
            ..outgoing
        }),
    ));
    assert_eq!(
        (typing.key, typing.value),
        (None, None),
        "one for each person"
    );
}

#[test]
fn client_without_confirmations_gets_its_log() {
    let mut session = live();
    let value = Signal {
        room: room(),
        account: None,
        kind: "live".into(),
        key: None,
        value: Some("1".into()),
        at: Some(1),
        skipped: 0,
    };
    session.step(s(1), Input::Signals(vec![value]));
    session.step(s(1), Input::Room(changed_room()));
    let mut passed = 0;
    while logs(&session.step(s(1), Input::Presence(room(), passed))) > 0 {
        session.step(s(1), Input::Drained(2));
        passed += 1;
        assert!(passed < 1_000, "not without end");
    }
    let due = session.deadline().expect("a time");
    assert!(due < s(10), "{due:?}");
    assert_eq!(logs(&session.step(due, Input::Tick)), 1);
    assert!(
        session.deadline().is_none_or(|at| at > due),
        "and nothing spins"
    );
}

#[test]
fn no_signals_cost_no_probe() {
    assert_eq!(live().step(s(1), Input::Signals(Vec::new())), []);
}
