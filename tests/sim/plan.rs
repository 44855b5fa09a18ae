//! The events of one world, drawn from the seed in advance: a plan can be printed, reduced and
//! repeated.

use std::time::Duration;

use fastrand::Rng;
use landfall::client::ClientLimits;
use landfall::server::session::{PageSize, Settings};

use crate::action::UserAction;
use crate::check::Promise;
use crate::net::{Flow, Time, Weather};
use crate::world::World;

const S: fn(u64) -> Duration = Duration::from_secs;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// Something at its time.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Step {
    pub(crate) at: Time,
    pub(crate) action: UserAction,
}

/// A condition that must be true at some time, and the promise behind it.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    pub(crate) at: Time,
    pub(crate) promise: Promise,
    pub(crate) what: &'static str,
    pub(crate) is_met: fn(&mut World) -> bool,
}

/// The limits of a world: those of the program, or small ones.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Sizes(pub(crate) Option<Small>);

impl Sizes {
    pub(crate) const REAL: Self = Self(None);
}

/// Limits so small that a few dozen entries reach each of them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Small {
    pub(crate) client: ClientLimits,
    pub(crate) snapshot_entries: u64,
    pub(crate) page: PageSize,
    pub(crate) log_lane_frames: usize,
    pub(crate) answers_max: usize,
}

impl Small {
    fn draw(rng: &mut Rng) -> Self {
        let client = ClientLimits {
            jump_entries: rng.u64(6..40),
            fetch_entries: rng.u64(1..12),
            window_entries: rng.usize(2..12),
            window_bytes: rng.usize(200..4_000),
            outbox_entries: rng.usize(12..120),
            outbox_bytes: 64 * 1024,
            ..ClientLimits::default()
        };
        // Derived, not drawn: a further draw would change the worlds of all known seeds.
        let client = ClientLimits {
            ranges: 2 + client.window_entries % 4,
            ..client
        };
        Self {
            client,
            snapshot_entries: rng.u64(1..client.jump_entries),
            page: PageSize {
                entries: rng.usize(1..12),
                bytes: rng.usize(300..3_000),
            },
            log_lane_frames: rng.usize(2..6),
            answers_max: rng.usize(4..24),
        }
    }
}

/// One run before it is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) people: usize,
    /// The program's drivers run, over a network made up, and else its cores alone.
    pub(crate) with_drivers: bool,
    /// Everybody says live values all the time.
    pub(crate) has_values: bool,
    /// The server's storage is SQLite, and else in memory.
    pub(crate) is_sqlite: bool,
    /// Entries at once and each second, where the rate is tight.
    pub(crate) rate: Option<(u32, u32)>,
    /// The limits that both sides work with.
    pub(crate) sizes: Sizes,
    pub(crate) steps: Vec<Step>,
    /// The expectations of a plan written by hand.
    pub(crate) expectations: Vec<Expectation>,
    /// When the last fault ends.
    pub(crate) lasts: Time,
}

pub(crate) const ROOMS: usize = 2;
/// A world of drivers is slower, and shorter.
const DRIVERS_LAST_MAX: Duration = Duration::from_secs(240);

impl Plan {
    /// A world without anything in it.
    pub(crate) fn quiet(seed: u64, people: usize, lasts: Time) -> Self {
        let (steps, expectations) = (Vec::new(), Vec::new());
        Self {
            seed,
            people,
            with_drivers: false,
            has_values: false,
            is_sqlite: false,
            rate: None,
            sizes: Sizes::REAL,
            steps,
            expectations,
            lasts,
        }
    }

    pub(crate) fn with(mut self, at_ms: u64, action: UserAction) -> Self {
        self.steps.push(Step {
            at: MS(at_ms),
            action,
        });
        self
    }

    pub(crate) fn expect(
        mut self,
        at_ms: u64,
        promise: Promise,
        what: &'static str,
        is_met: fn(&mut World) -> bool,
    ) -> Self {
        self.expectations.push(Expectation {
            at: MS(at_ms),
            promise,
            what,
            is_met,
        });
        self
    }

    /// The settings of the server.
    pub(crate) fn settings(&self) -> Settings {
        let (rate_burst, rate_per_second) = self.rate.unwrap_or((500, 100));
        let Some(small) = self.sizes.0 else {
            return Settings {
                rate_burst,
                rate_per_second,
                ..Settings::default()
            };
        };
        let Small {
            snapshot_entries,
            page,
            log_lane_frames,
            answers_max,
            ..
        } = small;
        Settings {
            rate_burst,
            rate_per_second,
            snapshot_entries,
            page,
            log_lane_frames,
            answers_max,
            ..Settings::default()
        }
    }

    /// The limits of the clients.
    pub(crate) fn client_limits(&self) -> ClientLimits {
        self.sizes
            .0
            .map_or_else(ClientLimits::default, |small| small.client)
    }

    /// Everything about a seed. One in eight is of drivers, in one in eight somebody has two
    /// devices, and in one in eight everybody says live values.
    pub(crate) fn draw(seed: u64) -> Self {
        let plan = Self::draw_cores(seed)
            .with_drafts_and_files(seed)
            .with_takeovers(seed);
        match seed % 8 {
            7 => plan.for_drivers(),
            1 => Self {
                has_values: true,
                ..plan
            },
            3 if plan.people > 2 => plan.with_second_device(),
            _ => plan,
        }
    }

    /// Adds drafts, and faults of open store files. Drawn separately, so that a seed keeps
    /// everything else.
    fn with_drafts_and_files(mut self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x0005_eed0_fd4a_f7e5);
        let is_rough = rng.u8(..4) == 0;
        for _ in 0..self.lasts.as_secs() / 10 {
            let at = S(5) + MS(rng.u64(..self.lasts.as_millis() as u64));
            let (who, room) = (rng.usize(..self.people), rng.usize(..ROOMS));
            let action = match rng.u8(..16) {
                0 if is_rough => UserAction::CopyClient { who },
                1 if is_rough => UserAction::OverwriteClient { who },
                2 if is_rough => UserAction::DeleteClient { who },
                3..6 => UserAction::Draft {
                    who,
                    room,
                    bytes: 0,
                },
                _ => UserAction::Draft {
                    who,
                    room,
                    bytes: rng.usize(1..200),
                },
            };
            self.steps.push(Step { at, action });
        }
        self.steps.sort_by_key(|step| step.at);
        self
    }

    /// Adds programs that quit, second processes, and handed-over hosting. Drawn separately too.
    fn with_takeovers(mut self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x7a6e_07e7_1e0f_7a4e);
        if rng.bool() {
            return self;
        }
        for _ in 0..self.lasts.as_secs() / 20 {
            let at = S(5) + MS(rng.u64(..self.lasts.as_millis() as u64));
            let who = rng.usize(..self.people);
            let action = match rng.u8(..16) {
                0 => UserAction::HandOver,
                1..4 => UserAction::Quit {
                    who,
                    lasts: MS(rng.u64(10..20_000)),
                },
                4..8 => UserAction::KillClient {
                    who,
                    lasts: MS(rng.u64(10..20_000)),
                },
                _ => UserAction::StartSecond { who },
            };
            self.steps.push(Step { at, action });
        }
        self.steps.sort_by_key(|step| step.at);
        self
    }

    /// Makes the last user a second device of the first one.
    fn with_second_device(mut self) -> Self {
        let link = Step {
            at: S(5),
            action: UserAction::LinkDevice {
                who: 0,
                to: self.people - 1,
            },
        };
        self.steps.insert(0, link);
        self
    }

    /// Whether somebody of this number is not there at first.
    pub(crate) fn comes_later(&self, who: usize) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.action, UserAction::CopyProfile { to, .. } | UserAction::LinkDevice { to, .. } if to == who))
    }

    /// As far as drivers can go through it.
    pub(crate) fn for_drivers(self) -> Self {
        let lasts = self.lasts.min(DRIVERS_LAST_MAX);
        let steps = self
            .steps
            .into_iter()
            .filter(|step| step.at < lasts && step.action.is_for_drivers())
            .collect();
        Self {
            with_drivers: true,
            lasts,
            steps,
            ..self
        }
    }

    fn draw_cores(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut plan = Self {
            is_sqlite: rng.u8(..4) == 0,
            rate: (rng.u8(..4) == 0).then_some((5, 2)),
            sizes: if rng.bool() {
                Sizes(Some(Small::draw(&mut rng)))
            } else {
                Sizes::REAL
            },
            ..Self::quiet(seed, rng.usize(2..5), S(rng.u64(30..900)))
        };
        // Times of trouble differ: some worlds have a lot of it.
        let troubles = rng.u8(4..30);
        let mut at = S(5);
        while at < plan.lasts {
            let action = if rng.u8(..100) < troubles {
                trouble(&mut rng, plan.people)
            } else {
                person(&mut rng, plan.people)
            };
            plan.steps.push(Step { at, action });
            // In bursts: users reply to each other, then pause.
            at += match rng.u8(..20) {
                0 => MS(rng.u64(5_000..60_000)),
                1..=6 => MS(rng.u64(500..5_000)),
                _ => MS(rng.u64(1..500)),
            };
        }
        plan
    }
}

fn person(rng: &mut Rng, people: usize) -> UserAction {
    let (who, room, back) = (rng.usize(..people), rng.usize(..ROOMS), rng.usize(..8));
    match rng.u8(..100) {
        0..52 => UserAction::Say {
            who,
            room,
            lines: if rng.u8(..30) == 0 {
                rng.usize(20..90)
            } else {
                rng.usize(1..4)
            },
            bytes: if rng.u8(..60) == 0 {
                rng.usize(..15_000)
            } else {
                0
            },
        },
        52..56 => UserAction::SayBeside {
            who,
            room,
            is_told: rng.u8(..4) > 0,
        },
        56..60 => UserAction::Edit { who, back },
        60..62 => UserAction::Redact { who, back },
        62..66 => UserAction::Discard { who, back },
        66..68 => UserAction::Retry { who },
        68..70 => UserAction::Leave { who, room },
        70..76 => UserAction::Join { who, room },
        76..86 => UserAction::Read {
            who,
            room,
            seq: rng.u64(1..200),
        },
        86..90 => UserAction::FetchBefore { who, room },
        90..93 => UserAction::RetryNow { who },
        93..96 => UserAction::Focus { who, room },
        _ => UserAction::ToggleOffline { who },
    }
}

fn trouble(rng: &mut Rng, people: usize) -> UserAction {
    let who = rng.usize(..people);
    let lasts = MS(rng.u64(500..90_000));
    match rng.u8(..114) {
        0..12 => UserAction::Cut {
            who,
            is_server_told: rng.bool(),
        },
        12..56 => weather(rng, who, lasts),
        56..64 => UserAction::KillClient {
            who,
            lasts: MS(rng.u64(10..20_000)),
        },
        64..70 => UserAction::KillServer {
            lasts: MS(rng.u64(10..20_000)),
        },
        70..74 => UserAction::CopyServer,
        74..77 => UserAction::RestoreServer {
            lasts: MS(rng.u64(10..20_000)),
        },
        77..79 => UserAction::CopyClient { who },
        79..81 => UserAction::RestoreClient { who },
        81..86 => UserAction::ClientDiskFull {
            who,
            lasts: lasts / 3,
        },
        86..90 => UserAction::StepClock {
            ms: rng.i64(-3_600_000..3_600_000),
        },
        90..93 => UserAction::Suspend { who, lasts },
        93..96 => UserAction::Stop { who, lasts },
        96..99 => UserAction::ServerDiskFails {
            is_unsure: rng.bool(),
            lasts: lasts / 4,
        },
        99..101 => UserAction::Flap {
            who,
            every: MS(rng.u64(100..3_000)),
            times: rng.u64(5..60),
        },
        101..104 => UserAction::Ban {
            who,
            lasts: lasts / 3,
        },
        104..108 => UserAction::Mute {
            who,
            lasts: lasts / 3,
        },
        108..110 => UserAction::Revoke {
            who,
            lasts: lasts / 3,
        },
        110..112 => UserAction::ServerDiskSlow {
            takes: MS(rng.u64(200..8_000)),
            lasts: lasts / 4,
        },
        _ => UserAction::SayBeside {
            who,
            room: rng.usize(..ROOMS),
            is_told: false,
        },
    }
}

fn weather(rng: &mut Rng, who: usize, lasts: Duration) -> UserAction {
    let fair = Weather::FAIR;
    let (name, weather) = match rng.u8(..44) {
        0..8 => (
            "half-open",
            Weather {
                up: Flow::Swallow,
                down: Flow::Swallow,
                ..fair
            },
        ),
        8..15 => (
            "way up dead",
            Weather {
                up: Flow::Swallow,
                ..fair
            },
        ),
        15..21 => (
            "way down dead",
            Weather {
                down: Flow::Swallow,
                ..fair
            },
        ),
        21..26 => (
            "stalled",
            Weather {
                up: Flow::Hold,
                down: Flow::Hold,
                ..fair
            },
        ),
        26..29 => (
            "way up held",
            Weather {
                up: Flow::Hold,
                ..fair
            },
        ),
        29..32 => (
            "way down held",
            Weather {
                down: Flow::Hold,
                ..fair
            },
        ),
        32..35 => (
            "refused",
            Weather {
                refuses: true,
                ..fair
            },
        ),
        35..39 => (
            "slow",
            Weather {
                bytes_per_second: Some(rng.u64(1_000..6_000)),
                ..fair
            },
        ),
        _ => {
            let latency = MS(rng.u64(100..2_500));
            (
                "far",
                Weather {
                    latency,
                    jitter: latency,
                    ..fair
                },
            )
        }
    };
    UserAction::Weather {
        who,
        name,
        weather,
        lasts,
    }
}
