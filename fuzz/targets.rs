//! The fuzz targets, with their assertions. libFuzzer runs them by `cargo fuzz run NAME` (nightly);
//! `tests/fuzz.rs` runs them over the corpus and mutations of it with any toolchain.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use landfall::client::link::LinkSettings;
use landfall::client::session::{Command, Effect, Input, Session, Status};
use landfall::client::store::{Disk, EnrolmentRequest, Reader};
use landfall::client::{NewEntry, Write};
use landfall::config::Config;
use landfall::protocol::{
    AccountId, ClientFrame, CloseCode, DeviceId, Dial, Enrol, EntryId, FrameError, Hello,
    InstanceId, Kind, RoomId, ServerFrame, ServerId, SessionId, Token, decode, encode, limits,
};
use landfall::server::answers;
use landfall::server::session::{
    ANSWERS_MAX, Admission, Confirmed, Effect as ServerEffect, Input as ServerInput,
    LOG_LANE_FRAMES, ServerSession, Settings,
};
use landfall::server::storage::{Memory, Storage};
use landfall::sqlite::DbError;
use landfall::tui::{self, Theme};

/// Processes the bytes of one input.
type Target = fn(&[u8]);

/// All of them, by name.
const TARGETS: [(&str, Target); 5] = [
    ("frame", frame),
    ("config", config),
    ("store", store),
    ("client", client),
    ("server", server),
];

/// The target of a name.
pub(crate) fn target(name: &str) -> Target {
    TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target")
        .1
}

/// Noon of a Monday, ms since 1970.
const NOON: u64 = 1_795_435_200_000;
/// Effects of one step, far more than any frame is worth.
const EFFECTS_MAX: usize = 2_000;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A frame is rejected, or round-trips.
fn frame(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(frame) = decode::<ServerFrame>(&text)
        && frame != ServerFrame::Unknown
    {
        let again = encode(&frame).expect("what was read can be written");
        assert_eq!(decode::<ServerFrame>(&again).expect("and read"), frame);
    }
    if let Ok(frame) = decode::<ClientFrame>(&text) {
        let again = encode(&frame).expect("what was read can be written");
        assert_eq!(decode::<ClientFrame>(&again).expect("and read"), frame);
    }
}

/// Each line of a settings file is a setting or is named, in words that do nothing to a terminal.
fn config(bytes: &[u8]) {
    let home = folder();
    let file = Config::load(Some(home.path()), |_| None)
        .expect("defaults")
        .file;
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("is made");
    std::fs::write(&file, bytes).expect("is written");
    let config = Config::load(Some(home.path()), |_| None).expect("a file stops nobody");
    assert!(config.warnings.len() <= bytes.len());
    config
        .warnings
        .iter()
        .for_each(|warning| is_harmless(warning));
}

/// A store with other bytes in it (three of where, one of what, again and again) is an error in one
/// line, or reads as something.
fn store(bytes: &[u8]) {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    let whole = WHOLE.get_or_init(whole_store);
    let mut changed = whole.clone();
    for change in bytes.chunks_exact(4) {
        let at = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize % changed.len();
        changed[at] ^= change[3];
    }
    let home = folder();
    std::fs::write(home.path().join("store.db"), &changed).expect("is written");
    let opened = Disk::open(home.path()).and_then(|mut disk| {
        let loaded = disk.load(InstanceId::from_random([7; 16]))?;
        Ok(Session::new(LinkSettings::default(), 1, Duration::ZERO, loaded).status())
    });
    match opened.and_then(|status| Ok((Reader::open(home.path())?, status))) {
        Ok((reader, status)) => drop(picture(&reader, status).map_err(|error| is_told(&error))),
        Err(error) => is_told(&error),
    }
}

fn is_told(error: &DbError) {
    let words = error.to_string();
    assert!(!words.is_empty() && !words.contains('\n'), "{words:?}");
    is_harmless(&words);
}

fn whole_store() -> Vec<u8> {
    let home = folder();
    let mut disk = Disk::open(home.path()).expect("opens");
    disk.set_enrolment(&settlement()).expect("settles");
    disk.write(&waiting(1, "waits")).expect("is kept");
    drop(disk);
    std::fs::read(home.path().join("store.db")).expect("reads")
}

fn settlement() -> EnrolmentRequest {
    EnrolmentRequest {
        url: None,
        invite: "code".to_owned(),
        name: "ana".to_owned(),
    }
}

fn waiting(n: u64, body: &str) -> Write {
    let entry = NewEntry {
        id: EntryId::from_parts(NOON + n, [0; 10]),
        room: room(),
        kind: Kind::Message,
        body: body.to_owned(),
        target: None,
        composed_at: NOON,
    };
    Write::Enqueue {
        entries: vec![entry],
        clears_draft: false,
    }
}

/// The room and the server of PROTOCOL.md's examples, so that they make a conversation.
fn room() -> RoomId {
    "00000000-0000-4000-8000-000000000001"
        .parse()
        .expect("an id")
}

fn this_server() -> ServerId {
    "00000000-0000-4000-8000-00000000005e"
        .parse()
        .expect("an id")
}

/// Lines that a server says: none of them ends the client, makes it do without end, or reaches the
/// terminal as it is.
fn client(bytes: &[u8]) {
    let home = folder();
    let mut rig = Rig::new(home.path());
    rig.tell(Input::Command(Command::GoOnline));
    rig.tell(Input::Opened {
        dial: rig.dial,
        server: this_server(),
    });
    for line in text(bytes).lines().take(64) {
        rig.now += Duration::from_millis(40);
        match decode::<ServerFrame>(line) {
            Ok(frame) => rig.tell(Input::Received(rig.dial, Box::new(frame))),
            Err(_) => rig.tell(Input::Bytes(rig.dial)),
        }
    }
    rig.now += Duration::from_secs(90);
    rig.tell(Input::Tick);
    let reader = Reader::open(home.path()).expect("opens");
    picture(&reader, rig.session.status()).expect("reads");
}

/// A client's core over its store.
struct Rig {
    disk: Disk,
    session: Session,
    dial: Dial,
    now: Duration,
}

impl Rig {
    fn new(home: &Path) -> Self {
        let mut disk = Disk::open(home).expect("opens");
        disk.set_enrolment(&settlement()).expect("settles");
        disk.write(&waiting(1, "waits")).expect("is kept");
        let loaded = disk.load(InstanceId::from_random([7; 16])).expect("loads");
        let session = Session::new(LinkSettings::default(), 1, Duration::ZERO, loaded);
        Self {
            disk,
            session,
            dial: Dial(0),
            now: Duration::ZERO,
        }
    }

    fn tell(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut done = 0;
        while let Some(input) = inputs.pop_front() {
            for effect in self.session.step(self.now, input) {
                done += 1;
                assert!(done < EFFECTS_MAX, "it never comes to rest: {effect:?}");
                inputs.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Dial(dial) => self.dial = dial,
            Effect::Transmit(_, text) => {
                assert!(text.len() <= limits::FRAME_BYTES_MAX);
                decode::<ClientFrame>(&text).expect("what is sent is a frame");
            }
            Effect::Persist(ticket, write) => {
                return Some(match self.disk.write_dependent(&write, false) {
                    Ok(outcome) => Input::Persisted(ticket, outcome),
                    Err(error) => Input::PersistFailed(ticket, error.into()),
                });
            }
            Effect::Ask(ticket, query) => {
                return Some(match self.disk.find(&query) {
                    Ok(found) => Input::Found(ticket, found),
                    Err(error) => Input::PersistFailed(ticket, error.into()),
                });
            }
            Effect::Reload => {
                let loaded = self
                    .disk
                    .load(InstanceId::from_random([7; 16]))
                    .expect("loads");
                let empty =
                    Session::new(LinkSettings::default(), 1, Duration::ZERO, loaded.clone());
                self.session = std::mem::replace(&mut self.session, empty).reloaded(loaded);
            }
            Effect::Hangup(_) | Effect::Reply(..) | Effect::Signal(_) => {}
        }
        None
    }
}

/// Each line is a client's frame: it is answered, or closes the connection, and everything pending
/// for the client is bounded.
fn server(bytes: &[u8]) {
    let mut storage = Memory::new(this_server(), room());
    storage.renew_invite("code", 10).expect("an invite");
    let mut session = ServerSession::new(Settings::default(), Duration::ZERO);
    let mut now = Duration::ZERO;
    let mut unread = (0, 0);
    let hello = encode(&ClientFrame::Hello(hello())).expect("a frame");
    for line in std::iter::once(hello.as_str()).chain(text(bytes).lines().take(256)) {
        now += Duration::from_millis(1);
        let input = match decode::<ClientFrame>(line) {
            Ok(frame) => ServerInput::Frame(Box::new(frame)),
            Err(error @ FrameError::TooBig { .. }) => {
                ServerInput::BadFrame(CloseCode::TooBig, error.to_string())
            }
            Err(error) => ServerInput::BadFrame(CloseCode::BadFrame, error.to_string()),
        };
        if !session.may_read() {
            return; // nobody reads here: it takes nothing more
        }
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in session.step(now, input) {
                if matches!(effect, ServerEffect::Close(_)) {
                    return;
                }
                inputs.extend(answer(&mut storage, effect, &mut unread));
            }
        }
        let (answers, log) = unread;
        assert!(
            answers <= 2 * ANSWERS_MAX && log <= LOG_LANE_FRAMES + 2 * ANSWERS_MAX,
            "{unread:?} wait"
        );
    }
}

fn hello() -> Hello {
    Hello {
        token: Token::from_random([3; 32]),
        device: DeviceId::from_random([4; 16]),
        instance: InstanceId::from_random([5; 16]),
        dial: Dial(1),
        session: None,
        enrol: Some(Enrol {
            invite: "code".into(),
            name: "eve".into(),
            account: AccountId::from_random([6; 16]),
        }),
    }
}

/// Returns the answer that the server's threads would give.
fn answer(
    storage: &mut Memory,
    effect: ServerEffect,
    unread: &mut (usize, usize),
) -> Option<ServerInput> {
    Some(match effect {
        ServerEffect::Answer(frame) => {
            assert!(encode(&frame).is_ok(), "{frame:?}");
            unread.0 += 1;
            return None;
        }
        ServerEffect::Log(text) => {
            assert!(text.len() <= limits::FRAME_BYTES_MAX);
            unread.1 += 1;
            return None;
        }
        ServerEffect::Admit(hello) => {
            let enrol = hello.enrol?;
            let token = answers::token_hash(&hello.token);
            let account = storage
                .enrol(&enrol, hello.device, token, NOON)
                .expect("works")
                .into_account()
                .ok()?;
            let rooms = storage.rooms_of(account.account).expect("reads");
            let session = SessionId::from_random([8; 16]);
            let server = storage.server();
            let (account, name) = (account.account, account.name);
            let admission = Admission {
                server,
                session,
                resumed: false,
                account,
                name,
                rooms,
                now: NOON,
            };
            ServerInput::Admitted(Box::new(Ok(admission)))
        }
        ServerEffect::Append(append) => {
            let verdict = storage
                .commit(std::slice::from_ref(&append), NOON)
                .expect("works")
                .remove(0);
            ServerInput::Judged(append, Ok(verdict))
        }
        ServerEffect::Locate(open) => {
            let found = answers::locate(storage, &open).expect("reads");
            ServerInput::Located(open, found)
        }
        ServerEffect::ReadPage(room, after, _) => ServerInput::Page(
            room,
            after,
            answers::page(storage, room, after, Settings::default().page).expect("reads"),
        ),
        ServerEffect::Fetch(fetch, _) => {
            let page = answers::fetch(storage, &fetch, Settings::default().page).expect("reads");
            ServerInput::Fetched(fetch, page)
        }
        ServerEffect::Request(request, account, op) => {
            let answered = if op.changes() {
                answers::carry_out(storage, account, &op, NOON)
            } else {
                answers::look_up(storage, &op)
            };
            ServerInput::Replied(answers::reply(request, answered))
        }
        ServerEffect::Mark(update) => {
            storage.mark(&[update]).expect("works");
            return None;
        }
        ServerEffect::Unsubscribe(_) | ServerEffect::Signal(_) | ServerEffect::Close(_) => {
            return None;
        }
        ServerEffect::Fresh(_) => return None,
        ServerEffect::Probe(lane, n) => {
            let mut reached = Confirmed::default();
            reached.on_probe(lane, n);
            ServerInput::Confirmed(reached)
        }
    })
}

/// The screen over a store; nothing on it steers a terminal.
fn picture(reader: &Reader, status: Status) -> Result<(), DbError> {
    let drawn = tui::still(reader, Theme::new(true, false), status, (100, 30))?;
    drawn
        .content()
        .iter()
        .for_each(|cell| is_harmless(cell.symbol()));
    Ok(())
}

fn is_harmless(text: &str) {
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.chars().any(steers), "{text:?}");
}

fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm"); // a sync costs nothing there
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .expect("a folder")
}
