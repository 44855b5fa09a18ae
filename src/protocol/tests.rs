//! Properties of any text: the frames of PROTOCOL.md, truncated, repeated and damaged.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{
    AccountId, ClientFrame, EntryId, Position, RoomId, ServerFrame, decode, encode,
    encoded_body_len, sanitize, sanitize_line,
};

/// The frames that PROTOCOL.md shows.
fn examples() -> Vec<&'static str> {
    include_str!("../../PROTOCOL.md")
        .lines()
        .filter(|line| line.starts_with("{\"type\""))
        .collect()
}

/// One change of a text: cut it, repeat a part of it elsewhere, or insert something new.
#[derive(Clone, Debug)]
enum Spoil {
    Cut(Index, Index),
    Copy(Index, Index, Index),
    Insert(Index, String),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let piece = prop_oneof![
        any::<String>(),
        select(vec![
            "null",
            "-1",
            "1e99",
            "9007199254740992",
            "\"",
            "{",
            "[[[[",
            "\\ud800",
            "true",
            ",",
            ":",
            "\u{0}"
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![
        any::<(Index, Index)>().prop_map(|(a, b)| Spoil::Cut(a, b)),
        any::<(Index, Index, Index)>().prop_map(|(a, b, at)| Spoil::Copy(a, b, at)),
        (any::<Index>(), piece).prop_map(|(at, piece)| Spoil::Insert(at, piece)),
    ]
}

fn apply(text: &str, spoil: &Spoil) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let place = |index: &Index| index.index(chars.len() + 1);
    match spoil {
        Spoil::Cut(a, b) => {
            let (a, b) = (place(a).min(place(b)), place(a).max(place(b)));
            chars.drain(a..b);
        }
        Spoil::Copy(a, b, at) => {
            let (a, b, at) = (place(a).min(place(b)), place(a).max(place(b)), place(at));
            let piece = chars[a..b].to_vec();
            chars.splice(at..at, piece);
        }
        Spoil::Insert(at, piece) => {
            let at = place(at);
            chars.splice(at..at, piece.chars());
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A changed frame is rejected, or is a valid frame: decoding does not panic, and what was
    /// decoded is encoded as before.
    #[test]
    fn damaged_frame_is_rejected_or_round_trips(
        example in select(examples()),
        spoils in vec(spoil(), 0..4),
    ) {
        let text = spoils.iter().fold(example.to_owned(), |text, spoil| apply(&text, spoil));
        if let Ok(frame) = decode::<ServerFrame>(&text)
            && frame != ServerFrame::Unknown
        {
            let again = encode(&frame).expect("what was read can be written");
            prop_assert_eq!(decode::<ServerFrame>(&again).expect("and read"), frame);
        }
        if let Ok(frame) = decode::<ClientFrame>(&text) {
            let again = encode(&frame).expect("what was read can be written");
            prop_assert_eq!(decode::<ClientFrame>(&again).expect("and read"), frame);
        }
    }

    /// The length that is checked before a text is queued is the length that it has on the wire.
    #[test]
    fn a_body_is_as_long_on_the_wire_as_was_reckoned(body in any::<String>()) {
        prop_assert_eq!(encoded_body_len(&body), serde_json::to_string(&body).expect("a string is JSON").len());
    }

    #[test]
    fn nothing_that_steers_a_terminal_gets_through(text in any::<String>(), steers in vec(any::<Index>(), 0..8)) {
        let codes = ['\u{1b}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{feff}', '\r', '\u{8}', '\u{7f}', '\u{200f}', '\u{e0041}'];
        let text: String = text.chars().chain(steers.iter().map(|at| codes[at.index(codes.len())])).collect();
        let steers = |c: char| c.is_control() || codes.contains(&c);
        prop_assert!(!sanitize_line(&text).chars().any(steers));
        prop_assert!(!sanitize(&text).chars().any(|c| steers(c) && c != '\n' && c != '\t'));
        prop_assert_eq!(sanitize_line(&text).chars().count(), text.chars().count(), "nothing is hidden");
    }

    /// Another id anywhere in a log is another chain from there on.
    #[test]
    fn a_log_that_differs_anywhere_has_another_chain(
        ids in vec(any::<[u8; 16]>(), 1..40),
        at in any::<Index>(),
        bit in 0..128_usize,
    ) {
        let author = AccountId::from_random([3; 16]);
        let chain = |ids: &[[u8; 16]]| {
            let start = Position::start(RoomId::from_random([1; 16]));
            ids.iter().fold(start, |position, id| position.next(author, EntryId::from_bytes(*id)))
        };
        let mut other = ids.clone();
        other[at.index(ids.len())][bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(chain(&ids), chain(&other));
    }
}

#[test]
fn incomplete_hello_is_no_frame() {
    let hello = |token: &str, device: &str, more: &str| {
        let instance = "00000000-0000-4000-8000-0000000000f1";
        let text = format!(
            r#"{{"type":"hello","token":"{token}","device":"{device}","instance":"{instance}","dial":1{more}}}"#
        );
        decode::<ClientFrame>(&text).is_ok()
    };
    let (token, device) = ("5e".repeat(32), "00000000-0000-4000-8000-00000000000d");
    let account = r#""account":"00000000-0000-4000-8000-00000000000a""#;
    assert!(
        hello(&token, device, "")
            && hello(
                &token,
                device,
                &format!(r#","invite":"x","name":"ana",{account}"#)
            )
    );
    for half in [
        r#","invite":"x""#.to_owned(),
        r#","invite":"x","name":"ana""#.to_owned(),
        format!(",{account}"),
    ] {
        assert!(!hello(&token, device, &half), "{half}");
    }
    assert!(
        !hello("", device, "") && !hello("5e", device, "") && !hello(&"zz".repeat(32), device, "")
    );
    assert!(!hello(&token, "00000000-0000-0000-0000-000000000000", ""));
}
