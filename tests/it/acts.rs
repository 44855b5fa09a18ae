//! The acts of the demo, without a screen: what each chat loses, that no act ends well without its
//! fault, and that a planted bug shows. The acts mostly wait, so they are played side by side.

use crate::played::{Played, play};

const ACTS: [&str; 5] = ["1", "2", "3", "4", "5"];

/// Plays each act separately, all at the same time.
fn play_each(arguments: &'static [&'static str]) -> [Played; 5] {
    std::thread::scope(|scope| {
        let playing = ACTS.map(|act| {
            let arguments = [&["--act", act], arguments].concat();
            scope.spawn(move || play(&arguments, &[]))
        });
        playing.map(|played| played.join().expect("runs"))
    })
}

#[test]
fn acts_cost_only_the_naive_chat_messages() {
    let played = play_each(&[]);
    let costs =
        |played: &Played| ["lost", "twice", "unseen"].map(|what| played.score("naive", what));
    played.iter().for_each(Played::assert_whole);
    let expected = [[1, 0, 0], [2, 0, 1], [0, 1, 0], [0, 0, 4_950], [4, 0, 0]];
    assert_eq!(played.each_ref().map(costs), expected);
    let [cut, silent, ..] = &played;
    assert_eq!(cut.proof()["naive_lost"][0], "the key is under the pot");
    assert_eq!(cut.headlines().len(), 8, "{:?}", cut.headlines());
    let [naive, landfall] = ["naive", "landfall"].map(|chat| silent.score(chat, "false_ms"));
    assert!(naive >= landfall && landfall > 4_000, "{naive} {landfall}");
}

/// A caption is caused by its event: without the fault, the event never comes.
#[test]
fn act_without_its_fault_does_not_end() {
    for (act, played) in ACTS.iter().zip(play_each(&["--without-fault"])) {
        let failed = played.failed();
        assert!(
            failed.starts_with("nothing happened"),
            "act {act}: {failed}"
        );
        assert_eq!(played.status, 1, "act {act}");
        assert_eq!(played.score("landfall", "lost"), 0, "act {act}");
    }
}

#[test]
fn act_shows_what_a_planted_bug_loses() {
    let played = play(&["--act", "5"], &[("LANDFALL_PLANTED_BUG", "CutForgets")]);
    assert_eq!(played.status, 1);
    let proof = played.proof();
    assert_eq!(proof["holds"], false, "{proof}");
}
