//! What every storage must do, as one suite that runs on all of them.

use super::*;
use crate::protocol::{Kind, Target};

type Make = fn() -> (Box<dyn Storage>, Option<tempfile::TempDir>);

const STORAGES: [(&str, Make); 2] = [
    ("memory", || {
        (
            Box::new(Memory::new(
                ServerId::from_random([9; 16]),
                RoomId::from_random([8; 16]),
            )),
            None,
        )
    }),
    ("sqlite", || {
        let folder = tempfile::tempdir().expect("a folder");
        (
            Box::new(Sqlite::open(folder.path()).expect("opens")),
            Some(folder),
        )
    }),
];

const TOKEN: TokenHash = [5; 32];

/// Runs one check on every storage, with the account `ana` in the lobby.
fn check(fact: impl Fn(&mut StorageFixture)) {
    for (name, make) in STORAGES {
        println!("on {name}");
        let (mut storage, _folder) = make();
        storage.renew_invite("code", 100).expect("an invite");
        let lobby = storage
            .find_room(Some(LOBBY), None)
            .expect("reads")
            .expect("has a lobby")
            .room;
        let mut world = StorageFixture {
            storage,
            lobby,
            author: account(1),
            device: device(1),
        };
        world.enrol(1, "ana").expect("ana comes in");
        fact(&mut world);
    }
}

struct StorageFixture {
    storage: Box<dyn Storage>,
    lobby: RoomId,
    author: AccountId,
    device: DeviceId,
}

fn account(n: u8) -> AccountId {
    AccountId::from_random([n; 16])
}

fn device(n: u8) -> DeviceId {
    DeviceId::from_random([n + 100; 16])
}

fn id(n: u64) -> EntryId {
    EntryId::from_parts(n, [0; 10])
}

impl StorageFixture {
    fn enrol(&mut self, n: u8, name: &str) -> Result<Account, EnrolError> {
        let enrol = Enrol {
            invite: "code".into(),
            name: name.into(),
            account: account(n),
        };
        self.storage
            .enrol(&enrol, device(n), TOKEN, 1_000)
            .expect("the storage works")
            .into_account()
    }

    fn append(&self, n: u64, after: Option<u64>) -> Append {
        let send = SendEntry {
            id: id(n),
            room: self.lobby,
            after: after.map(id),
            kind: Kind::Message,
            body: format!("line {n}"),
            target: None,
            composed_at: n,
        };
        Append {
            send,
            author: self.author,
            device: self.device,
            over_rate_ms: None,
        }
    }

    fn commit(&mut self, group: &[Append]) -> Vec<Verdict> {
        self.storage.commit(group, 2_000).expect("commits")
    }

    fn commit_line(&mut self, n: u64, after: Option<u64>) -> Verdict {
        let append = self.append(n, after);
        self.commit(&[append]).remove(0)
    }

    fn head(&mut self) -> Position {
        self.storage
            .head(self.lobby)
            .expect("reads")
            .expect("has the lobby")
    }
}

fn seq(verdict: &Verdict) -> u64 {
    match verdict {
        Verdict::Stored(stored) => stored.entry.seq.0,
        Verdict::Known { seq, .. } => seq.0,
        Verdict::Rejected(rejection) => panic!("rejected: {rejection:?}"),
    }
}

fn code(verdict: &Verdict) -> RejectCode {
    match verdict {
        Verdict::Rejected(rejection) => rejection.code,
        Verdict::Stored(_) | Verdict::Known { .. } => panic!("not rejected: {verdict:?}"),
    }
}

#[test]
fn known_id_is_acked_with_its_first_seq() {
    check(|world| {
        let first = seq(&world.commit_line(1, None));
        world.commit_line(2, Some(1));
        assert_eq!(
            world.commit_line(1, None),
            Verdict::Known {
                seq: Seq(first),
                at: 2_000
            }
        );
        assert_eq!(world.head().seq, Seq(first + 1));
    });
}

#[test]
fn duplicate_in_one_group_is_appended_once() {
    check(|world| {
        let twice = [
            world.append(1, None),
            world.append(1, None),
            world.append(2, Some(1)),
        ];
        let verdicts = world.commit(&twice);
        assert_eq!(seq(&verdicts[0]), seq(&verdicts[1]));
        assert_eq!(seq(&verdicts[2]), seq(&verdicts[0]) + 1);
    });
}

#[test]
fn entry_id_is_checked_before_everything_else() {
    check(|world| {
        let place = seq(&world.commit_line(1, None));
        let leave = Append {
            send: SendEntry {
                kind: Kind::Leave,
                ..world.append(2, Some(1)).send
            },
            ..world.append(2, Some(1))
        };
        world.commit(&[leave]);
        let again = Append {
            over_rate_ms: Some(9),
            ..world.append(1, Some(77))
        };
        assert_eq!(seq(&world.commit(&[again])[0]), place);
        assert_eq!(code(&world.commit_line(3, Some(2))), RejectCode::NotMember);
    });
}

#[test]
fn same_id_with_other_content_conflicts() {
    check(|world| {
        world.commit_line(1, None);
        let first = world.append(1, None);
        let text = SendEntry {
            body: "something else".into(),
            ..first.send.clone()
        };
        let target = Target {
            author: first.author,
            id: id(7),
        };
        let target = SendEntry {
            target: Some(target),
            ..first.send.clone()
        };
        for send in [text, target] {
            assert_eq!(
                code(
                    &world.commit(&[Append {
                        send,
                        ..first.clone()
                    }])[0]
                ),
                RejectCode::IdConflict
            );
        }
    });
}

#[test]
fn empty_bodies_are_the_same_message() {
    check(|world| {
        let place = seq(&world.commit_line(1, None));
        let sent = |n, body: &str, world: &StorageFixture| {
            let append = world.append(n, None);
            Append {
                send: SendEntry {
                    body: body.into(),
                    ..append.send.clone()
                },
                ..append
            }
        };
        let emptied = sent(1, "", world);
        assert_eq!(
            seq(&world.commit(&[emptied])[0]),
            place,
            "moved back, and restored by one who has it"
        );
        let second = Append {
            send: SendEntry {
                after: Some(id(1)),
                ..sent(2, "", world).send
            },
            ..sent(2, "", world)
        };
        let place = seq(&world.commit(&[second])[0]);
        let whole = sent(2, "with its text", world);
        assert_eq!(
            seq(&world.commit(&[whole])[0]),
            place,
            "restored by one who does not"
        );
        let topic = |body: &str| SendEntry {
            kind: Kind::Topic,
            ..sent(3, body, world).send
        };
        let [set, emptied] = ["deploys", ""].map(|body| Append {
            send: SendEntry {
                after: Some(id(2)),
                ..topic(body)
            },
            ..sent(3, body, world)
        });
        world.commit(&[set]);
        assert_eq!(
            code(&world.commit(&[emptied])[0]),
            RejectCode::IdConflict,
            "an empty topic is another topic"
        );
    });
}

#[test]
fn append_requires_the_last_entry_of_the_device() {
    check(|world| {
        world.commit_line(1, None);
        let Verdict::Rejected(rejection) = world.commit_line(3, Some(2)) else {
            panic!("rejected")
        };
        assert_eq!(
            (rejection.code, rejection.last),
            (RejectCode::OutOfOrder, Some(id(1)))
        );
        assert_eq!(code(&world.commit_line(3, None)), RejectCode::OutOfOrder);
        assert!(matches!(world.commit_line(3, Some(1)), Verdict::Stored(_)));
    });
}

#[test]
fn one_bad_entry_does_not_fail_its_group() {
    check(|world| {
        let mut bad = world.append(2, Some(1));
        bad.send.body = "x".repeat(20_000);
        let verdicts = world.commit(&[world.append(1, None), bad, world.append(3, Some(1))]);
        assert!(matches!(verdicts[0], Verdict::Stored(_)));
        assert_eq!(code(&verdicts[1]), RejectCode::TooBig);
        assert!(matches!(verdicts[2], Verdict::Stored(_)));
    });
}

#[test]
fn over_rate_costs_time_and_not_the_order() {
    check(|world| {
        let fast = Append {
            over_rate_ms: Some(700),
            ..world.append(1, None)
        };
        let Verdict::Rejected(rejection) = &world.commit(&[fast])[0] else {
            panic!("rejected")
        };
        assert_eq!(
            (rejection.code, rejection.retry_after_ms),
            (RejectCode::RateLimited, Some(700))
        );
        assert!(matches!(world.commit_line(1, None), Verdict::Stored(_)));
    });
}

#[test]
fn time_never_falls_within_a_log() {
    check(|world| {
        world.commit_line(1, None);
        let late = world.append(2, Some(1));
        let Verdict::Stored(stored) = &world.storage.commit(&[late], 7).expect("commits")[0] else {
            panic!("stored")
        };
        assert_eq!(stored.entry.at, 2_000);
    });
}

#[test]
fn log_chains_and_pages_cover_it_both_ways() {
    check(|world| {
        for n in 1..=50 {
            world.commit_line(n, (n > 1).then(|| n - 1));
        }
        let lobby = world.lobby;
        let (mut at, mut ids) = (Position::start(lobby), Vec::new());
        loop {
            let page = world
                .storage
                .page_after(lobby, at.seq, 20, 4_000)
                .expect("reads")
                .expect("is there");
            assert_eq!(page.prev, at);
            if page.entries.is_empty() {
                break;
            }
            for entry in &page.entries {
                at = at.next(entry.author, entry.id);
                assert_eq!(entry.seq, at.seq);
                ids.push(entry.id);
            }
        }
        assert_eq!(at, world.head());
        let page = world
            .storage
            .page_before(lobby, Seq(30), 5, 100_000)
            .expect("reads")
            .expect("is there");
        assert_eq!(
            page.entries.iter().map(|e| e.seq.0).collect::<Vec<_>>(),
            [25, 26, 27, 28, 29]
        );
        assert_eq!(page.prev.seq, Seq(24));
        assert!(
            world
                .storage
                .page_after(lobby, Seq(9_999), 5, 100)
                .expect("reads")
                .is_none()
        );
    });
}

#[test]
fn common_position_is_found_by_chain() {
    check(|world| {
        world.commit_line(1, None);
        let head = world.head();
        let foreign = Position {
            seq: head.seq,
            chain: Position::start(world.lobby).chain,
        };
        let start = Position::start(world.lobby);
        assert_eq!(
            world
                .storage
                .locate(world.lobby, &[foreign])
                .expect("reads"),
            None
        );
        assert_eq!(
            world
                .storage
                .locate(world.lobby, &[start, foreign, head])
                .expect("reads"),
            Some(head)
        );
        assert_eq!(
            world.storage.locate(RoomId::NIL, &[start]).expect("reads"),
            None
        );
    });
}

#[test]
fn known_device_id_gives_no_access() {
    check(|world| {
        let enrol = Enrol {
            invite: "code".into(),
            name: "eve".into(),
            account: account(7),
        };
        let thief = world
            .storage
            .enrol(&enrol, device(1), [9; 32], 1)
            .expect("works")
            .into_account();
        assert_eq!(thief, Err(EnrolError::DeviceTaken));
        let own = Enrol {
            invite: "code".into(),
            name: "ana".into(),
            account: account(1),
        };
        let thief = world
            .storage
            .enrol(&own, device(1), [9; 32], 1)
            .expect("works")
            .into_account();
        assert_eq!(
            thief,
            Err(EnrolError::DeviceTaken),
            "nor with the account's id, which everybody knows, too"
        );
        let owner = world.storage.authenticate(device(1), TOKEN).expect("reads");
        assert_eq!(owner.map(|account| account.name), Some("ana".to_owned()));
        assert_eq!(
            world
                .storage
                .authenticate(device(1), [9; 32])
                .expect("reads"),
            None
        );
    });
}

#[test]
fn enrolling_again_is_idempotent_and_private() {
    check(|world| {
        let before = world.storage.head(world.lobby).expect("reads");
        let again = world.enrol(1, "ana").expect("the same device");
        assert_eq!(again.account, account(1));
        assert_eq!(world.storage.head(world.lobby).expect("reads"), before);
        let enrol = Enrol {
            invite: "code".into(),
            name: "ana".into(),
            account: account(1),
        };
        let thief = world
            .storage
            .enrol(&enrol, device(7), TOKEN, 1)
            .expect("works")
            .into_account();
        assert_eq!(thief, Err(EnrolError::AccountTaken));
        assert_eq!(world.enrol(2, "ANA"), Err(EnrolError::NameTaken));
        assert_eq!(world.enrol(2, "a b"), Err(EnrolError::BadName));
        let enrol = Enrol {
            invite: "wrong".into(),
            name: "eve".into(),
            account: account(3),
        };
        assert_eq!(
            world
                .storage
                .enrol(&enrol, device(3), TOKEN, 1)
                .expect("works")
                .into_account(),
            Err(EnrolError::BadInvite)
        );
        assert_eq!(
            world
                .storage
                .authenticate(device(1), [0; 32])
                .expect("works"),
            None
        );
        assert!(
            world
                .storage
                .authenticate(device(1), TOKEN)
                .expect("works")
                .is_some()
        );
    });
}

#[test]
fn device_code_works_once_and_expires() {
    const OTHER: TokenHash = [8; 32];
    check(|world| {
        world
            .storage
            .link_device(account(1), "code-1", 100)
            .expect("works");
        world
            .storage
            .link_device(account(9), "absent", 100)
            .expect("works");
        let mut come = |code: &str, n: u8, wanted: u8, now: u64| {
            let enrol = Enrol {
                invite: code.into(),
                name: "carol".into(),
                account: account(wanted),
            };
            world
                .storage
                .enrol(&enrol, device(n), OTHER, now)
                .expect("works")
                .into_account()
        };
        assert_eq!(
            come("code-1", 20, 70, 100),
            Err(EnrolError::BadInvite),
            "it is over"
        );
        assert_eq!(
            come("absent", 20, 70, 1),
            Err(EnrolError::BadInvite),
            "there is no such account"
        );
        let linked = come("code-1", 21, 70, 99).expect("in");
        assert_eq!((linked.account, linked.name.as_str()), (account(1), "ana"));
        assert_eq!(
            come("code-1", 22, 71, 99),
            Err(EnrolError::BadInvite),
            "it was used"
        );
        let known = world
            .storage
            .authenticate(device(21), OTHER)
            .expect("works")
            .expect("a device");
        assert_eq!((known.account, known.name.as_str()), (account(1), "ana"));
        assert!(
            world
                .storage
                .authenticate(device(1), TOKEN)
                .expect("works")
                .is_some(),
            "the first one is in as well"
        );
    });
}

#[test]
fn lost_device_returns_by_its_single_code() {
    check(|world| {
        world.enrol(2, "bob").expect("bob comes in");
        world
            .storage
            .link_device(account(1), "first", 100)
            .expect("works");
        world
            .storage
            .link_device(account(1), "second", 100)
            .expect("works");
        world
            .storage
            .link_device(account(1), "second", 100)
            .expect("the same again");
        let mut come = |code: &str, n: u8, wanted: u8| {
            let enrol = Enrol {
                invite: code.into(),
                name: "carol".into(),
                account: account(wanted),
            };
            world
                .storage
                .enrol(&enrol, device(n), TOKEN, 1)
                .expect("works")
                .into_account()
        };
        assert_eq!(come("first", 21, 70), Err(EnrolError::BadInvite));
        assert_eq!(
            come("second", 21, 2),
            Err(EnrolError::AccountTaken),
            "it is another account's"
        );
        assert_eq!(
            come("second", 21, 1).map(|account| account.name),
            Ok("ana".to_owned())
        );
    });
}

#[test]
fn invite_is_used_up() {
    check(|world| {
        world.storage.renew_invite("once", 1).expect("an invite");
        let mut come = |n: u8| {
            let enrol = Enrol {
                invite: "once".into(),
                name: format!("guest{n}"),
                account: account(n),
            };
            world
                .storage
                .enrol(&enrol, device(n), TOKEN, 1)
                .expect("works")
                .into_account()
        };
        assert!(come(10).is_ok());
        assert_eq!(come(11), Err(EnrolError::BadInvite));
    });
}

#[test]
fn newest_entry_and_disk_probe_work() {
    check(|world| {
        assert_eq!(
            world.storage.newest_at().expect("reads"),
            Some(1_000),
            "ana's join"
        );
        world.commit_line(1, None);
        assert_eq!(world.storage.newest_at().expect("reads"), Some(2_000));
        world
            .storage
            .create_room(RoomId::from_random([44; 16]), "ops", "")
            .expect("works");
        assert_eq!(
            world.storage.newest_at().expect("reads"),
            Some(2_000),
            "an empty room has none"
        );
        world.storage.probe(3_000).expect("writes");
    });
}

#[test]
fn new_invite_ends_every_older_one() {
    check(|world| {
        assert_eq!(
            world.storage.invite().expect("reads").as_deref(),
            Some("code")
        );
        world.storage.renew_invite("other", 5).expect("renews");
        assert_eq!(world.enrol(10, "bob"), Err(EnrolError::BadInvite));
        let enrol = Enrol {
            invite: "other".into(),
            name: "bob".into(),
            account: account(10),
        };
        assert!(
            world
                .storage
                .enrol(&enrol, device(10), TOKEN, 1)
                .expect("works")
                .into_account()
                .is_ok()
        );
        assert_eq!(
            world.storage.invite().expect("reads").as_deref(),
            Some("other")
        );
        assert!(
            world
                .storage
                .authenticate(device(1), TOKEN)
                .expect("works")
                .is_some(),
            "who is in stays in"
        );
    });
}

#[test]
fn revoked_device_alone_loses_access() {
    check(|world| {
        world.enrol(2, "bob").expect("bob comes in");
        world
            .storage
            .link_device(account(1), "code-1", 2_000)
            .expect("works");
        let enrol = Enrol {
            invite: "code-1".into(),
            name: "ana".into(),
            account: account(1),
        };
        world
            .storage
            .enrol(&enrol, device(20), TOKEN, 1_500)
            .expect("works")
            .into_account()
            .expect("a second device");
        let devices = world.storage.devices().expect("reads");
        let devices: Vec<_> = devices
            .iter()
            .map(|device| (device.name.as_str(), device.device, device.since))
            .collect();
        assert_eq!(
            devices,
            [
                ("ana", device(1), 1_000),
                ("ana", device(20), 1_500),
                ("bob", device(2), 1_000)
            ]
        );
        let mark = |world: &StorageFixture| ReceiptUpdate {
            room: world.lobby,
            account: account(1),
            device: device(1),
            delivered: Some(Position::start(world.lobby)),
            read: None,
        };
        let before = mark(world);
        world.storage.mark(&[before]).expect("marks");
        world
            .storage
            .link_device(account(1), "asked-before", 5_000)
            .expect("works");
        assert!(world.storage.revoke(device(1)).expect("works"));
        let enrol = Enrol {
            invite: "asked-before".into(),
            name: "thief".into(),
            account: account(30),
        };
        assert_eq!(
            world
                .storage
                .enrol(&enrol, device(30), TOKEN, 1_500)
                .expect("works")
                .into_account(),
            Err(EnrolError::BadInvite)
        );
        assert!(!world.storage.revoke(device(1)).expect("works"), "once");
        let after = mark(world);
        world
            .storage
            .mark(&[after])
            .expect("a late mark of it is no error");
        assert_eq!(
            world.storage.authenticate(device(1), TOKEN).expect("works"),
            None
        );
        assert_eq!(
            world.enrol(1, "ana"),
            Err(EnrolError::AccountTaken),
            "nor does it come in again by an invite"
        );
        let without = world
            .storage
            .without_access(&[device(1), device(2), device(20)])
            .expect("reads");
        assert_eq!(without, [device(1)]);
        assert!(
            world
                .storage
                .authenticate(device(20), TOKEN)
                .expect("works")
                .is_some()
        );
    });
}

#[test]
fn marks_advance_within_the_log() {
    check(|world| {
        world.enrol(2, "bob").expect("bob comes in");
        world.commit_line(1, None);
        let head = world.head();
        let update = |n: u8, delivered| ReceiptUpdate {
            room: world.lobby,
            account: account(n),
            device: device(n),
            delivered: Some(delivered),
            read: None,
        };
        let foreign = Position {
            seq: head.seq,
            chain: Position::start(world.lobby).chain,
        };
        let (ana, strange, bob) = (update(1, head), update(2, foreign), update(2, head));
        let back = update(2, Position::start(world.lobby));
        assert_eq!(
            world.storage.mark(&[ana]).expect("marks").len(),
            1,
            "bob's mark begins at his join, ana's is past it"
        );
        assert_eq!(world.storage.mark(&[strange]).expect("marks"), []);
        let moved = world.storage.mark(&[bob]).expect("marks");
        assert_eq!(
            moved
                .iter()
                .map(|lowest| lowest.delivered)
                .collect::<Vec<_>>(),
            [head.seq]
        );
        assert_eq!(world.storage.mark(&[back]).expect("marks"), []);
    });
}

#[test]
fn rooms_are_made_once_under_the_clients_id() {
    check(|world| {
        let room = RoomId::from_random([44; 16]);
        assert_eq!(
            world
                .storage
                .create_room(room, "ops", "")
                .expect("works")
                .map(|r| r.room),
            Some(room)
        );
        assert_eq!(
            world
                .storage
                .create_room(room, "ops", "")
                .expect("works")
                .map(|r| r.room),
            Some(room)
        );
        assert_eq!(
            world
                .storage
                .create_room(RoomId::from_random([45; 16]), "OPS", "")
                .expect("works"),
            None
        );
        let mut join = world.append(1, None);
        (join.send.room, join.send.kind) = (room, Kind::Join);
        world.commit(&[join]);
        let names: Vec<_> = world
            .storage
            .rooms_of(account(1))
            .expect("reads")
            .into_iter()
            .map(|room| room.name)
            .collect();
        assert_eq!(names, ["lobby", "ops"]);
        assert_eq!(
            world.storage.list_rooms("lobby", 10).expect("reads").len(),
            1
        );
        assert_eq!(
            world.storage.list_members(room, "", 10).expect("reads")[0].name,
            "ana"
        );
    });
}

#[test]
fn rename_applies_from_the_next_entry() {
    check(|world| {
        world.enrol(2, "bob").expect("bob comes in");
        let mut rename = world.append(1, None);
        (rename.send.kind, rename.send.body) = (Kind::Rename, "Bob".into());
        assert_eq!(
            code(&world.commit(std::slice::from_ref(&rename))[0]),
            RejectCode::NameTaken
        );
        rename.send.body = "anna".into();
        world.commit(&[rename]);
        let Verdict::Stored(stored) = world.commit_line(2, Some(1)) else {
            panic!("stored")
        };
        assert_eq!(stored.entry.name, "anna");
    });
}

#[test]
fn only_the_author_redacts() {
    check(|world| {
        let mut redaction = world.append(1, None);
        redaction.send.kind = Kind::Redaction;
        redaction.send.target = Some(Target {
            author: account(2),
            id: id(9),
        });
        assert_eq!(code(&world.commit(&[redaction])[0]), RejectCode::Forbidden);
    });
}
