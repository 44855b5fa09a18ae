//! The rules of ARCHITECTURE.md as tests: which module may use which, which files are pure, how
//! types are named, and what the documents contain.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[path = "tidy/words.rs"]
mod words;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("reads").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("reads")
}

/// The code of a file without its unit tests.
fn code(path: &Path) -> String {
    let whole = text(path);
    whole
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.ends_with("contract.rs")
}

#[test]
fn modules_use_only_allowed_modules() {
    let all = [
        "chaos",
        "planted_bug",
        "peers",
        "protocol",
        "system",
        "sqlite",
        "config",
        "client",
        "server",
        "tui",
        "cli",
    ];
    let may: [(&str, &[&str]); 11] = [
        ("chaos", &[]),
        ("planted_bug.rs", &[]),
        ("peers.rs", &[]),
        ("print.rs", &["protocol"]),
        ("protocol", &[]),
        ("config", &[]),
        ("system.rs", &["protocol"]),
        ("sqlite", &["protocol", "system", "planted_bug"]),
        (
            "client",
            &["protocol", "system", "sqlite", "planted_bug", "peers"],
        ),
        (
            "server",
            &["protocol", "system", "sqlite", "planted_bug", "peers"],
        ),
        ("tui", &["protocol", "system", "sqlite", "client", "print"]),
    ];
    for (module, allowed) in may {
        let at = root().join("src").join(module);
        let own = module.trim_end_matches(".rs");
        for file in if at.is_dir() { files(&at) } else { vec![at] } {
            for other in all
                .iter()
                .filter(|other| **other != own && !allowed.contains(other))
            {
                let used = [format!("crate::{other}::"), format!("crate::{other};")];
                let breaks = code(&file)
                    .lines()
                    .find(|line| {
                        used.iter().any(|used| line.contains(used))
                            && !line.trim_start().starts_with("//")
                    })
                    .map(str::to_owned);
                assert!(
                    breaks.is_none(),
                    "{} must not know {other}: {breaks:?}",
                    file.display()
                );
            }
        }
    }
}

/// `println!` panics when its reader is gone, and prints text that is not sanitized.
#[test]
fn only_the_print_module_prints() {
    for file in files(&root().join("src"))
        .iter()
        .filter(|file| !is_test(file))
    {
        let code = code(file);
        let prints = code
            .lines()
            .find(|line| line.contains("println!(") || line.contains("print!("));
        assert!(
            prints.is_none(),
            "{}: {prints:?}: use `print`",
            file.display()
        );
    }
}

#[test]
fn pure_files_use_no_io_clock_or_randomness() {
    let banned = [
        "tokio",
        "rusqlite",
        "crossterm",
        "std::net",
        "std::fs",
        "std::thread",
        "Instant",
        "SystemTime",
        "system::",
        "HashMap",
        "HashSet",
        "getrandom",
    ];
    let mut pure = 0;
    for file in files(&root().join("src"))
        .iter()
        .filter(|file| !is_test(file))
    {
        let code = code(file);
        if !code.lines().any(|line| line.starts_with("//! PURE.")) {
            continue;
        }
        pure += 1;
        for word in banned {
            let breaks = code
                .lines()
                .find(|line| line.contains(word) && !line.trim_start().starts_with("//"))
                .map(str::to_owned);
            assert!(
                breaks.is_none(),
                "{} is not pure: {breaks:?}",
                file.display()
            );
        }
    }
    assert!(pure >= 15, "only {pure} files say that they are pure");
}

/// Names of the types that a source file declares.
fn declared_types(source: &str) -> Vec<String> {
    let declares = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub").map_or(line, |rest| {
            let end = rest.strip_prefix('(').and_then(|rest| rest.find(')'));
            rest[end.map_or(0, |end| end + 2)..].trim_start()
        });
        let rest = ["struct ", "enum ", "trait "]
            .iter()
            .find_map(|keyword| line.strip_prefix(keyword))?;
        let name = rest.split(|c: char| !c.is_alphanumeric()).next()?;
        name.starts_with(char::is_uppercase)
            .then(|| name.to_owned())
    };
    source.lines().filter_map(declares).collect()
}

#[test]
fn type_names_are_unique() {
    let mut files_by_name = BTreeMap::<String, Vec<String>>::new();
    for file in files(&root().join("src")) {
        for name in declared_types(&text(&file)) {
            let files = files_by_name.entry(name).or_default();
            files.push(file.display().to_string());
        }
    }
    assert!(files_by_name.len() > 200, "declarations are not found");
    for (name, files) in files_by_name {
        let is_core_type = ["Input", "Effect", "Error"].contains(&name.as_str());
        assert!(
            is_core_type || files.len() == 1,
            "{name} is declared in {files:?}"
        );
    }
}

/// Each core has an `Input` and an `Effect`: outside of the core, the module tells which.
#[test]
fn core_types_are_written_with_their_module() {
    let cores = ["client/session", "server/session", "tui/msg.rs"];
    for folder in ["src", "tests"] {
        for file in files(&root().join(folder)) {
            if cores
                .iter()
                .any(|core| file.display().to_string().contains(core))
            {
                continue;
            }
            let text = text(&file);
            let bare = text.split(';').find(|statement| {
                let statement = statement.trim_start();
                let is_import = statement.starts_with("use ") || statement.starts_with("pub use ");
                let mut words = statement.split(|c: char| !c.is_alphanumeric() && c != '_');
                is_import && words.any(|word| word == "Input" || word == "Effect")
            });
            assert!(bare.is_none(), "{}: {bare:?}", file.display());
        }
    }
}

#[test]
fn every_file_starts_with_a_module_comment() {
    for file in files(&root().join("src"))
        .into_iter()
        .chain(files(&root().join("tests")))
    {
        assert!(
            text(&file).starts_with("//! "),
            "{} has no opening line",
            file.display()
        );
    }
}

#[test]
fn files_are_short() {
    for file in files(&root().join("src"))
        .into_iter()
        .filter(|file| !is_test(file))
    {
        let lines = code(&file).lines().count();
        assert!(
            lines <= 500,
            "{} has {lines} lines: look for the second subject in it",
            file.display()
        );
    }
}

#[test]
fn readme_names_subcommands_and_tests() {
    let readme = text(&root().join("README.md"));
    let cli = text(&root().join("src/cli/arguments.rs"));
    for command in [
        "serve", "join", "send", "tail", "status", "outbox", "journal", "feed", "watch", "explain",
        "demo", "chaos",
    ] {
        assert!(
            readme.contains(&format!("`landfall {command}")),
            "README.md does not name {command}"
        );
        let variant = format!("    {}{}", command[..1].to_uppercase(), &command[1..]);
        assert!(cli.contains(&variant), "there is no subcommand {command}");
    }
    let sources: String = files(&root().join("src"))
        .iter()
        .chain(&files(&root().join("tests")))
        .map(|file| text(file))
        .collect();
    let promised = readme
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('_'))
        .flat_map(|line| line.split('`'));
    for name in promised.filter(|word| word.matches('_').count() >= 3) {
        assert!(
            sources.contains(&format!("fn {name}(")),
            "README.md names the test {name}, which does not exist"
        );
    }
}

#[test]
fn architecture_describes_every_table() {
    let described = text(&root().join("ARCHITECTURE.md"));
    for schema in ["client/store/schema.rs", "server/storage/schema.rs"] {
        let schema = text(&root().join("src").join(schema));
        let tables = ["CREATE TABLE ", "CREATE VIRTUAL TABLE "]
            .iter()
            .flat_map(|create| schema.split(create).skip(1))
            .filter_map(|rest| rest.split_whitespace().next());
        for table in tables {
            let row = format!("\n| `{table}` |");
            assert!(described.contains(&row), "ARCHITECTURE.md lacks {table}");
        }
    }
}

#[test]
fn link_diagram_matches_the_code() {
    let drawn = landfall::client::link::diagram();
    assert!(
        text(&root().join("ARCHITECTURE.md")).contains(&drawn),
        "ARCHITECTURE.md wants this picture:\n{drawn}"
    );
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_open() {
    let open = [
        ["to", "do!("].concat(),
        ["unimple", "mented!("].concat(),
        ["FIX", "ME"].concat(),
        ["#[ig", "nore"].concat(),
    ];
    for file in files(&root().join("src"))
        .into_iter()
        .chain(files(&root().join("tests")))
    {
        for word in &open {
            assert!(
                !text(&file).contains(word.as_str()),
                "{} holds {word}",
                file.display()
            );
        }
    }
}

/// Each file by its module path: `client::link` for `client/link/mod.rs`.
fn modules() -> BTreeMap<Vec<String>, PathBuf> {
    let src = root().join("src");
    let code = files(&src).into_iter().filter(|file| !is_test(file));
    code.map(|file| {
        let below = file
            .strip_prefix(&src)
            .expect("below src")
            .with_extension("");
        let mut path: Vec<_> = below
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        path.pop_if(|last| last == "mod");
        (path, file)
    })
    .collect()
}

/// The paths of a `use` tree: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn paths_of(tree: &str) -> Vec<String> {
    let Some((prefix, rest)) = tree.split_once('{') else {
        return vec![tree.trim().to_owned()];
    };
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in inner.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    let inner = parts.iter().flat_map(|part| paths_of(part.trim()));
    inner
        .map(|path| format!("{}{path}", prefix.trim()))
        .collect()
}

/// The module path at the start of a path in a `use` or an expression, resolved in a module.
fn resolved(path: &str, from: &[String]) -> Option<Vec<String>> {
    let mut parts = path.split("::").map(str::trim);
    let mut base = match parts.next()? {
        "crate" => Vec::new(),
        "self" => from.to_vec(),
        "super" => from[..from.len().saturating_sub(1)].to_vec(),
        _ => return None,
    };
    for part in parts {
        if part == "super" {
            base.pop();
        } else {
            base.push(part.to_owned());
        }
    }
    Some(base)
}

/// The files that a file uses, but for those that it is a part of, and its own parts.
fn used_by(
    module: &[String],
    file: &Path,
    all: &BTreeMap<Vec<String>, PathBuf>,
) -> BTreeSet<Vec<String>> {
    let code: String = code(file)
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned() + " ")
        .collect();
    let uses = code.split(';').filter_map(|statement| {
        let (before, tree) = statement.rsplit_once("use ")?;
        let is_use =
            before.trim_end().is_empty() || before.trim_end().ends_with(['}', ')', ']', 'b']);
        is_use.then_some(tree)
    });
    let mut paths: Vec<_> = uses.flat_map(paths_of).collect();
    for start in ["crate::", "super::"] {
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let found = code.match_indices(start).map(|(at, _)| &code[at..]);
        paths.extend(found.map(|rest| rest.split(|c| !is_path(c)).next().unwrap_or("").to_owned()));
    }
    let is_part = |other: &[String]| other.starts_with(module) || module.starts_with(other);
    paths
        .iter()
        .filter_map(|path| resolved(path, module))
        .filter_map(|path| {
            (1..=path.len())
                .rev()
                .map(|n| path[..n].to_vec())
                .find(|path| all.contains_key(path))
        })
        .filter(|other| !is_part(other))
        .collect()
}

/// Files that use each other, directly or over other files, form a circle.
#[test]
fn files_use_each_other_in_no_circle() {
    let all = modules();
    let uses: BTreeMap<_, _> = all
        .iter()
        .map(|(module, file)| (module.clone(), used_by(module, file, &all)))
        .collect();
    for (module, used) in &uses {
        let (mut reached, mut todo) = (BTreeSet::new(), used.iter().collect::<Vec<_>>());
        while let Some(next) = todo.pop() {
            if reached.insert(next) {
                todo.extend(&uses[next]);
            }
        }
        let name = module.join("::");
        assert!(
            !reached.contains(module),
            "{name} uses itself by way of {used:?}"
        );
    }
}

#[test]
fn paths_of_a_use_are_those_of_its_tree() {
    assert_eq!(
        paths_of("crate::a::{b, c::{d, e}, self}"),
        [
            "crate::a::b",
            "crate::a::c::d",
            "crate::a::c::e",
            "crate::a::self"
        ]
    );
    let from = ["a".to_owned(), "b".to_owned()];
    assert_eq!(
        resolved("super::c::D", &from),
        Some(vec!["a".to_owned(), "c".to_owned(), "D".to_owned()])
    );
    assert_eq!(resolved("std::fs", &from), None);
}
