//! The link alone: its reactions to time, silence and answers.

use super::*;

const fn s(seconds: u64) -> Now {
    Duration::from_secs(seconds)
}

fn up_at(now: Now) -> Link {
    let mut link = Link::new(LinkSettings::default(), 7, now);
    let Due::Dial(dial) = link.poll(now) else {
        panic!("dials at once")
    };
    link.on_opened(dial, now);
    link.on_welcome(dial, s(30), now);
    link
}

fn fail(link: &mut Link, now: Now) -> Now {
    link.on_ended(Cause::Refused, now);
    let ConnectionPhase::Backoff { until, .. } = link.phase() else {
        panic!("backs off, not {:?}", link.phase())
    };
    *until
}

#[test]
fn backoff_delays_stay_within_their_caps() {
    for seed in 0..200 {
        let mut link = Link::new(LinkSettings::default(), seed, s(0));
        let mut now = s(0);
        for n in 0..12 {
            assert!(matches!(link.poll(now), Due::Dial(_)));
            let until = fail(&mut link, now);
            let ceiling = Duration::from_millis(500 << n.min(10)).min(s(30));
            assert!(
                until - now <= ceiling,
                "try {n} of seed {seed} waits {:?}",
                until - now
            );
            now = until;
        }
    }
}

#[test]
fn clients_that_failed_together_come_back_apart() {
    let delays: std::collections::BTreeSet<_> = (0..100)
        .map(|seed| {
            let mut link = Link::new(LinkSettings::default(), seed, s(0));
            for _ in 0..7 {
                fail(&mut link, s(0));
            }
            fail(&mut link, s(0)).as_millis() / 300
        })
        .collect();
    assert!(
        delays.len() > 40,
        "full jitter spreads 100 clients, not over {} slots",
        delays.len()
    );
}

#[test]
fn backoff_resets_only_after_a_stable_connection() {
    let mut link = up_at(s(0));
    fail(&mut link, s(1));
    fail(&mut link, s(1));
    assert_eq!(link.attempt(), 3);
    let Due::Dial(dial) = link.poll(s(9)) else {
        panic!("dials")
    };
    link.on_opened(dial, s(9));
    link.on_welcome(dial, s(30), s(9));
    fail(&mut link, s(18));
    assert_eq!(link.attempt(), 4, "nine seconds are not stable");
    let Due::Dial(dial) = link.poll(s(60)) else {
        panic!("dials")
    };
    link.on_opened(dial, s(60));
    link.on_welcome(dial, s(30), s(60));
    fail(&mut link, s(71));
    assert_eq!(link.attempt(), 2);
}

#[test]
fn link_gives_up_and_retry_now_continues() {
    let settings = LinkSettings {
        max_attempts: Some(3),
        ..LinkSettings::default()
    };
    let mut link = Link::new(settings, 1, s(0));
    fail(&mut link, s(0));
    fail(&mut link, s(1));
    link.on_ended(Cause::Refused, s(2));
    assert!(matches!(
        link.phase(),
        ConnectionPhase::Offline {
            why: Cause::GaveUp { attempts: 3, .. },
            ..
        }
    ));
    assert_eq!(link.deadline(), None);
    assert!(matches!(link.retry_now(s(9)), Due::Dial(_)));
    assert_eq!(link.attempt(), 1);
}

#[test]
fn gives_up_after_the_set_time() {
    let settings = LinkSettings {
        give_up_after: Some(s(60)),
        ..LinkSettings::default()
    };
    let mut link = Link::new(settings, 1, s(0));
    fail(&mut link, s(0));
    fail(&mut link, s(59));
    link.on_ended(Cause::Refused, s(61));
    assert!(matches!(link.phase(), ConnectionPhase::Offline { .. }));
}

#[test]
fn idle_connection_is_pinged_then_times_out() {
    let mut link = up_at(s(0));
    assert_eq!(link.poll(s(29)), Due::Nothing);
    assert_eq!(link.poll(s(30)), Due::Ping(1));
    assert_eq!(link.poll(s(39)), Due::Nothing);
    assert!(matches!(
        link.poll(s(40)),
        Due::Dead(_, Cause::NoAnswer { .. })
    ));
}

#[test]
fn deadline_extends_with_bytes_up_to_threefold() {
    let mut link = up_at(s(0));
    for t in 1..30 {
        // Received bytes do not count: this client has *sent* nothing for one interval.
        link.on_bytes(s(t));
    }
    assert_eq!(link.poll(s(30)), Due::Ping(1));
    for t in 30..60 {
        link.on_bytes(s(t));
        assert_eq!(link.poll(s(t)), Due::Nothing, "at {t} s");
    }
    link.on_bytes(s(60));
    assert!(matches!(link.poll(s(60)), Due::Dead(..)));
}

#[test]
fn half_open_connection_detected_in_five_seconds() {
    let mut link = up_at(s(0));
    let sent_up_to = link.on_sent(200, s(100));
    link.set_waiting(Some(Waiting {
        since: s(100),
        sent_up_to,
    }));
    let mut now = s(100);
    loop {
        now = link.deadline().expect("a deadline").max(now);
        match link.poll(now) {
            Due::Dead(_, cause) => break assert!(cause.is_deadline()),
            Due::Ping(_) => {
                link.on_sent(20, now);
            }
            Due::Nothing => now += Duration::from_millis(10),
            due @ Due::Dial(_) => panic!("{due:?}"),
        }
    }
    assert!(now <= s(106), "noticed after {:?}", now - s(100));
}

#[test]
fn late_ack_tightens_an_outstanding_ping() {
    let mut link = up_at(s(0));
    assert_eq!(link.poll(s(30)), Due::Ping(1));
    link.on_sent(20, s(30));
    let sent_up_to = link.on_sent(200, s(31));
    link.set_waiting(Some(Waiting {
        since: s(31),
        sent_up_to,
    }));
    let mut now = s(31);
    while !matches!(link.poll(now), Due::Dead(..)) {
        now += Duration::from_millis(50);
    }
    assert!(now <= Duration::from_millis(36_800), "{now:?}");
}

#[test]
fn slow_link_is_not_dead() {
    let mut link = up_at(s(0));
    let sent_up_to = link.on_sent(17_000, s(0));
    link.set_waiting(Some(Waiting {
        since: s(0),
        sent_up_to,
    }));
    for t in 0..19 {
        assert_eq!(link.poll(s(t)), Due::Nothing, "at {t} s");
    }
    assert_eq!(link.poll(s(20)), Due::Ping(1));
    assert_eq!(link.poll(s(39)), Due::Nothing);
}

#[test]
fn deadline_doubles_after_timeout_until_quick_reply() {
    let mut link = up_at(s(0));
    assert_eq!(link.poll(s(30)), Due::Ping(1));
    link.on_ended(Cause::NoAnswer { waited: s(10) }, s(40));
    let Due::Dial(dial) = link.retry_now(s(40)) else {
        panic!("dials")
    };
    link.on_opened(dial, s(40));
    link.on_welcome(dial, s(30), s(40));
    assert_eq!(link.poll(s(70)), Due::Ping(2));
    assert_eq!(link.poll(s(89)), Due::Nothing);
    link.on_pong(2, s(89));
    assert_eq!(
        link.doublings(),
        1,
        "an answer past the undoubled deadline does not count as quick"
    );
    assert_eq!(link.poll(s(119)), Due::Ping(3));
    link.on_pong(3, s(120));
    assert_eq!(link.doublings(), 0);
}

#[test]
fn round_trip_is_rounded() {
    let rounded = |ms| coarse(Duration::from_millis(ms)).as_millis();
    assert_eq!(
        [0, 1, 3, 7, 49, 50, 199, 730, 12_345].map(rounded),
        [0, 1, 2, 5, 20, 50, 100, 500, 10_000]
    );
}

#[test]
fn unsolicited_pong_is_no_sign_of_life() {
    let mut link = up_at(s(0));
    assert_eq!(link.poll(s(30)), Due::Ping(1));
    link.on_pong(99, s(31));
    assert!(matches!(link.poll(s(40)), Due::Dead(..)));
}

#[test]
fn hint_of_the_server_is_followed() {
    let mut link = up_at(s(0));
    let bye = Cause::Bye {
        code: CloseCode::Draining,
        reason: String::new(),
        retry_after: Some(s(4)),
    };
    link.on_ended(bye, s(20));
    assert_eq!(link.deadline(), Some(s(24)));
}

#[test]
fn late_ack_sets_no_deadline_in_the_past() {
    let mut link = up_at(s(0));
    assert!(matches!(link.poll(s(30)), Due::Ping(_)));
    let sent_up_to = link.on_sent(100, s(31));
    link.set_waiting(Some(Waiting {
        since: s(31),
        sent_up_to,
    }));
    let stopped_until = s(36); // the ack was late at 33
    while link.deadline().is_some_and(|at| at <= s(33)) && link.poll(stopped_until) != Due::Nothing
    {
    }
    link.poll(stopped_until);
    assert!(
        link.deadline().is_some_and(|at| at > stopped_until),
        "{:?}: a processor would spin",
        link.deadline()
    );
}
