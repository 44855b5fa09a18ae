//! Plan files: which lines are accepted, and what they mean.

use super::*;

fn plan(steps: &str) -> Result<Plan, PlanError> {
    format!("title a test\n{steps}").parse()
}

fn mistake(steps: &str) -> String {
    plan(steps).expect_err(steps).to_string()
}

#[test]
fn every_step_of_the_usage_is_accepted() {
    for line in USAGE.lines().map(str::trim) {
        let line = line.split("  ").next().unwrap_or_default();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let choices = rest.split(" | ");
        let is_choice = rest.contains(" | ") && word != "caption";
        if word == "attempts" {
            assert!(plan("attempts 3\nana: x").is_ok() && plan("attempts 0\nana: x").is_err());
        }
        for choice in choices.filter(|_| is_choice) {
            let line = format!("{word} {choice}\nana: x");
            let accepted = plan(&line);
            let needs_other_end = line.starts_with("ana stop");
            assert!(accepted.is_ok() || needs_other_end, "{line}: {accepted:?}");
        }
    }
    let events = USAGE.split("30 s at most: ").nth(1).expect("events");
    let events = events.split("\n  wait").next().expect("a list");
    for event in events.split(',').map(str::trim) {
        let event = event.replace('N', "3");
        assert!(plan(&format!("until {event}")).is_ok(), "{event}");
    }
    let people = USAGE.split("the others are ").nth(1).expect("people");
    let people = people.split("\n  COUNT").next().expect("a list");
    let people: Vec<_> = people.split(',').map(str::trim).collect();
    assert_eq!(people, OTHERS);
}

#[test]
fn lines_are_typed_as_written_and_numbered() {
    let read = plan("ana: the code # is: 4711\n3 x kim: build {n} is green").expect("a plan");
    let types = |author, lines: &[&str]| PlanStep::Types {
        author,
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
    };
    let builds = ["build 1 is green", "build 2 is green", "build 3 is green"];
    assert_eq!(
        read.steps,
        [
            types("ana", &["the code # is: 4711"]),
            types("kim", &builds)
        ]
    );
}

#[test]
fn several_faults_begin_at_one_moment() {
    let read = plan("network pass; rate 2000 # slowly").expect("a plan");
    let faults = vec![FaultCommand::Pass, FaultCommand::Rate(2_000)];
    assert_eq!(read.steps, [PlanStep::Network(faults)]);
}

#[test]
fn mistake_names_its_line() {
    assert_eq!(
        "# only this\n"
            .parse::<Plan>()
            .expect_err("empty")
            .to_string(),
        "line 1: a plan begins with `title TEXT`, of at most 40 columns"
    );
    assert!(mistake("network cut\n\nnetwork cutt").starts_with("line 4: `cutt` is not a command"));
    assert!(mistake("flood: x").contains("there is no flood"));
    assert!(mistake("server explode").starts_with("line 2: `server` takes kill, start,"));
    assert!(mistake("until never").contains("`until` takes"));
    assert!(mistake("wait long").contains("`wait` takes a time"));
    assert!(mistake("dance wildly").contains("there is no step `dance wildly`"));
    assert!(mistake("501 x kim: x").contains("1 to 500 lines"));
    assert!(mistake("0 x kim: x").contains("1 to 500 lines"));
    assert!(mistake("ana:").contains("nothing to type"));
    assert!(mistake("caption No sentence").contains("a caption is"));
    assert!(mistake("caption One two three four five six seven | x").contains("a caption is"));
    assert!(mistake("caption x | y").contains("no step that does"));
}

#[test]
fn stopped_computer_types_nothing() {
    assert!(mistake("ana stop\nbob: hello\nana: hello").starts_with("line 4: ana cannot type"));
    assert!(plan("ana stop\nana cont\nana: hello").is_ok());
}
