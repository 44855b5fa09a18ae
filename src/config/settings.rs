//! The settings of the configuration file: TOML, read line by line, so that one wrong line costs
//! no other one.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

/// The settings of one or more lines.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSettings {
    max_attempts: Option<NonZeroU32>,
    give_up_after_s: Option<Seconds>,
    probe_every_s: Option<Seconds>,
    ascii: Option<bool>,
    color: Option<bool>,
}

/// Each setting, with its values in words.
const SETTINGS: [(&str, &str); 5] = [
    ("max_attempts", "a whole number, 1 or more"),
    ("give_up_after_s", SECONDS_IN_WORDS),
    ("probe_every_s", SECONDS_IN_WORDS),
    ("ascii", "true or false"),
    ("color", "true or false"),
];
const SECONDS_IN_WORDS: &str = "a number of seconds between 1 and 31622400 (a year)";

/// A time between a second and a year.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "u64")]
struct Seconds(u64);

/// Maximum of a setting in seconds: one year.
const SECONDS_MAX: u64 = 366 * 24 * 3_600;

impl TryFrom<u64> for Seconds {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        if (1..=SECONDS_MAX).contains(&seconds) {
            return Ok(Self(seconds));
        }
        Err("not between a second and a year")
    }
}

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        Self::from_secs(seconds.0)
    }
}

impl FileSettings {
    /// Parses a file. Returns the valid settings, and a warning for each invalid line.
    pub(super) fn read(file: &[u8]) -> (Self, Vec<String>) {
        let mut settings = Self::default();
        let mut warnings = Vec::new();
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        for (at, line) in file.split(|byte| *byte == b'\n').enumerate() {
            let number = at + 1;
            match Self::line(line) {
                Ok(SettingsLine { set, notice }) => {
                    settings.take_over(set);
                    warnings
                        .extend(notice.map(|notice| format!("config, line {number}: {notice}")));
                }
                Err(LineError { column, what }) => {
                    warnings.push(format!("config, line {number}, column {column}: {what}"));
                }
            }
        }
        (settings, warnings)
    }

    fn line(bytes: &[u8]) -> Result<SettingsLine, LineError> {
        let line = std::str::from_utf8(bytes).map_err(|error| {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            LineError {
                column: valid.chars().count() + 1,
                what: "this line is not UTF-8".to_owned(),
            }
        })?;
        let line = line.trim_end_matches('\r');
        match toml::from_str(line) {
            Ok(set) => Ok(SettingsLine { set, notice: None }),
            Err(error) => old_style(line).ok_or_else(|| LineError::of(line, &error)),
        }
    }

    /// A later line overrules an earlier one.
    fn take_over(&mut self, line: Self) {
        self.max_attempts = line.max_attempts.or(self.max_attempts);
        self.give_up_after_s = line.give_up_after_s.or(self.give_up_after_s);
        self.probe_every_s = line.probe_every_s.or(self.probe_every_s);
        self.ascii = line.ascii.or(self.ascii);
        self.color = line.color.or(self.color);
    }

    /// Maximum consecutive failed dials before giving up.
    pub(super) fn max_attempts(&self) -> Option<u32> {
        self.max_attempts.map(NonZeroU32::get)
    }

    /// Maximum time without a connection before giving up.
    pub(super) fn give_up_after(&self) -> Option<Duration> {
        self.give_up_after_s.map(Duration::from)
    }

    /// After giving up, try again so often.
    pub(super) fn probe_every(&self) -> Option<Duration> {
        self.probe_every_s.map(Duration::from)
    }

    pub(super) fn ascii(&self) -> bool {
        self.ascii.unwrap_or(false)
    }

    pub(super) fn color(&self) -> bool {
        self.color.unwrap_or(true)
    }
}

/// A line that was understood.
struct SettingsLine {
    set: FileSettings,
    /// How it should be written.
    notice: Option<String>,
}

/// A line that was not understood.
struct LineError {
    /// Counted from 1, in characters.
    column: usize,
    what: String,
}

impl LineError {
    fn of(line: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let before = line.get(..at).unwrap_or(line);
        Self {
            column: before.chars().count() + 1,
            what: Self::in_words(line, error.message()),
        }
    }

    fn in_words(line: &str, message: &str) -> String {
        let Some((key, _)) = line.split_once('=') else {
            return "write it as \"setting = value\"".to_owned();
        };
        let key = key.trim();
        if let Some((_, values)) = SETTINGS.iter().find(|(setting, _)| *setting == key) {
            return format!("{key} is {values}");
        }
        if message.starts_with("unknown field") {
            let known = SETTINGS.map(|(setting, _)| setting).join(", ");
            return format!("there is no setting {key}; there are {known}");
        }
        message.lines().next().unwrap_or_default().to_owned()
    }
}

/// Parses a `key = value` line of earlier versions: `#` starts a comment anywhere, and numbers may
/// have a sign and leading zeros.
fn old_style(line: &str) -> Option<SettingsLine> {
    let line = line.split('#').next().unwrap_or("");
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let number: u64 = value.parse().ok()?;
    let written = format!("{key} = {number}");
    Some(SettingsLine {
        set: toml::from_str(&written).ok()?,
        notice: Some(format!("write it as {written:?}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_line_is_named_and_others_apply() {
        let (settings, warnings) = FileSettings::read(
            b"max_attempts = 5 # tries\nmax_atempts = 7\r\n\nascii = true\r\ngive_up_after_s = soon\n  color = 1\nprobe_every_s = 0\n",
        );
        assert_eq!((settings.max_attempts(), settings.ascii()), (Some(5), true));
        assert_eq!((settings.give_up_after(), settings.color()), (None, true));
        let found: Vec<_> = warnings
            .iter()
            .map(|warning| warning.split(':').next().unwrap_or_default())
            .collect();
        assert_eq!(
            found,
            [
                "config, line 2, column 1",
                "config, line 5, column 19",
                "config, line 6, column 11",
                "config, line 7, column 17"
            ],
            "{warnings:#?}"
        );
        assert!(warnings[0].contains("max_attempts"), "{warnings:#?}");
        assert!(warnings[1].contains("give_up_after_s is a number of seconds"));
        assert!(warnings[2].contains("color is true or false"));
        assert!(warnings[3].contains("between 1 and"), "{warnings:#?}");
        let unknown = toml::from_str::<FileSettings>("x = 1").expect_err("unknown");
        for (setting, _) in SETTINGS {
            assert!(unknown.message().contains(setting), "{unknown}");
        }
        assert!(SECONDS_IN_WORDS.contains(&SECONDS_MAX.to_string()));
    }

    #[test]
    fn byte_that_is_not_utf8_costs_its_line_only() {
        let (settings, warnings) =
            FileSettings::read(b"ascii = true\n# \xc3\xbc\xff\nmax_attempts = 3");
        assert!(settings.ascii());
        assert_eq!(settings.max_attempts(), Some(3));
        assert_eq!(
            warnings,
            ["config, line 2, column 4: this line is not UTF-8"],
            "columns are characters"
        );
    }

    #[test]
    fn old_numbers_are_understood_with_a_notice() {
        let (settings, warnings) = FileSettings::read(b"\xef\xbb\xbfprobe_every_s = 060\n");
        assert_eq!(settings.probe_every(), Some(Duration::from_secs(60)));
        assert_eq!(
            warnings,
            ["config, line 1: write it as \"probe_every_s = 60\""]
        );
    }

    #[test]
    fn later_line_overrules_an_earlier_one() {
        let (settings, warnings) = FileSettings::read(b"max_attempts = 3\nmax_attempts = 4\n");
        assert_eq!(settings.max_attempts(), Some(4));
        assert_eq!(warnings, [""; 0]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn each_line_is_a_setting_or_is_named(
            file in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
            key in "(max_attempts|ascii|color|x)?[ =#\\n\\PC]{0,40}",
        ) {
            let file = [key.as_bytes(), &file].concat();
            let (settings, warnings) = FileSettings::read(&file);
            let lines = file.split(|byte| *byte == b'\n').count();
            proptest::prop_assert!(warnings.len() <= lines);
            let is_changed = settings != FileSettings::default();
            let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
            let has_text = file.split(|byte| *byte == b'\n').any(|line| !is_blank(line));
            proptest::prop_assert!(has_text || (!is_changed && warnings.is_empty()));
        }
    }
}
