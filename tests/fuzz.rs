//! The fuzz targets on any toolchain: each over its corpus, and over changes of that, from a seed
//! that is new each time.
//!
//! `FUZZ_BASE` repeats a run, `FUZZ_RUNS` makes it longer.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fastrand::Rng;

/// Changed inputs for each target.
const RUNS: u64 = 1_500;
/// Bytes of an input.
const INPUT_MAX: usize = 64 * 1024;
/// What parsers, screens and files are known to stumble over.
const PIECES: [&[u8]; 24] = [
    b"\n",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"[[[[[[[[",
    b"null",
    b"-1",
    b"1e999",
    b"9007199254740993",
    b"18446744073709551615",
    b"\x1b[2J",
    b"\x1b]0;x\x07",
    b"\xc2\x9b31m",
    b"\r",
    b"\x08",
    b"\xe2\x80\xae",
    b"\xe2\x81\xa6",
    b"\xff\xfe",
    b"\0",
    b"=",
    b"#",
    b"00000000-0000-0000-0000-000000000000",
    b"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7",
];

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a corpus")
        .flatten()
        .map(|file| file.path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).expect("reads"))
        .collect()
}

/// Applies one to eight mutations to an input: change, cut, repeat or insert bytes, or splice
/// another input.
fn change(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..rng.u8(1..9) {
        let (from, to) = (rng.usize(..=bytes.len()), rng.usize(..=bytes.len()));
        let (from, to) = (from.min(to), from.max(to));
        match rng.u8(..6) {
            0 if from < bytes.len() => bytes[from] ^= 1 << rng.u8(..8),
            1 => drop(bytes.drain(from..to.min(from + 64))),
            2 => drop(bytes.splice(to..to, bytes[from..to].to_vec())),
            3 => {
                let other = &corpus[rng.usize(..corpus.len())];
                let piece = rng.usize(..=other.len())..other.len();
                drop(bytes.splice(from..from, other[piece].to_vec()));
            }
            4 => drop(bytes.splice(
                from..to.min(from + 8),
                PIECES[rng.usize(..PIECES.len())].to_vec(),
            )),
            _ => drop(bytes.splice(from..from, PIECES[rng.usize(..PIECES.len())].to_vec())),
        }
        bytes.truncate(INPUT_MAX);
    }
    bytes
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(name: &str) {
    let target = targets::target(name);
    let corpus = corpus(name);
    corpus.iter().for_each(|bytes| target(bytes));
    let base = variable("FUZZ_BASE")
        .unwrap_or_else(|| u64::from_le_bytes(landfall::system::random()) >> 16);
    println!("{name}: FUZZ_BASE={base}");
    for seed in base..base + variable("FUZZ_RUNS").unwrap_or(RUNS) {
        let bytes = change(&mut Rng::with_seed(seed), &corpus);
        if catch_unwind(|| target(&bytes)).is_err() {
            panic!(
                "{name} fails with FUZZ_BASE={seed} FUZZ_RUNS=1, over\n{}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}

#[test]
fn frames() {
    run("frame");
}

#[test]
fn settings() {
    run("config");
}

#[test]
fn stored_state() {
    run("store");
}

#[test]
fn server_frames_at_a_client() {
    run("client");
}

#[test]
fn client_frames_at_a_server() {
    run("server");
}
