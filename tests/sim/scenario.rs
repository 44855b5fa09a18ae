//! Worlds made by hand, for what random ones meet too seldom. Each is a fact that holds, and
//! catches who breaks it.

use std::time::Duration;

use landfall::client::ClientLimits;
use landfall::client::link::LinkState;
use landfall::client::store::Reader;
use landfall::planted_bug::PlantedBug;
use landfall::protocol::{Entry, Kind, RoomId};
use landfall::server::session::PageSize;

use crate::action::UserAction;
use crate::check::Promise;
use crate::net::{Flow, Time, Weather};
use crate::plan::{Plan, Sizes, Small};
use crate::world::World;

const S: fn(u64) -> Time = Duration::from_secs;
const FAIR: Weather = Weather::FAIR;

/// A fact and the world that shows it.
pub(crate) type Scenario = (&'static str, fn() -> Plan);

pub(crate) const SCENARIOS: [Scenario; 27] = [
    (
        "a half-open link is noticed in 8 s while its person goes on typing",
        half_open_while_typing,
    ),
    (
        "a dead way up is noticed while others keep talking",
        dead_way_up_while_others_talk,
    ),
    (
        "a long message gets over a link of 1 kB/s as fast as that is",
        a_slow_link,
    ),
    (
        "clients that lost their server together come back apart",
        a_crowd_comes_back,
    ),
    (
        "a link that flaps is not dialled without end",
        a_flapping_link,
    ),
    (
        "the late end of a link that was hung up ends nothing",
        a_late_end,
    ),
    (
        "a hello of an abandoned dial that comes late replaces nothing",
        a_late_hello,
    ),
    (
        "a copied profile and its original do not fight for the link",
        a_copied_profile,
    ),
    (
        "what a replaced link left with a slow disk is not taken",
        an_append_outlives_its_link,
    ),
    (
        "what is shown as delivered is stored, also on a slow disk",
        a_slow_disk_of_a_reader,
    ),
    (
        "a message whose commit the server was not sure of is shown to everybody",
        an_unsure_commit,
    ),
    (
        "a join whose commit the server was not sure of opens the room",
        an_unsure_join,
    ),
    (
        "watermarks that the server could not store are stored when its disk works",
        unstored_watermarks,
    ),
    (
        "an entry whose write failed is requested again",
        a_failed_write,
    ),
    (
        "a leave that arrived late and is sent again is no message of a stranger",
        a_leave_sent_twice,
    ),
    (
        "messages return to the outbox in typed order, whatever the clock did",
        typing_while_the_clock_falls,
    ),
    (
        "a message waits for the one before it, which the server could not store",
        a_message_ahead_of_the_one_before,
    ),
    (
        "a room with as many ranges as may be still gets what is new",
        an_absence_with_all_ranges,
    ),
    (
        "a follower prints what a restored server puts in place of lost entries",
        a_follower_of_a_restored_log,
    ),
    (
        "the late end of a replaced link leaves its person here",
        a_presence_outlives_a_replaced_link,
    ),
    (
        "a rejected entry is in no log, and the entries after it are",
        a_ban_that_is_lifted,
    ),
    (
        "one ack that is lost on a healthy link is asked for again",
        a_reader_that_is_slow_for_a_while,
    ),
    (
        "two devices of one person are there at the same time, each in its own order",
        two_devices,
    ),
    (
        "what lies in a gap is put back before what was typed after it",
        a_gap_and_a_restored_server,
    ),
    (
        "what is typed while an own message lies in a gap is sent at once",
        typing_over_a_gap,
    ),
    (
        "what is taken back before its answer came is taken back on the server too",
        taken_back_unanswered,
    ),
    (
        "who was away for long is shown the newest at once and what lies between after it",
        a_long_absence,
    ),
];

/// Planted bugs that only their own scenario counts for: random worlds would hide that it has become
/// harmless.
pub(crate) const MADE_FOR: [(PlantedBug, fn() -> Plan); 5] = [
    (PlantedBug::StaleCore, a_failed_write),
    (PlantedBug::RightsBeforeId, a_leave_sent_twice),
    (PlantedBug::TypedByClock, typing_while_the_clock_falls),
    (PlantedBug::NoAfter, a_message_ahead_of_the_one_before),
    (PlantedBug::TailStaysAhead, a_follower_of_a_restored_log),
];

fn say(who: usize, bytes: usize) -> UserAction {
    UserAction::Say {
        who,
        room: 0,
        lines: 1,
        bytes,
    }
}

/// A server with small pages, and clients with these limits.
fn small(client: ClientLimits) -> Small {
    Small {
        client,
        snapshot_entries: 5,
        page: PageSize {
            entries: 20,
            bytes: 8_000,
        },
        log_lane_frames: 16,
        answers_max: 128,
    }
}

fn weather(who: usize, weather: Weather, lasts: Time) -> UserAction {
    UserAction::Weather {
        who,
        name: "by hand",
        weather,
        lasts,
    }
}

fn says_up(world: &World, who: usize) -> bool {
    let state = world.devices[who]
        .process
        .as_ref()
        .map(|process| process.session.link_state());
    matches!(
        state,
        Some(LinkState::Connected { .. } | LinkState::Resyncing { .. })
    )
}

fn half_open_while_typing() -> Plan {
    let half_open = Weather {
        up: Flow::Swallow,
        down: Flow::Swallow,
        ..FAIR
    };
    let plan = Plan::quiet(1, 2, S(120)).with(19_900, weather(0, half_open, S(60)));
    let plan = (0..40).fold(plan, |plan, n| plan.with(20_000 + n * 700, say(0, 0)));
    plan.expect(
        28_000,
        Promise::StatusIsTrue,
        "a half-open link is not noticed 8 s after the first line",
        |world| !says_up(world, 0),
    )
}

fn dead_way_up_while_others_talk() -> Plan {
    let plan = Plan::quiet(2, 2, S(200)).with(
        20_000,
        weather(
            0,
            Weather {
                up: Flow::Swallow,
                ..FAIR
            },
            S(100),
        ),
    );
    let plan = (0..50).fold(plan.with(21_000, say(0, 0)), |plan, n| {
        plan.with(21_000 + n * 900, say(1, 0))
    });
    plan.expect(
        60_000,
        Promise::StatusIsTrue,
        "a dead way up is not noticed after 39 s",
        |world| !says_up(world, 0),
    )
}

fn a_slow_link() -> Plan {
    let slow = Weather {
        bytes_per_second: Some(1_000),
        ..FAIR
    };
    let plan = Plan::quiet(3, 2, S(200))
        .with(10_000, weather(0, slow, S(180)))
        .with(12_000, say(0, 16_000));
    plan.expect(
        34_000,
        Promise::Converges,
        "16 kB are not over a link of 1 kB/s after 22 s",
        |world| {
            let lobby: RoomId = world.rooms[0];
            world
                .log(lobby)
                .iter()
                .any(|entry| entry.body.len() > 16_000)
        },
    )
}

fn a_crowd_comes_back() -> Plan {
    let plan = Plan::quiet(4, 20, S(60)).with(30_000, UserAction::KillServer { lasts: S(20) });
    plan.expect(
        59_000,
        Promise::Bounded,
        "clients dial in step after they lost their server together",
        |world| {
            let at = &world.watch.dialled_at;
            let after: Vec<_> = at.iter().filter(|at| **at > S(30)).collect();
            let together = |at: &Time| {
                after
                    .iter()
                    .filter(|other| ***other >= *at && ***other < *at + S(1) / 50)
                    .count()
            };
            after
                .iter()
                .map(|at| together(at))
                .max()
                .unwrap_or_default()
                <= 9
        },
    )
}

fn a_flapping_link() -> Plan {
    Plan::quiet(5, 2, S(100)).with(
        20_000,
        UserAction::Flap {
            who: 0,
            every: S(1) / 4,
            times: 240,
        },
    )
}

/// The close of a connection takes 3 s to reach the server, and its answer arrives over the old
/// connection.
fn a_late_end() -> Plan {
    let far = Weather {
        latency: S(3),
        ..FAIR
    };
    let plan = Plan::quiet(6, 1, S(60)).with(20_000, weather(0, far, S(1) / 10));
    let plan = plan
        .with(20_050, UserAction::ToggleOffline { who: 0 })
        .with(20_200, UserAction::ToggleOffline { who: 0 });
    plan.expect(
        30_000,
        Promise::StatusIsTrue,
        "the end of an old link ended the new one",
        |world| says_up(world, 0) && world.watch.dialled_at.len() == 2,
    )
}

/// A hello takes 6 s; its dial is abandoned, and the next one is welcomed.
fn a_late_hello() -> Plan {
    let far = Weather {
        latency: S(6),
        ..FAIR
    };
    let toggle = || UserAction::ToggleOffline { who: 0 };
    let plan = Plan::quiet(7, 1, S(90))
        .with(19_000, toggle())
        .with(20_000, toggle());
    let plan = plan
        .with(20_030, weather(0, far, S(1) / 5))
        .with(20_300, toggle())
        .with(20_400, toggle());
    plan.expect(
        80_000,
        Promise::StatusIsTrue,
        "a late hello replaced a newer link",
        |world| says_up(world, 0) && world.watch.dialled_at.len() == 3,
    )
}

fn a_copied_profile() -> Plan {
    let plan = Plan::quiet(8, 2, S(600)).with(20_000, UserAction::CopyProfile { who: 0, to: 1 });
    let plan = plan.expect(
        290_000,
        Promise::Bounded,
        "two copies of a profile fight for the link",
        |world| world.watch.dialled_at.len() <= 3 && says_up(world, 1) && !says_up(world, 0),
    );
    let plan = plan.with(300_000, UserAction::RetryNow { who: 0 });
    plan.expect(
        590_000,
        Promise::Bounded,
        "one key does not take the link back from a copy",
        |world| world.watch.dialled_at.len() <= 4 && says_up(world, 0) && !says_up(world, 1),
    )
}

fn two_devices() -> Plan {
    let plan = Plan::quiet(17, 2, S(150)).with(6_000, UserAction::LinkDevice { who: 0, to: 1 });
    let plan = (0..40).fold(plan, |plan, n| {
        plan.with(20_000 + n * 333, say(n as usize % 2, 0))
    });
    plan.expect(
        120_000,
        Promise::StatusIsTrue,
        "two devices of one person are not both there",
        |world| {
            says_up(world, 0)
                && says_up(world, 1)
                && world.account(0) == world.account(1)
                && world.watch.dialled_at.len() == 2
        },
    )
}

/// So many entries arrive that the log lane is full while answers are due.
fn a_reader_that_is_slow_for_a_while() -> Plan {
    let slow = Weather {
        bytes_per_second: Some(4_000),
        ..FAIR
    };
    let plan = Plan::quiet(9, 2, S(200)).with(20_000, weather(0, slow, S(60)));
    let plan = (0..12).fold(plan, |plan, n| {
        plan.with(
            21_000 + n * 500,
            UserAction::Say {
                who: 1,
                room: 0,
                lines: 12,
                bytes: 300,
            },
        )
    });
    (0..6).fold(plan, |plan, n| plan.with(21_100 + n * 1_000, say(0, 0)))
}

/// An entry waits for the disk while its connection breaks; the next connection is welcomed first.
fn an_append_outlives_its_link() -> Plan {
    let plan = Plan::quiet(10, 2, S(90)).with(
        20_000,
        UserAction::ServerDiskSlow {
            takes: S(4),
            lasts: S(20),
        },
    );
    plan.with(21_000, say(0, 0)).with(
        21_200,
        UserAction::Cut {
            who: 0,
            is_server_told: false,
        },
    )
}

/// Two entries wait for the disk of their reader; the second one for long.
fn a_slow_disk_of_a_reader() -> Plan {
    let slow = UserAction::ClientDiskSlow {
        who: 0,
        takes: S(15),
        lasts: S(60),
    };
    Plan::quiet(21, 2, S(150))
        .with(23_900, slow)
        .with(24_000, say(1, 0))
        .with(24_300, say(1, 0))
}

/// It stands in the log, and the first answer said that it does not: its author is acked by id, the
/// others have to hear of it.
fn an_unsure_commit() -> Plan {
    let unsure = UserAction::ServerDiskFails {
        is_unsure: true,
        lasts: S(8),
    };
    Plan::quiet(16, 3, S(120))
        .with(20_000, unsure)
        .with(20_100, say(0, 0))
}

fn an_unsure_join() -> Plan {
    let unsure = UserAction::ServerDiskFails {
        is_unsure: true,
        lasts: S(8),
    };
    let plan = Plan::quiet(17, 2, S(120)).with(10_000, UserAction::Leave { who: 0, room: 0 });
    plan.with(20_000, unsure)
        .with(20_100, UserAction::Join { who: 0, room: 0 })
}

/// The link stays: the device that reported them has no reason to report them again.
fn unstored_watermarks() -> Plan {
    let fails = UserAction::ServerDiskFails {
        is_unsure: false,
        lasts: S(5),
    };
    let plan = Plan::quiet(22, 2, S(120))
        .with(20_000, say(0, 0))
        .with(20_060, fails);
    plan.expect(
        40_000,
        Promise::Converges,
        "the server does not know what its members have",
        |world| world.has_converged().is_ok(),
    )
}

/// The first one is held back, and the account is no member any more when the second one arrives.
fn a_leave_sent_twice() -> Plan {
    let held = Weather {
        up: Flow::Hold,
        ..FAIR
    };
    let toggle = || UserAction::ToggleOffline { who: 0 };
    Plan::quiet(25, 2, S(90))
        .with(20_000, weather(0, held, S(20)))
        .with(21_000, UserAction::Leave { who: 0, room: 1 })
        .with(25_000, toggle())
        .with(41_000, toggle())
}

/// The device connects again before its disk works.
fn a_failed_write() -> Plan {
    let full = UserAction::ClientDiskFull {
        who: 0,
        lasts: S(18),
    };
    Plan::quiet(23, 2, S(60))
        .with(20_000, full)
        .with(25_000, say(1, 0))
}

/// Both are in flight when the disk works again.
fn a_message_ahead_of_the_one_before() -> Plan {
    let fails = UserAction::ServerDiskFails {
        is_unsure: false,
        lasts: S(1) / 30,
    };
    Plan::quiet(26, 2, S(60))
        .with(20_000, fails)
        .with(20_000, say(0, 0))
        .with(20_020, say(0, 0))
}

/// The gap of one absence is not filled yet when the next absence ends.
fn an_absence_with_all_ranges() -> Plan {
    let client = ClientLimits {
        jump_entries: 15,
        fetch_entries: 1,
        ranges: 2,
        ..ClientLimits::default()
    };
    let others = || UserAction::Say {
        who: 1,
        room: 0,
        lines: 40,
        bytes: 0,
    };
    let toggle = || UserAction::ToggleOffline { who: 0 };
    let far = Weather {
        latency: S(1),
        ..FAIR
    };
    let plan = Plan {
        sizes: Sizes(Some(small(client))),
        ..Plan::quiet(28, 2, S(90))
    };
    plan.with(10_000, toggle())
        .with(12_000, others())
        .with(16_000, weather(0, far, S(30)))
        .with(17_000, toggle())
        .with(26_000, toggle())
        .with(28_000, others())
        .with(32_000, toggle())
}

/// The author of the lost entries does not return before others go on.
fn a_follower_of_a_restored_log() -> Plan {
    let lines = UserAction::Say {
        who: 1,
        room: 0,
        lines: 5,
        bytes: 0,
    };
    let killed = UserAction::KillClient {
        who: 1,
        lasts: S(40),
    };
    Plan::quiet(27, 2, S(100))
        .with(18_000, UserAction::CopyServer)
        .with(20_000, lines)
        .with(25_000, killed)
        .with(26_000, UserAction::RestoreServer { lasts: S(1) })
        .with(36_000, say(0, 0))
}

/// A restored server returns more messages to the outbox than are read at once.
fn typing_while_the_clock_falls() -> Plan {
    let client = ClientLimits {
        outbox_entries: 6,
        ..ClientLimits::default()
    };
    let plan = Plan {
        sizes: Sizes(Some(small(client))),
        ..Plan::quiet(24, 2, S(90))
    };
    let lines = || UserAction::Say {
        who: 0,
        room: 0,
        lines: 6,
        bytes: 0,
    };
    plan.with(18_000, UserAction::CopyServer)
        .with(20_000, lines())
        .with(25_000, UserAction::StepClock { ms: -3_600_000 })
        .with(26_000, lines())
        .with(30_000, UserAction::RestoreServer { lasts: S(1) })
}

/// More is missed than is caught up with at once: the newest first, and a gap that is filled.
fn a_long_absence() -> Plan {
    let toggle = || UserAction::ToggleOffline { who: 0 };
    let plan = Plan::quiet(11, 2, S(90)).with(8_000, toggle());
    let plan = (0..5).fold(plan, |plan, n| {
        plan.with(
            10_000 + n * 3_000,
            UserAction::Say {
                who: 1,
                room: 0,
                lines: 280,
                bytes: 0,
            },
        )
    });
    plan.with(80_000, toggle())
}

/// A connection breaks and only the client knows; the server detects it long after the next one was
/// welcomed.
fn a_presence_outlives_a_replaced_link() -> Plan {
    Plan::quiet(12, 2, S(220)).with(
        20_000,
        UserAction::Cut {
            who: 0,
            is_server_told: false,
        },
    )
}

/// The first message of 0 is in the log, between many of others, and its entry is not here yet: a
/// gap that is filled by one entry in two seconds.
fn an_own_message_in_a_gap(seed: u64) -> Plan {
    let client = ClientLimits {
        jump_entries: 15,
        fetch_entries: 1,
        ..ClientLimits::default()
    };
    let others = || UserAction::Say {
        who: 1,
        room: 0,
        lines: 20,
        bytes: 0,
    };
    let plan = Plan {
        sizes: Sizes(Some(small(client))),
        ..Plan::quiet(seed, 2, S(120))
    };
    let plan = plan.with(8_000, UserAction::CopyServer);
    let plan = plan.with(
        10_000,
        weather(
            0,
            Weather {
                down: Flow::Swallow,
                ..FAIR
            },
            S(20),
        ),
    );
    let plan = plan
        .with(11_000, others())
        .with(13_000, say(0, 0))
        .with(15_000, others());
    let far = Weather {
        latency: S(1),
        ..FAIR
    };
    plan.with(31_000, weather(0, far, S(80)))
        .with(31_500, UserAction::RetryNow { who: 0 })
        .with(45_000, say(0, 0))
}

fn a_gap_and_a_restored_server() -> Plan {
    let plan = an_own_message_in_a_gap(18).with(60_000, UserAction::RestoreServer { lasts: S(1) });
    plan.expect(
        59_900,
        Promise::NoSilentGap,
        "the gap that this is about is not there",
        has_gap,
    )
}

fn typing_over_a_gap() -> Plan {
    let plan = an_own_message_in_a_gap(19).with(52_000, say(0, 0));
    let plan = plan.expect(
        60_000,
        Promise::NoSilentGap,
        "the gap that this is about is not there",
        has_gap,
    );
    plan.expect(
        60_000,
        Promise::Converges,
        "a message waits until a gap is filled",
        |world| {
            let lobby = world.rooms[0];
            let account = world.account(0);
            let is_own =
                |entry: &&Entry| Some(entry.author) == account && entry.kind == Kind::Message;
            world.log(lobby).iter().filter(is_own).count() == 3
        },
    )
}

fn taken_back_unanswered() -> Plan {
    let plan = Plan::quiet(20, 2, S(120)).with(
        20_000,
        weather(
            0,
            Weather {
                down: Flow::Swallow,
                ..FAIR
            },
            S(40),
        ),
    );
    plan.with(21_000, say(0, 0))
        .with(23_000, UserAction::Discard { who: 0, back: 0 })
}

fn has_gap(world: &mut World) -> bool {
    let reader = Reader::open(&world.devices[0].folder()).expect("opens");
    !reader.gaps(world.rooms[0]).expect("reads").is_empty()
}

fn a_ban_that_is_lifted() -> Plan {
    let plan = Plan::quiet(13, 2, S(60)).with(
        20_000,
        UserAction::Ban {
            who: 0,
            lasts: S(5),
        },
    );
    let plan = plan.with(21_000, say(0, 0)).with(30_000, say(0, 0));
    plan.expect(
        50_000,
        Promise::NothingDropped,
        "what was typed after a rejected message is stuck",
        |world| {
            let lobby = world.rooms[0];
            world
                .log(lobby)
                .iter()
                .filter(|entry| entry.kind == Kind::Message)
                .count()
                == 1
        },
    )
}
