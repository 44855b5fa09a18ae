//! What one published entry costs a connection of the server, with one and with many open rooms. Each
//! figure is a ratio within one run, so that it means the same on every machine.
//!
//! usage: cargo bench --bench connection

use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall::protocol::{
    AccountId, ClientFrame, DeviceId, Dial, Hello, InstanceId, Now, Open, Position, RoomId, Seq,
    ServerId, SessionId, Token,
};
use landfall::server::session::{Admission, Effect, Input, Live, Located, ServerSession, Settings};

const ROUNDS: u64 = 20_000;
const RUNS: usize = 7;

fn room(n: u64) -> RoomId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    RoomId::from_random(bytes)
}

/// Returns the connection of a client that has opened so many empty rooms.
fn connection(rooms: u64) -> ServerSession {
    let mut session = ServerSession::new(Settings::default(), Now::ZERO);
    let mut step = |input| session.step(Now::ZERO, input);
    step(Input::Frame(Box::new(ClientFrame::Hello(Hello {
        token: Token::from_random([1; 32]),
        device: DeviceId::from_random([2; 16]),
        instance: InstanceId::from_random([3; 16]),
        dial: Dial::default(),
        session: None,
        enrol: None,
    }))));
    step(Input::Admitted(Box::new(Ok(Admission {
        server: ServerId::from_random([4; 16]),
        session: SessionId::from_random([5; 16]),
        resumed: false,
        account: AccountId::from_random([6; 16]),
        name: "ana".to_owned(),
        rooms: Vec::new(),
        now: 0,
    }))));
    for n in 0..rooms {
        let start = Position::start(room(n));
        let open = Open {
            room: room(n),
            have: Some(start),
            locator: None,
            jump: 0,
            compare: false,
        };
        step(Input::Frame(Box::new(ClientFrame::Open(open.clone()))));
        let located = Located {
            common: Some(start),
            head: start,
        };
        step(Input::Located(open, Some(located)));
        step(Input::Drained(1));
    }
    session
}

/// Time of one published entry, the median of several runs.
fn cost(rooms: u64) -> Duration {
    let mut runs: Vec<_> = (0..RUNS).map(|_| run(rooms)).collect();
    runs.sort_unstable();
    runs[RUNS / 2]
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn run(rooms: u64) -> Duration {
    let mut session = connection(rooms);
    let text: Arc<str> = "{}".into();
    let began = Instant::now();
    for seq in 1..=ROUNDS {
        let start = Position::start(room(rooms - 1));
        let live = Live {
            room: room(rooms - 1),
            prev: Seq(seq - 1),
            last: Position {
                seq: Seq(seq),
                ..start
            },
            text: text.clone(),
        };
        let effects = session.step(Now::ZERO, Input::Live(Arc::new(live)));
        assert!(matches!(effects[..], [Effect::Log(_)]), "{effects:?}");
        session.step(Now::ZERO, Input::Drained(1));
    }
    began.elapsed() / (2 * ROUNDS as u32)
}

fn main() {
    let one = cost(1);
    let many = cost(500);
    let ratio = many.as_secs_f64() / one.as_secs_f64();
    println!("1 open room       {one:>9.2?} an input   1.0");
    println!("500 open rooms    {many:>9.2?} an input   {ratio:.1}");
}
