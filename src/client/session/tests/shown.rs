//! What a session counts and shows.

use super::*;
use crate::client::link::LinkState;

impl SessionFixture {
    fn doing(&self) -> &'static str {
        let rooms = self.session.details(self.now).rooms;
        let details = rooms.iter().find(|details| details.room == room());
        details.expect("the account is a member").doing
    }
}

#[test]
fn frames_and_rejections_are_counted() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.reject(1, RejectCode::NotMember, None);
    let figures = rig.session.details(rig.now).of_link;
    // In: welcome, room, opened, reject. Out: hello, open, send.
    assert_eq!((figures.frames_in, figures.frames_out), (4, 3));
    assert_eq!((figures.sent, figures.rejected), (1, 1));
    rig.type_in(room(), 2);
    rig.reject(2, RejectCode::NotMember, None);
    assert_eq!(rig.session.details(rig.now).of_link.rejected, 2);
}

#[test]
fn requests_to_the_store_are_numbered_in_order() {
    let mut rig = SessionFixture::connected();
    (1..4).for_each(|n| rig.type_in(room(), n));
    rig.ack(1, 1);
    rig.cut_link();
    rig.type_in(room(), 4); // now the store is only asked
    rig.type_in(room(), 5);
    rig.redial();
    let tickets: Vec<_> = rig
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Persist(ticket, _) | Effect::Ask(ticket, _) => Some(ticket.0),
            _ => None,
        })
        .collect();
    assert!(tickets.len() > 5, "{tickets:?}");
    assert!(tickets.is_sorted_by(|a, b| a < b), "{tickets:?}");
}

#[test]
fn rooms_to_catch_up_are_counted_once() {
    let mut rig = SessionFixture::new(loaded());
    let rooms_left = |rig: &SessionFixture| match rig.session.link_state() {
        LinkState::Resyncing { rooms_left, .. } => rooms_left,
        other => panic!("{other:?}"),
    };
    rig.upgrade();
    rig.welcome(3);
    assert_eq!(rooms_left(&rig), 3, "one of them is stored");
    for (n, named) in [room(), other_room(), RoomId::from_random([12; 16])]
        .into_iter()
        .enumerate()
    {
        let frame = SessionFixture::room_frame(named, Position::start(named));
        rig.hear(ServerFrame::Room(frame));
        assert_eq!(rooms_left(&rig), 3, "{n}");
    }
    rig.opened(Position::start(room()), Position::start(room()));
    assert_eq!(rooms_left(&rig), 2);
}

#[test]
fn presence_and_deferral_are_shown_by_room() {
    let mut rig = SessionFixture::connected();
    let status = |rig: &SessionFixture| rig.session.status().rooms[&room()].clone();
    rig.hear(ServerFrame::Presence {
        room: room(),
        online: 3,
    });
    assert_eq!((status(&rig).online, status(&rig).deferral), (3, None));
    rig.type_in(room(), 1);
    rig.reject(1, RejectCode::RateLimited, None);
    assert_eq!(status(&rig).deferral, Some("no".into()));
    rig.pass_until(|rig| rig.sent.len() > 2 && rig.session.details(rig.now).of_link.resent > 0);
    rig.ack(1, 1);
    assert_eq!(status(&rig).deferral, None);
}

#[test]
fn details_name_what_happens_in_a_room() {
    let mut rig = SessionFixture::new(loaded());
    assert_eq!(rig.doing(), "");
    rig.connect();
    assert_eq!(rig.doing(), "opening");
    let (at, _) = log(&(1..=40).collect::<Vec<_>>(), &[40]);
    rig.opened(at[0], at[2]);
    assert_eq!(rig.doing(), "catching up");
    rig.page(40, 0, 2, None);
    assert_eq!(rig.doing(), "live");
    rig.page(40, 30, 40, None);
    assert_eq!(rig.doing(), "filling a gap");
    let request = rig.fetches().pop().expect("a fetch").request;
    rig.page(40, 2, 30, Some(request));
    assert_eq!(rig.doing(), "live");
    let below = Head {
        room: room(),
        seq: Seq(30),
        chain: at[30].chain,
    };
    rig.hear(ServerFrame::Pong {
        n: 0,
        heads: vec![below],
    });
    assert_eq!(rig.doing(), "opening", "it is compared while it is live");
    rig.opened(at[40], at[40]);
    assert_eq!(rig.doing(), "live");
    rig.type_in(room(), 90);
    rig.reject(90, RejectCode::OutOfOrder, None);
    assert_eq!(rig.doing(), "comparing");
    rig.disk_pauses = true;
    rig.hear(ServerFrame::Diverged { room: room() });
    assert_eq!(rig.doing(), "comparing", "the store looks for positions");
    rig.disk_pauses = false;
    rig.locator = vec![at[30], at[0]];
    rig.pending.clear();
    let ticket = rig.session.out.last_ticket();
    let positions = rig.locator.clone();
    rig.input(Input::Found(
        ticket,
        Found::Locator {
            room: room(),
            positions,
        },
    ));
    rig.disk_pauses = true;
    rig.opened(at[30], at[30]);
    assert_eq!(rig.doing(), "truncating");
}
