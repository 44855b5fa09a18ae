//! The acts. Each is a story of one fault: keys, faults, and the events that it waits for.

mod away;
mod cut;
mod lost_answer;
mod restored;
mod silent;

use super::director::{ActError, Director};

/// Number of acts.
pub(in crate::cli::demo) const ACTS: u8 = 5;

/// Plays an act, from 1.
pub(super) async fn play(director: &mut Director<'_>, act: u8) -> Result<(), ActError> {
    match act {
        1 => cut::play(director).await?,
        2 => silent::play(director).await?,
        3 => lost_answer::play(director).await?,
        4 => away::play(director).await?,
        _ => restored::play(director).await?,
    }
    Ok(())
}
