//! `landfall explain`: one page for each mechanism, with the numbers that are in force here.

use std::time::Duration;

use clap::ValueEnum;

use super::exit::{self, Failure};
use crate::client::brief;
use crate::client::link::{LinkSettings, timing};
use crate::config::Config;
use crate::print;
use crate::protocol::limits;

/// The mechanisms that have a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Topic {
    Heartbeat,
    Acknowledgement,
    Outbox,
    Resume,
    CatchUp,
    Snapshot,
    Reconcile,
    Backoff,
    LiveValues,
}

impl Topic {
    const fn page(self) -> &'static str {
        match self {
            Self::Heartbeat => include_str!("../../assets/explain/heartbeat.txt"),
            Self::Acknowledgement => include_str!("../../assets/explain/acknowledgement.txt"),
            Self::Outbox => include_str!("../../assets/explain/outbox.txt"),
            Self::Resume => include_str!("../../assets/explain/resume.txt"),
            Self::CatchUp => include_str!("../../assets/explain/catch-up.txt"),
            Self::Snapshot => include_str!("../../assets/explain/snapshot.txt"),
            Self::Reconcile => include_str!("../../assets/explain/reconcile.txt"),
            Self::Backoff => include_str!("../../assets/explain/backoff.txt"),
            Self::LiveValues => include_str!("../../assets/explain/live-values.txt"),
        }
    }
}

/// Prints the page of a topic; without one, the list of all.
pub(super) fn run(config: &Config, topic: Option<Topic>) -> Result<u8, Failure> {
    let text = match topic {
        Some(topic) => filled(topic.page(), config),
        None => list(),
    };
    for line in text.lines() {
        print::line(line)?;
    }
    Ok(exit::OK)
}

/// The topics, each with the title of its page.
fn list() -> String {
    let title = |topic: &Topic| topic.page().lines().next().unwrap_or_default();
    let titles = Topic::value_variants().iter().map(title);
    let lines: Vec<_> = titles
        .filter_map(|title| title.split_once(": "))
        .map(|(name, what)| format!("  landfall explain {name:<17} {what}"))
        .collect();
    lines.join("\n")
}

/// A page with the numbers in force.
fn filled(page: &str, config: &Config) -> String {
    let mut text = page.to_owned();
    for (name, value) in numbers(config) {
        text = text.replace(&format!("{{{name}}}"), &value);
    }
    text
}

fn numbers(config: &Config) -> Vec<(&'static str, String)> {
    let time = |time: Duration| brief(time.as_millis() as u64);
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let attempts = match config.max_attempts {
        None => "no limit of attempts (max_attempts in the settings)".to_owned(),
        Some(most) => format!("{most} attempts, then offline (max_attempts in the settings)"),
    };
    vec![
        ("heartbeat", brief(limits::HEARTBEAT_MS)),
        ("suspicion", time(timing::SUSPICION_AFTER)),
        ("suspicion_deadline", time(timing::SUSPICION_DEADLINE)),
        ("pong_deadline", time(timing::PONG_DEADLINE)),
        ("window_entries", limits::WINDOW_ENTRIES_MAX.to_string()),
        ("window_bytes", kib(limits::WINDOW_BYTES_MAX)),
        ("outbox_entries", limits::OUTBOX_ENTRIES_MAX.to_string()),
        ("outbox_bytes", kib(limits::OUTBOX_BYTES_MAX)),
        ("session", brief(limits::SESSION_MS_MAX)),
        ("jump", limits::JUMP_ENTRIES.to_string()),
        ("snapshot", limits::SNAPSHOT_ENTRIES.to_string()),
        ("locator", limits::LOCATOR_POSITIONS_MAX.to_string()),
        ("backoff_first", time(timing::BACKOFF_FIRST)),
        ("backoff_max", time(LinkSettings::default().backoff_max)),
        ("stable", time(timing::STABLE_AFTER)),
        ("attempts", attempts),
        ("signals", limits::SIGNALS_PER_SECOND.to_string()),
        ("signal_keys", limits::SIGNAL_KEYS_MAX.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::sanitize_line;

    #[test]
    fn every_page_is_complete_and_fits() {
        let config = Config::load(Some(std::path::Path::new("/nowhere")), |_| None).expect("reads");
        for topic in Topic::value_variants() {
            let name = topic.to_possible_value().expect("a name");
            let name = name.get_name();
            let page = filled(topic.page(), &config);
            assert!(page.starts_with(&format!("{name}: ")), "{name}");
            assert!(!page.contains(['{', '}']), "{name} names an unknown number");
            assert!(page.contains("\nIn force here:\n"), "{name}");
            let see = page.split("\nSee it:  landfall demo ").nth(1);
            assert!(see.is_some_and(|see| see.starts_with("--")), "{name}");
            for line in page.lines() {
                assert!(crate::tui::width(line) <= 105, "{name}: {line}");
                assert_eq!(sanitize_line(line), line, "{name}");
            }
        }
        assert_eq!(list().lines().count(), 9);
    }

    #[test]
    fn every_number_is_on_a_page() {
        let pages: String = Topic::value_variants()
            .iter()
            .map(|topic| topic.page())
            .collect();
        let config = Config::load(Some(std::path::Path::new("/nowhere")), |_| None).expect("reads");
        for (name, _) in numbers(&config) {
            assert!(pages.contains(&format!("{{{name}}}")), "{name}");
        }
    }
}
