//! The hub: presence, subscriptions, and the order of connections.

use super::*;
use crate::protocol::Seq;

fn hub() -> Hub {
    Hub::new(ServerId::from_random([1; 16]))
}

fn account() -> AccountId {
    AccountId::from_random([2; 16])
}

fn room(n: u64) -> RoomId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_le_bytes());
    RoomId::from_random(id)
}

fn ours() -> Room {
    Room {
        room: room(1),
        name: "ops".into(),
        kind: "public".into(),
        topic: String::new(),
        member: true,
        first: Seq(1),
        head: Position::start(room(1)),
        delivered: Seq(0),
        read: Seq(0),
        delivered_here: Seq(0),
        read_here: Seq(0),
    }
}

fn register(
    hub: &Hub,
    connection: &HubHandle,
    instance: u8,
    dial: u64,
) -> Result<(SessionId, bool), Bye> {
    let device = DeviceId::from_random([3; 16]);
    let from = (InstanceId::from_random([instance; 16]), Dial(dial));
    hub.register(connection.id, (account(), device), from, None)
}

#[test]
fn newer_hello_fences_the_older_connection() {
    let hub = hub();
    let (mut old, new) = (hub.connect(), hub.connect());
    register(&hub, &old, 4, 1).expect("in");
    assert!(!old.fence.load(Ordering::Acquire));
    register(&hub, &new, 4, 2).expect("in");
    hub.join_rooms(new.id, account(), &[ours()]);
    assert!(
        old.fence.load(Ordering::Acquire),
        "nothing that the old connection still has on its way is taken"
    );
    let answer = old.bye.borrow_and_update().clone().expect("a goodbye");
    assert_eq!(
        (answer.code, answer.instance),
        (CloseCode::Replaced, Some(InstanceId::from_random([4; 16])))
    );
    assert_eq!(hub.disconnect(old.id, true), None);
    assert_eq!(hub.online(room(1)).len(), 1, "the device is still here");
    assert!(!new.fence.load(Ordering::Acquire));
}

#[test]
fn ended_connection_commits_nothing_after_welcome() {
    let hub = hub();
    let (old, new) = (hub.connect(), hub.connect());
    register(&hub, &old, 4, 1).expect("in");
    hub.disconnect(old.id, false);
    assert!(
        !old.fence.load(Ordering::Acquire),
        "the ended connection is not fenced before the next hello"
    );
    register(&hub, &new, 4, 2).expect("in");
    assert!(old.fence.load(Ordering::Acquire));
}

#[test]
fn late_hello_of_abandoned_dial_is_rejected() {
    let hub = hub();
    let (new, late, other) = (hub.connect(), hub.connect(), hub.connect());
    register(&hub, &new, 4, 8).expect("in");
    assert_eq!(
        register(&hub, &late, 4, 7).map_err(|bye| bye.code),
        Err(CloseCode::StaleDial)
    );
    assert!(!new.fence.load(Ordering::Acquire));
    assert!(
        register(&hub, &other, 5, 1).is_ok(),
        "another process counts its own dials"
    );
}

#[test]
fn connection_ended_before_welcome_leaves_no_ghost() {
    let hub = hub();
    let connection = hub.connect();
    // the socket went while the hello was looked up
    assert_eq!(hub.disconnect(connection.id, false), None);
    assert!(register(&hub, &connection, 4, 1).is_err());
    hub.join_rooms(connection.id, account(), &[ours()]);
    assert!(hub.state().sessions.is_empty() && hub.online(room(1)).is_empty());
}

#[test]
fn empty_rooms_use_no_memory() {
    let hub = hub();
    let connection = hub.connect();
    for n in 0..1_000 {
        hub.listen(connection.id, room(n));
        hub.unlisten(connection.id, room(n));
    }
    assert_eq!(hub.state().rooms.len(), 0);
    hub.listen(connection.id, room(1));
    hub.disconnect(connection.id, true);
    assert_eq!(hub.state().rooms.len(), 0);
}

#[test]
fn slow_connection_queue_is_bounded_and_gets_heads() {
    let hub = hub();
    let mut connection = hub.connect();
    hub.listen(connection.id, room(1));
    for n in 0..10_000 {
        let last = Position {
            seq: Seq(n + 1),
            ..Position::start(room(1))
        };
        hub.publish(&Arc::new(Live {
            room: room(1),
            prev: Seq(n),
            last,
            text: "x".into(),
        }));
    }
    assert!(connection.lagged.load(Ordering::Acquire));
    let events = std::iter::from_fn(|| connection.events.try_recv().ok()).count();
    assert_eq!(events, EVENTS_MAX);
    let answer = hub.catch_up(connection.id);
    assert!(
        matches!(&answer[0], session::Input::Heads(heads) if heads[0].1.seq == Seq(10_000)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn drain_spreads_reconnect_hints() {
    let hub = hub();
    let mut connections: Vec<_> = (0..200).map(|_| hub.connect()).collect();
    let drained = async {
        let mut hints = Vec::new();
        for connection in &mut connections {
            connection.bye.changed().await.expect("a goodbye");
            let answer = connection
                .bye
                .borrow_and_update()
                .clone()
                .expect("a goodbye");
            assert_eq!(answer.code, CloseCode::Draining);
            hints.push(answer.retry_after_ms.expect("a hint"));
            hub.disconnect(connection.id, false);
        }
        hints
    };
    let ((), hints) = tokio::join!(hub.drain(), drained);
    let apart = hints.iter().max().expect("some") - hints.iter().min().expect("some");
    assert!(
        apart > 200,
        "200 connections are spread over {apart} ms only"
    );
    assert!(
        hub.connect().bye.borrow().is_some(),
        "no connection is admitted any more"
    );
}
