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

const fn ms(ms: u64) -> Now {
    Duration::from_millis(ms)
}

fn dialing(settings: LinkSettings) -> (Link, Dial) {
    let mut link = Link::new(settings, 7, s(0));
    let Due::Dial(dial) = link.poll(s(0)) else {
        panic!("dials at once")
    };
    (link, dial)
}

#[test]
fn dial_and_handshake_have_deadlines() {
    let (mut link, dial) = dialing(LinkSettings::default());
    assert_eq!((link.current(), link.last_dial()), (Some(dial), dial));
    assert_eq!(link.deadline(), Some(DIAL_DEADLINE));
    assert_eq!(link.poll(DIAL_DEADLINE - ms(1)), Due::Nothing);
    let late = Due::Dead(dial, Cause::DialTimeout);
    assert_eq!(link.poll(DIAL_DEADLINE), late);

    link.on_opened(dial, s(4));
    assert!(link.current() == Some(dial) && !link.is_up());
    let end = s(4) + HANDSHAKE_DEADLINE;
    assert_eq!(link.deadline(), Some(end));
    assert_eq!(link.poll(end - ms(1)), Due::Nothing);
    assert_eq!(link.poll(end), Due::Dead(dial, Cause::HandshakeTimeout));

    link.on_welcome(dial, s(30), s(6));
    assert!(link.current() == Some(dial) && link.is_up());
    assert_eq!(
        link.rtt(),
        Some(s(2)),
        "the handshake is the first estimate"
    );
    assert_eq!(link.uptime(s(9)), Some(s(3)));
    link.on_ended(Cause::Refused, s(9));
    assert_eq!((link.current(), link.last_dial()), (None, dial));
    assert_eq!((link.is_up(), link.uptime(s(9))), (false, None));
}

#[test]
fn slow_dial_is_abandoned_for_a_new_one() {
    let (mut link, dial) = dialing(LinkSettings::default());
    assert_eq!(link.abandon_dial(DIAL_PATIENCE - ms(1)), None);
    assert_eq!(link.abandon_dial(DIAL_PATIENCE), Some(dial));
    let Due::Dial(second) = link.poll(DIAL_PATIENCE) else {
        panic!("dials at once")
    };
    assert!(second > dial);
    link.on_opened(second, s(2));
    assert_eq!(link.abandon_dial(s(3)), Some(second), "or a handshake");
    assert_eq!(link.abandon_dial(s(30)), None, "nothing is dialled");
    assert_eq!(up_at(s(0)).abandon_dial(s(30)), None, "it is up");
}

#[test]
fn cause_stays_until_the_next_welcome() {
    let (mut link, _) = dialing(LinkSettings::default());
    assert_eq!(link.last_cause(), None);
    link.on_ended(Cause::Refused, s(1));
    let Due::Dial(dial) = link.retry_now(s(2)) else {
        panic!("dials")
    };
    link.on_opened(dial, s(2));
    assert_eq!(link.last_cause(), Some(&Cause::Refused));
    link.on_welcome(dial, s(30), s(2));
    assert_eq!(link.last_cause(), None);
}

#[test]
fn replies_prove_the_bytes_before_them() {
    let mut link = up_at(s(0));
    let ends = (link.on_sent(100, s(1)), link.on_sent(50, s(2)));
    assert_eq!((ends, link.unproved()), ((100, 150), 150));
    link.on_answer(s(1), 100, s(3));
    assert_eq!(link.unproved(), 50);
    assert!(link.has_proved(99) && !link.has_proved(100));
    link.on_answer(s(1), 20, s(4));
    assert_eq!(link.unproved(), 50, "a late reply to an earlier frame");
    assert_eq!(link.rtts().collect::<Vec<_>>(), [&s(2), &s(3)]);
}

#[test]
fn ack_patience_grows_with_bytes_and_round_trips() {
    let mut link = up_at(s(0));
    assert_eq!(link.ack_patience(), s(10));
    link.on_sent(2_000, s(0));
    assert_eq!(link.ack_patience(), s(12), "a kilobyte a second");
    // Smoothed: an eighth of a longer round trip counts, and half of a shorter one.
    link.on_answer(s(0), 2_000, s(40));
    assert_eq!(link.rtt(), Some(s(5)));
    assert_eq!(link.ack_patience(), s(40), "eight round trips");
    link.on_answer(s(40), 2_000, s(41));
    assert_eq!(link.rtt(), Some(s(3)));
    link.on_answer(s(41), 2_000, s(44));
    assert_eq!(link.rtt(), Some(s(3)), "as long as before");
}

#[test]
fn late_ack_pings_after_four_round_trips() {
    let mut link = up_at(s(0));
    link.on_answer(s(0), 0, s(8)); // an estimate of one second
    assert_eq!(link.rtt(), Some(s(1)));
    let sent_up_to = link.on_sent(500, s(10));
    link.set_waiting(Some(Waiting {
        since: s(10),
        sent_up_to,
    }));
    let late = s(14) + ms(500);
    assert_eq!(
        link.deadline(),
        Some(late),
        "and half a second for the bytes"
    );
    assert_eq!(link.poll(late - ms(1)), Due::Nothing);
    assert_eq!(link.poll(late), Due::Ping(1));
    // The pong of a suspect connection has four round trips too, and the time for the bytes.
    let end = late + s(4) + ms(500);
    assert_eq!(link.deadline(), Some(end));
    assert_eq!(link.poll(end - ms(1)), Due::Nothing);
    assert!(matches!(link.poll(end), Due::Dead(..)));
}

#[test]
fn sent_frame_delays_no_ping() {
    let mut link = up_at(s(0));
    link.on_sent(10, s(20));
    assert_eq!(link.deadline(), Some(s(30)), "nothing was received");
    link.on_bytes(s(25));
    assert_eq!(link.deadline(), Some(s(50)));
    link.on_sent(10, s(29));
    assert_eq!(link.deadline(), Some(s(55)), "both directions count");
}

#[test]
fn deadlines_are_doubled_six_times_at_most() {
    let (mut link, _) = dialing(LinkSettings::default());
    let mut now = s(0);
    let mut deadlines = Vec::new();
    for _ in 0..8 {
        deadlines.push((link.deadline().expect("a dial") - now).as_secs());
        link.on_ended(Cause::DialTimeout, now);
        now += s(200);
        assert!(matches!(link.poll(now), Due::Dial(_)));
    }
    assert_eq!(deadlines, [10, 20, 40, 80, 120, 120, 120, 120]);
    assert_eq!(link.doublings(), 6);
}

#[test]
fn quick_reply_is_within_the_undoubled_deadline() {
    for (took, doublings) in [(s(10), 0), (s(10) + ms(1), 1)] {
        let mut link = up_at(s(0));
        link.on_ended(Cause::NoAnswer { waited: s(10) }, s(0));
        let Due::Dial(dial) = link.retry_now(s(0)) else {
            panic!("dials")
        };
        link.on_opened(dial, s(0));
        link.on_welcome(dial, s(30), s(0));
        assert_eq!(link.poll(s(30)), Due::Ping(1));
        link.on_pong(1, s(30) + took);
        assert_eq!(link.doublings(), doublings, "{took:?}");
    }
}

#[test]
fn retry_probes_an_open_connection() {
    let mut link = up_at(s(0));
    assert_eq!(link.retry_now(s(1)), Due::Ping(1));
    assert_eq!(link.deadline(), Some(s(4)), "with the short deadline");
    assert_eq!(link.probe(s(1)), Due::Nothing, "one ping at a time");
    let mut link = up_at(s(0));
    assert_eq!(link.probe(s(1)), Due::Ping(1));
    assert_eq!(link.deadline(), Some(s(11)));
    assert_eq!(link.retry_now(s(2)), Due::Nothing);
    assert_eq!(link.deadline(), Some(s(5)), "the ping is shortened");
    let (mut link, _) = dialing(LinkSettings::default());
    assert_eq!(link.retry_now(s(1)), Due::Nothing, "it dials already");
    assert_eq!(link.probe(s(1)), Due::Nothing);
}

#[test]
fn change_of_the_network_respects_the_user() {
    let settings = LinkSettings {
        max_attempts: Some(1),
        ..LinkSettings::default()
    };
    let (mut link, _) = dialing(settings);
    link.on_ended(Cause::Refused, s(1));
    assert!(matches!(link.phase(), ConnectionPhase::Offline { .. }));
    assert!(matches!(link.on_network_changed(s(2)), Due::Dial(_)));
    link.go_offline(Cause::Person);
    assert_eq!((link.deadline(), link.poll(s(999))), (None, Due::Nothing));
    assert_eq!(link.on_network_changed(s(999)), Due::Nothing);
    assert_eq!(up_at(s(0)).on_network_changed(s(1)), Due::Ping(1));
}

#[test]
fn link_that_gave_up_checks_at_intervals() {
    let settings = LinkSettings {
        max_attempts: Some(1),
        probe_every: Some(s(60)),
        ..LinkSettings::default()
    };
    let (mut link, _) = dialing(settings);
    assert_eq!(link.limits().next_check, None);
    link.on_ended(Cause::Refused, s(5));
    assert_eq!(link.limits().next_check, Some(s(65)));
    assert_eq!(link.deadline(), Some(s(65)));
    assert_eq!(link.poll(s(65) - ms(1)), Due::Nothing);
    assert!(matches!(link.poll(s(65)), Due::Dial(_)));
}

#[test]
fn heartbeat_of_the_server_is_bounded() {
    for (heartbeat, ping_at) in [(s(0), s(1)), (s(30), s(30)), (s(9_999), s(600))] {
        let (mut link, dial) = dialing(LinkSettings::default());
        link.on_opened(dial, s(0));
        link.on_welcome(dial, heartbeat, s(0));
        assert_eq!(link.deadline(), Some(ping_at));
    }
}

#[test]
fn reaction_by_instance_is_for_a_replaced_connection() {
    assert!(Link::is_by_instance(CloseCode::Replaced));
    assert!(!Link::is_by_instance(CloseCode::Draining));
}

#[test]
fn shortened_ping_has_time_for_its_bytes() {
    let mut link = up_at(s(0));
    link.on_sent(3_000, s(29));
    assert_eq!(link.poll(s(30)), Due::Ping(1));
    assert_eq!(link.deadline(), Some(s(43)), "ten seconds, and three");
    let sent_up_to = link.on_sent(200, s(31));
    link.set_waiting(Some(Waiting {
        since: s(31),
        sent_up_to,
    }));
    let late = s(36) + ms(200);
    assert_eq!(link.deadline(), Some(late));
    assert_eq!(link.poll(late), Due::Nothing);
    assert_eq!(
        link.deadline(),
        Some(late + s(6)),
        "three seconds, and three"
    );
}

#[test]
fn timers_show_the_deadlines_in_use() {
    let timers = up_at(s(0)).timers();
    assert_eq!(timers.patience, s(10));
    assert_eq!(timers.interval, s(30));
}

#[test]
fn phase_is_shown_by_its_word() {
    assert_eq!(LinkPhase::Backoff.to_string(), "backoff");
}
