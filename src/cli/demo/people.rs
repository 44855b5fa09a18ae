//! Two people who talk at a human pace, whatever is broken meanwhile.

use std::time::Duration;

use super::stage::Pen;

/// What they say, in turn.
const LINES: [[&str; 2]; 12] = [
    ["morning! the deploy went out at seven", "saw it, graphs look calm"],
    ["replica lag is back to zero", "good, then I take the old one down"],
    ["who has the pager tonight?", "I do, until Friday"],
    ["the new index made the search twice as fast", "and the disk twice as full, but fine"],
    ["lunch at half past twelve?", "make it one, I am on a train until then"],
    ["how is the network there?", "tunnels. I type, and it arrives when it arrives"],
    ["did my last line come through?", "it did, and only once"],
    ["somebody left the staging server in a loop", "that was me, sorry, gone now"],
    ["the customer asks when the export is ready", "tell them: by tomorrow noon"],
    ["I put the notes of the meeting into the wiki", "thanks, I had forgotten half of it"],
    ["can you look at the third graph?", "yes. that is the backup, it ends at four"],
    ["closing the incident then", "agreed, well done everybody"],
];
/// Rest between two lines, s: at least, and so many more at most.
const REST_S: (f64, f64) = (3.0, 5.0);

/// One of them talks, for as long as anybody listens.
pub(super) async fn talk(pen: Pen, which: usize) {
    let mut rounds = 0;
    loop {
        for line in LINES {
            let rest = REST_S.0 + REST_S.1 * fastrand::f64();
            tokio::time::sleep(Duration::from_secs_f64(rest)).await;
            let again = if rounds == 0 { String::new() } else { format!(" ({})", rounds + 1) };
            if pen.say(&format!("{}{again}", line[which % 2])).await.is_err() {
                return; // the stage is being taken down
            }
        }
        rounds += 1;
    }
}
