//! The language of the sources: plain words, short test names, named types.

use super::{code, files, is_test, root, text};

/// All sources of the crate, unit tests included.
fn sources() -> Vec<String> {
    files(&root().join("src")).iter().map(|f| text(f)).collect()
}

/// Number of whole words of `list` in the sources. Parts of an identifier count as words.
fn count_words(list: &[&str]) -> usize {
    let is_listed = |word: &&str| list.iter().any(|listed| listed.eq_ignore_ascii_case(word));
    sources()
        .iter()
        .map(|source| {
            let words = source.split(|c: char| !c.is_ascii_alphabetic());
            words.filter(is_listed).count()
        })
        .sum()
}

/// Vague words hide who does what: a peer sends, a store has, a user reads.
#[test]
fn vague_words_are_rare() {
    let limits: [(usize, &[&str]); 3] = [
        (60, &["told", "tell", "tells", "said", "say", "says"]),
        (60, &["held", "hold", "holds", "stand", "stands", "stood"]),
        (10, &["nobody", "somebody", "whoever"]),
    ];
    for (limit, list) in limits {
        let count = count_words(list);
        assert!(count <= limit, "{list:?}: {count}, at most {limit}");
    }
}

/// Names of all tests, of the sources and of tests/.
fn test_names() -> Vec<String> {
    let folders = [root().join("src"), root().join("tests")];
    let mut names = Vec::new();
    for source in folders
        .iter()
        .flat_map(|folder| files(folder))
        .map(|f| text(&f))
    {
        let mut lines = source.lines().map(str::trim_start);
        while let Some(line) = lines.next() {
            if !line.starts_with("#[test]") && !line.starts_with("#[tokio::test") {
                continue;
            }
            let declared = lines.find_map(|line| line.split_once("fn "));
            let name = declared.map(|(_, rest)| rest.split('(').next().unwrap_or_default());
            names.extend(name.map(str::to_owned));
        }
    }
    names
}

#[test]
fn test_names_are_short() {
    let names = test_names();
    assert!(names.len() > 500, "{} tests were found", names.len());
    let long: Vec<_> = names.iter().filter(|name| name.len() > 60).collect();
    assert!(long.is_empty(), "over 60 characters: {long:#?}");
    let mut lengths: Vec<_> = names.iter().map(String::len).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(
        median <= 45,
        "the median is {median} characters, at most 45"
    );
}

/// Number of lines of the product's code for which `is_counted` holds.
fn count_lines(is_counted: impl Fn(&str) -> bool) -> usize {
    files(&root().join("src"))
        .iter()
        .filter(|file| !is_test(file))
        .map(|file| code(file).lines().filter(|line| is_counted(line)).count())
        .sum()
}

#[test]
fn states_are_types_and_columns_have_names() {
    let nested = ["Option<Option<", "Result<Result<"];
    let nested = count_lines(|line| nested.iter().any(|nested| line.contains(nested)));
    assert!(nested <= 1, "{nested} nested options");
    let compares = |line: &str| line.contains("== \"") || line.contains("!= \"");
    let texts = count_lines(compares);
    assert!(texts <= 10, "{texts} comparisons with a text");
    let by_number = count_lines(|line| {
        let mut calls = line.split("row.get").skip(1);
        calls.any(|rest| {
            let argument = rest.split_once('(').map_or("", |(_, argument)| argument);
            argument.starts_with(|c: char| c.is_ascii_digit())
        })
    });
    assert!(by_number <= 5, "{by_number} columns are read by number");
}

#[test]
fn invariants_are_asserted() {
    let asserts = count_lines(|line| line.trim_start().starts_with("debug_assert"));
    assert!(asserts >= 30, "{asserts} debug assertions, at least 30");
}

/// Fields and variants may speak for themselves; everything else that is public is explained.
#[test]
fn public_items_have_docs() {
    let items = ["fn", "struct", "enum", "trait", "type", "static"];
    for file in files(&root().join("src"))
        .iter()
        .filter(|file| !is_test(file))
    {
        let code = code(file);
        let (mut has_docs, mut is_in_attribute) = (false, false);
        for line in code.lines().map(str::trim_start) {
            let mut words = line.split_whitespace();
            let is_item = words.next() == Some("pub")
                && words
                    .find(|word| !matches!(*word, "const" | "async"))
                    .is_some_and(|word| items.contains(&word));
            assert!(!is_item || has_docs, "{}: {line}", file.display());
            is_in_attribute |= line.starts_with("#[");
            has_docs = line.starts_with("///")
                || line.starts_with("$(#[")
                || (has_docs && is_in_attribute);
            is_in_attribute &= !line.ends_with(']');
        }
    }
}
