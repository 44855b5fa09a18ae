//! The limits of both lanes on connections that are quick, slow, or change.

use super::*;

const fn ms(ms: u64) -> Now {
    Duration::from_millis(ms)
}

const fn fresh(n: u64) -> Confirmed {
    Confirmed {
        ephemeral: n,
        log: 0,
    }
}

const fn log(n: u64) -> Confirmed {
    Confirmed {
        ephemeral: 0,
        log: n,
    }
}

#[test]
fn pacer_paces_signals_when_unconfirmed() {
    let mut pace = Pacer::default();
    assert_eq!(pace.next(), ms(0));
    let probes: Vec<_> = (0..4)
        .filter_map(|_| pace.on_signals(BATCH_BYTES, true, ms(10)))
        .collect();
    assert_eq!(pace.next(), ms(10) + TICKING);
    pace.on_confirmed(fresh(probes[0]), ms(410));
    assert_eq!(
        pace.next(),
        ms(110),
        "a quarter of the round trip after the last ones"
    );
    pace.on_confirmed(fresh(probes[3]), ms(500));
    assert_eq!(
        pace.fresh.bytes, 0,
        "the newest answer confirms all before it"
    );
}

#[test]
fn pacer_shrinks_window_on_slow_connection() {
    let mut pace = Pacer::default();
    let mut flies = |now: u64, took: u64| {
        let mut probes = Vec::new();
        while pace.next() <= ms(now) {
            probes.extend(pace.on_signals(256, true, ms(now)));
            pace.round_trip = Duration::ZERO;
        }
        probes
            .iter()
            .for_each(|probe| pace.on_confirmed(fresh(*probe), ms(now + took)));
        probes.len() * 256
    };
    assert_eq!(flies(0, 100), FLIGHT_BYTES);
    assert_eq!(flies(1_000, 2_000), FLIGHT_BYTES);
    assert_eq!(flies(4_000, 2_000), FLIGHT_BYTES_MIN);
    assert_eq!(flies(8_000, 100), FLIGHT_BYTES_MIN);
    assert!(flies(9_000, 100) > FLIGHT_BYTES_MIN);
}

#[test]
fn pacer_limit_halves_after_queueing_and_grows_a_little() {
    let mut pace = Pacer::default();
    let mut confirm = |sent: u64, took: u64| {
        let probe = pace.on_signals(10, true, ms(sent)).expect("a probe");
        pace.on_confirmed(fresh(probe), ms(sent + took));
        (pace.fresh.allowed, pace.round_trip)
    };
    assert_eq!(confirm(0, 100), (FLIGHT_BYTES, ms(100)));
    // Not queued: as much later than the fastest one as is allowed.
    assert_eq!(confirm(1_000, 600), (FLIGHT_BYTES, ms(225)));
    assert_eq!(confirm(2_000, 601), (FLIGHT_BYTES / 2, ms(319)));
    let grown = FLIGHT_BYTES / 2 + BATCH_BYTES / 4;
    assert_eq!(confirm(3_000, 119), (grown, ms(269)));
}

#[test]
fn pacer_log_uses_full_speed_beside_values() {
    let mut pace = Pacer::default();
    assert_eq!(pace.on_log(8_000, ms(0)), None);
    assert!(pace.lets_log_pass(ms(0)));
    let mut at = 1_000;
    let mut flies = |took: u64| {
        pace.on_signals(100, true, ms(at));
        let mut probes = Vec::new();
        while pace.lets_log_pass(ms(at)) && probes.len() < FLIGHTS_MAX {
            probes.extend(pace.on_log(8_000, ms(at)));
        }
        at += took;
        probes
            .iter()
            .for_each(|probe| pace.on_confirmed(log(*probe), ms(at)));
        probes.len()
    };
    assert_eq!(
        [flies(100), flies(100), flies(100), flies(100), flies(100)],
        [1, 1, 1, 1, 2]
    );
    assert!(
        (0..5).map(|_| flies(100)).last() >= Some(9),
        "a quick link is filled"
    );
    let _ = flies(900); // what was on its way shows that it queues
    assert_eq!(flies(900), 1);
}

/// A connection that becomes slow shows it by its signals first: the log sends no burst into it.
#[test]
fn pacer_queued_signals_lower_the_limit_of_the_log() {
    let mut pace = Pacer::default();
    pace.log.allowed = LOG_BYTES;
    let confirm = |pace: &mut Pacer, sent: u64, took: u64| {
        let probe = pace.on_signals(100, true, ms(sent)).expect("a probe");
        pace.on_confirmed(fresh(probe), ms(sent + took));
        pace.log.allowed
    };
    assert_eq!(confirm(&mut pace, 0, 20), LOG_BYTES);
    assert_eq!(
        confirm(&mut pace, 1_000, 170),
        LOG_BYTES,
        "not queued long enough"
    );
    assert_eq!(confirm(&mut pace, 2_000, 171), LOG_BYTES / 2);
    assert_eq!(
        confirm(&mut pace, 2_100, 171),
        LOG_BYTES / 2,
        "sent before that"
    );
    assert_eq!(confirm(&mut pace, 3_000, 521), LOG_BYTES_MIN);
}

/// A handover to a distant network is no queue for ever.
#[test]
fn pacer_adapts_to_a_longer_path() {
    let mut pace = Pacer::default();
    let mut flies = |at: u64, took: u64| {
        pace.on_signals(100, true, ms(at));
        let mut probes = Vec::new();
        while pace.lets_log_pass(ms(at)) && probes.len() < FLIGHTS_MAX {
            probes.extend(pace.on_log(400, ms(at)));
        }
        let confirm = |probe: &u64| pace.on_confirmed(log(*probe), ms(at + took));
        probes.iter().for_each(confirm);
        pace.log.allowed
    };
    for n in 0..10 {
        flies(n * 100, 10);
    }
    assert_eq!(flies(2_000, 700), LOG_BYTES_MIN);
    let later = (3..200).map(|n| flies(n * 1_000, 700)).last();
    assert_eq!(later, Some(LOG_BYTES / 2)); // as many flights as are tracked
}

#[test]
fn pacer_small_first_frame_allows_no_burst() {
    let mut pace = Pacer::default();
    pace.on_signals(100, true, ms(0));
    let fill = |pace: &mut Pacer, at| {
        let before = pace.log.bytes;
        while pace.lets_log_pass(at) {
            pace.on_log(25, at);
        }
        pace.log.bytes - before
    };
    fill(&mut pace, ms(0));
    let first = pace.log.flying[0].n;
    let confirmed: usize = (0..10)
        .map(|n| {
            pace.on_confirmed(log(first + n), ms(600 + n));
            fill(&mut pace, ms(600 + n))
        })
        .sum();
    assert!(
        pace.log.bytes <= 2 * LOG_BYTES_MIN + 25,
        "{} after {confirmed}",
        pace.log.bytes
    );
}

#[test]
fn pacer_stops_waiting_for_missing_confirmation() {
    let mut pace = Pacer::default();
    pace.on_signals(FLIGHT_BYTES, true, ms(1_000));
    pace.on_log(8_000, ms(1_000));
    pace.on_signals(10, true, ms(4_000)); // not paced here
    assert!(!pace.lets_log_pass(ms(4_000)) && pace.next() > ms(4_000));
    assert_eq!(pace.lets_log_pass_at(), Some(ms(6_000)));
    pace.expire(ms(6_000));
    assert_eq!((pace.fresh.bytes, pace.log.bytes), (10, 0));
    assert!(pace.lets_log_pass(ms(6_000)) && pace.next() <= ms(6_000));
}

#[test]
fn pacer_log_is_free_some_time_after_the_signals() {
    let mut pace = Pacer::default();
    pace.on_signals(10, true, ms(1_000));
    let end = ms(1_000) + TICKING;
    assert!(pace.on_log(8_000, end - ms(1)).is_some());
    assert_eq!(pace.on_log(8_000, end), None);
}

#[test]
fn any_number_of_frames_costs_bounded_memory() {
    let mut pace = Pacer::default();
    pace.on_signals(10, true, ms(0));
    let probes = (0..10_000).filter_map(|_| pace.on_log(100, ms(1))).count();
    assert_eq!(
        (probes, pace.log.flying.len(), pace.log.bytes),
        (FLIGHTS_MAX, FLIGHTS_MAX, 1_000_000)
    );
    pace.on_confirmed(log(u64::MAX), ms(2));
    assert_eq!(pace.log.bytes, 0);
}

#[test]
fn ping_payload_returns_with_its_pong() {
    let mut reached = Confirmed::default();
    reached.on_probe(Lane::Ephemeral, 3);
    reached.on_probe(Lane::Log, 4);
    assert_eq!(
        Confirmed::from_bytes(&reached.to_bytes()),
        Some(Confirmed {
            ephemeral: 3,
            log: 4
        })
    );
    assert_eq!(
        [&b""[..], b"1234567", b"12345678", &[0; 17]].map(Confirmed::from_bytes),
        [None; 4]
    );
}
