//! Plans of faults: which lines are accepted, and what they mean.

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn every_command_reads_as_it_is_written() {
    let all = [
        FaultCommand::Pass,
        FaultCommand::Cut,
        FaultCommand::Reset,
        FaultCommand::Close,
        FaultCommand::Refuse,
        FaultCommand::Mute,
        FaultCommand::Portal,
        FaultCommand::Half,
        FaultCommand::Dead(Direction::Up),
        FaultCommand::Stall,
        FaultCommand::Latency(500 * MS, 20 * MS),
        FaultCommand::Rate(1_000),
        FaultCommand::ResetAfter(70, Direction::Down),
        FaultCommand::LateFin(5_000 * MS),
        FaultCommand::Corrupt(Direction::Up),
        FaultCommand::Swallow("ack".into(), 3),
        FaultCommand::Flap(10_000 * MS),
    ];
    for command in all {
        assert_eq!(command.to_string().parse(), Ok(command.clone()));
        let name = command.to_string();
        let name = name.split(' ').next().expect("a word");
        assert!(
            USAGE
                .split(", ")
                .any(|usage| usage.split(' ').next() == Some(name)),
            "{name}"
        );
    }
    assert_eq!(
        "latency 1.5s".parse(),
        Ok(FaultCommand::Latency(1_500 * MS, Duration::ZERO))
    );
}

#[test]
fn mistake_shows_how_its_command_is_written() {
    let of = |line: &str| line.parse::<FaultCommand>().expect_err(line).to_string();
    let latency = of("latency fast");
    assert!(
        latency.contains("latency TIME [JITTER]; a TIME") && !latency.contains("flap"),
        "{latency}"
    );
    assert!(of("cutt").contains("one of: pass, cut"), "{}", of("cutt"));
}

#[test]
fn unknown_command_is_reported() {
    for line in [
        "",
        "cutt",
        "dead",
        "dead left",
        "latency fast",
        "latency 5",
        "latency -1s",
        "rate 0",
        "rate x",
    ] {
        assert!(line.parse::<FaultCommand>().is_err(), "{line}");
    }
    for line in [
        "flap 0s",
        "flap 1e300s",
        "reset-after up 5",
        "corrupt",
        "swallow ack many",
    ] {
        assert!(line.parse::<FaultCommand>().is_err(), "{line}");
    }
}

#[test]
fn plan_is_read_completely_or_rejected() {
    let read = steps("# a tunnel\ncut\nwait 2s   # dark\n\npass\n");
    assert_eq!(
        read,
        Ok(vec![
            Step::Commands(vec![FaultCommand::Cut]),
            Step::Wait(2_000 * MS),
            Step::Commands(vec![FaultCommand::Pass])
        ])
    );
    assert_eq!(
        steps("\u{feff}status\nwait\t1s\nquit\n").map(|steps| steps.len()),
        Ok(3)
    );
    let both = vec![FaultCommand::Pass, FaultCommand::Rate(2_000)];
    assert_eq!(
        steps("pass; rate 2000 # at one moment"),
        Ok(vec![Step::Commands(both)])
    );
    assert_eq!(steps("pass;\n").map_err(|(line, _)| line), Err(1));
    assert_eq!(steps("cut\nwait long\n").map_err(|(line, _)| line), Err(2));
}

#[test]
fn one_shot_fault_strikes_once() {
    let mut armed = Armed {
        reset_after: Some((10, Direction::Up)),
        corrupt: Some(Direction::Down),
        ..Armed::default()
    };
    assert_eq!(armed.reset_after(Direction::Down, 100), None);
    assert_eq!(armed.reset_after(Direction::Up, 7), None);
    assert_eq!(armed.reset_after(Direction::Up, 7), Some(3));
    assert_eq!(armed.reset_after(Direction::Up, 7), None);
    let mut bytes = *b"abc";
    assert!(!armed.corrupt(Direction::Up, &mut bytes) && !armed.corrupt(Direction::Down, &mut []));
    assert!(
        armed.corrupt(Direction::Down, &mut bytes) && !armed.corrupt(Direction::Down, &mut bytes)
    );
    assert_eq!(&bytes, b"a\xe2c");
}

#[test]
fn flap_cuts_and_passes_in_turn() {
    let mut state = FaultState::default();
    state.apply(&FaultCommand::Flap(MS));
    assert_eq!((state.door, state.resets), (AcceptMode::Refusing, 1));
    state.flap();
    assert_eq!((state.door, state.resets), (AcceptMode::Open, 1));
    state.flap();
    assert_eq!((state.door, state.resets), (AcceptMode::Refusing, 2));
    state.apply(&FaultCommand::Pass);
    assert_eq!((state.door, state.flap), (AcceptMode::Open, None));
}
