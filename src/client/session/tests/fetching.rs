//! Pages that a session requests: for gaps, and for a reader who scrolls.

use super::*;

/// A member of a room with 40 entries, of which the newest 20 are stored.
fn with_newest() -> SessionFixture {
    let mut rig = SessionFixture::connected();
    rig.page(40, 20, 40, None);
    rig.sent.clear();
    rig
}

#[test]
fn page_before_the_stored_ones_is_requested_once() {
    let mut rig = with_newest();
    let scroll = |rig: &mut SessionFixture| {
        rig.sent.clear();
        rig.input(Input::Command(Command::FetchBefore(room())));
        rig.fetches().pop()
    };
    let first = scroll(&mut rig).expect("a fetch");
    assert_eq!((first.after, first.before), (None, Some(Seq(21))));
    assert_eq!(scroll(&mut rig), None, "one is on its way");
    rig.page(40, 10, 20, Some(first.request));
    let second = scroll(&mut rig).expect("a fetch");
    assert_eq!(second.before, Some(Seq(11)));
    rig.page(40, 0, 10, Some(second.request));
    assert_eq!(scroll(&mut rig), None, "there is nothing before");
}

#[test]
fn empty_page_is_the_beginning_of_the_log() {
    let mut rig = with_newest();
    rig.input(Input::Command(Command::FetchBefore(room())));
    let request = rig.fetches().pop().expect("a fetch").request;
    rig.page(40, 20, 20, Some(request));
    rig.sent.clear();
    rig.input(Input::Command(Command::FetchBefore(room())));
    assert_eq!(rig.fetches(), [], "the server has no earlier entries");
}

#[test]
fn page_at_a_reader_is_requested_below_the_stored_ones() {
    let mut rig = with_newest();
    let read = |rig: &mut SessionFixture, after: u64| {
        rig.sent.clear();
        rig.input(Input::Command(Command::FetchAfter(room(), Seq(after))));
        rig.fetches().pop()
    };
    assert_eq!(read(&mut rig, 20), None, "it is stored");
    assert_eq!(read(&mut rig, 30), None, "it is stored");
    let fetch = read(&mut rig, 15).expect("a fetch");
    assert_eq!((fetch.after, fetch.limit), (Some(Seq(15)), 5));
    assert_eq!(read(&mut rig, 3), None, "one is on its way");
}

#[test]
fn room_with_all_its_ranges_is_opened_without_a_jump() {
    let (at, all) = log(&(1..=40).collect::<Vec<_>>(), &[40]);
    let mut loaded = loaded();
    let range = |start: usize, end: usize| StoredRange {
        start: at[start],
        end: at[end],
    };
    loaded.rooms[0].ranges = vec![range(0, 1), range(20, 22)];
    let mut rig = SessionFixture::new(loaded.clone());
    rig.connect();
    assert_eq!(rig.opens()[0].jump, ClientLimits::default().jump_entries);
    let limits = ClientLimits {
        ranges: 2,
        ..ClientLimits::default()
    };
    let mut rig = SessionFixture::new(loaded.clone());
    rig.session = Session::with_limits(LinkSettings::default(), limits, 1, s(0), loaded);
    rig.connect();
    let open = rig.opens()[0];
    assert_eq!((open.have, open.jump), (Some(at[22]), 0));
    rig.opened(at[22], at[40]);
    let appends = |rig: &SessionFixture| {
        let is_append = |write: &&Write| matches!(write, Write::Append { .. });
        rig.writes.iter().filter(is_append).count()
    };
    rig.hear(page_frame(&at, &all, 30..31, None));
    assert_eq!(appends(&rig), 0, "a third range");
    rig.hear(page_frame(&at, &all, 22..31, None));
    assert_eq!(appends(&rig), 1);
}

#[test]
fn gaps_wait_until_the_head_is_stored() {
    let (at, _) = log(&(1..=40).collect::<Vec<_>>(), &[40]);
    let mut loaded = loaded();
    let range = |start: usize, end: usize| StoredRange {
        start: at[start],
        end: at[end],
    };
    loaded.rooms[0].ranges = vec![range(0, 1), range(20, 22)];
    let mut rig = SessionFixture::new(loaded);
    rig.connect();
    rig.opened(at[22], at[40]);
    rig.page(40, 22, 30, None);
    assert_eq!(rig.fetches(), [], "new entries come first");
    rig.page(40, 30, 40, None);
    let fetch = rig.fetches().pop().expect("a fetch");
    assert_eq!((fetch.after, fetch.limit), (Some(Seq(1)), 19));
}

#[test]
fn gaps_fill_backwards_after_the_head() {
    let mut rig = SessionFixture::connected();
    let ids: Vec<u64> = (1..=30).collect();
    let (at, all) = log(&ids, &[]);
    rig.hear(entries(&[1, 2], &[], 0));
    rig.cut_link();
    rig.redial();
    rig.connect();
    rig.opened(at[2], at[30]);
    let page = |from, to, request| page_frame(&at, &all, from..to, request);
    rig.hear(page(20, 30, None));
    let fetch = rig
        .sent
        .iter()
        .find_map(|f| {
            if let ClientFrame::Fetch(fetch) = f {
                Some(fetch.clone())
            } else {
                None
            }
        })
        .expect("a fetch");
    assert_eq!((fetch.after, fetch.limit), (Some(Seq(2)), 18));
    assert_eq!(rig.state(), LinkPhase::Resyncing, "a gap is not connected");
    rig.hear(page(2, 20, Some(fetch.request)));
    assert_eq!(rig.ranges().len(), 1);
    assert_eq!(rig.state(), LinkPhase::Connected);
}

#[test]
fn empty_gap_page_is_not_fetched_again() {
    let mut rig = SessionFixture::connected();
    let (at, all) = log(&[1, 2, 3, 4], &[]);
    rig.hear(entries(&[1], &[], 0));
    let high = Entries {
        room: room(),
        prev: at[3],
        entries: all[3..].to_vec(),
        skip: None,
        request: None,
    };
    rig.hear(ServerFrame::Entries(high));
    let fetches = |rig: &SessionFixture| {
        let of = |f: &ClientFrame| {
            if let ClientFrame::Fetch(fetch) = f {
                Some(fetch.request)
            } else {
                None
            }
        };
        rig.sent.iter().filter_map(of).collect::<Vec<_>>()
    };
    let request = fetches(&rig).last().copied();
    assert!(request.is_some());
    for _ in 0..3 {
        let empty = Entries {
            room: room(),
            prev: at[0],
            entries: Vec::new(),
            skip: None,
            request,
        };
        rig.hear(ServerFrame::Entries(empty));
    }
    assert_eq!(fetches(&rig).len(), 1);
}
