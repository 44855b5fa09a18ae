//! File, environment and flags as one plain struct. What cannot be understood is named with its
//! line, and the rest kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use directories::ProjectDirs;
use thiserror::Error;

/// Where things are, and what the person set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Settings are read from here.
    pub file: PathBuf,
    /// Profiles, and the data of a server hosted on this machine.
    pub data: PathBuf,
    /// The data of `landfall serve`: the `STATE_DIRECTORY` of a systemd unit, or within the data.
    server: PathBuf,
    /// The log file.
    pub state: PathBuf,
    /// Give up after so many failed dials in a row.
    pub max_attempts: Option<u32>,
    /// Give up when no link stood for so long.
    pub give_up_after: Option<Duration>,
    /// After giving up, look so often whether the server is back.
    pub probe_every: Option<Duration>,
    /// Nothing beyond ASCII in the program's own signs.
    pub ascii: bool,
    /// Colours; `NO_COLOR` says no.
    pub color: bool,
    /// What could not be understood.
    pub warnings: Vec<String>,
}

/// Why there is no configuration at all.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The system tells no home folder.
    #[error("there is no home folder: name one with --home DIR or LANDFALL_HOME")]
    NoHome,
}

/// The longest time that can be set: a year.
const SECONDS_MAX: u64 = 366 * 24 * 3_600;

/// Keys of the file, for the message about one that is none.
const KEYS: &str = "max_attempts, give_up_after_s, probe_every_s, ascii, color";

impl Config {
    /// Reads everything. `home` comes from the flag; `environment` looks a variable up.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(
        home: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let set = |key: &str| environment(key).filter(|value| !value.is_empty());
        let home = home
            .map(Path::to_owned)
            .or_else(|| set("LANDFALL_HOME").map(PathBuf::from));
        // systemd.exec(5): several are separated by colons.
        let unit = set("STATE_DIRECTORY")
            .and_then(|folders| Some(PathBuf::from(folders.split(':').next()?)));
        let (config, data, state) =
            folders(home, unit.as_deref(), ProjectDirs::from("", "", "landfall"))?;
        let mut loaded = Self {
            file: config.join("config"),
            server: unit.unwrap_or_else(|| data.join("server")),
            data,
            state,
            max_attempts: None,
            give_up_after: None,
            probe_every: None,
            ascii: set("LANDFALL_ASCII").is_some(),
            color: set("NO_COLOR").is_none(),
            warnings: Vec::new(),
        };
        match std::fs::read_to_string(&loaded.file) {
            Ok(text) => loaded.read(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => loaded
                .warnings
                .push(format!("cannot read {}: {error}", loaded.file.display())),
        }
        Ok(loaded)
    }

    /// The configuration of a command that names all of its paths, on a system that has no home
    /// folder: nothing can be made below any of these.
    #[must_use]
    pub fn without_home() -> Self {
        let [file, data, server, state] = [(); 4].map(|()| PathBuf::from("/dev/null/landfall"));
        let (max_attempts, give_up_after, probe_every) = (None, None, None);
        let warnings = Vec::new();
        Self {
            file,
            data,
            server,
            state,
            max_attempts,
            give_up_after,
            probe_every,
            ascii: false,
            color: true,
            warnings,
        }
    }

    /// Reads `key = value` lines; `#` begins a comment.
    fn read(&mut self, text: &str) {
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            if line.is_empty() {
                continue;
            }
            let understood = line
                .split_once('=')
                .is_some_and(|(key, value)| self.set(key.trim(), value.trim()));
            if !understood {
                self.warnings.push(format!(
                    "config, line {}: {line:?} is not understood; keys: {KEYS}",
                    number + 1
                ));
            }
        }
    }

    fn set(&mut self, key: &str, value: &str) -> bool {
        let flag = || value.parse::<bool>().ok();
        let seconds = || {
            value
                .parse()
                .ok()
                .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
                .map(Duration::from_secs)
        };
        match key {
            "max_attempts" => {
                let max = value.parse().ok().filter(|max| *max > 0);
                self.max_attempts = max.or(self.max_attempts);
                max.is_some()
            }
            "give_up_after_s" => seconds()
                .map(|after| self.give_up_after = Some(after))
                .is_some(),
            "probe_every_s" => seconds()
                .map(|every| self.probe_every = Some(every))
                .is_some(),
            "ascii" => flag().map(|ascii| self.ascii = ascii).is_some(),
            "color" => flag().map(|color| self.color &= color).is_some(),
            _ => false,
        }
    }

    /// The folder of a profile.
    #[must_use]
    pub fn profile(&self, name: &str) -> PathBuf {
        self.data.join("profiles").join(name)
    }

    /// The folder of the server that this machine hosts for itself.
    #[must_use]
    pub fn host(&self) -> PathBuf {
        self.data.join("host")
    }

    /// The data of `landfall serve`.
    #[must_use]
    pub fn server(&self) -> PathBuf {
        self.server.clone()
    }

    /// The log of the program itself.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.state.join("landfall.log")
    }
}

/// The folders of configuration, data and state.
fn folders(
    home: Option<PathBuf>,
    unit: Option<&Path>,
    dirs: Option<ProjectDirs>,
) -> Result<(PathBuf, PathBuf, PathBuf), ConfigError> {
    let home = home.or_else(|| {
        unit.filter(|_| dirs.is_none())
            .map(|unit| unit.join("landfall"))
    });
    if let Some(home) = home {
        return Ok((home.join("config"), home.join("data"), home.join("state")));
    }
    let dirs = dirs.ok_or(ConfigError::NoHome)?;
    let state = dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir());
    Ok((
        dirs.config_dir().to_owned(),
        dirs.data_dir().to_owned(),
        state.to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::load(Some(Path::new("/nowhere")), |_| None).expect("a home was given")
    }

    #[test]
    fn one_wrong_line_is_named_and_the_others_hold() {
        let mut config = config();
        config.read(
            "max_attempts = 5 # tries\nmax_atempts = 7\n\nascii = true\ngive_up_after_s = soon\nmax_attempts = 0\nprobe_every_s = 18446744073709551615\n",
        );
        assert_eq!(
            (config.max_attempts, config.ascii, config.give_up_after),
            (Some(5), true, None)
        );
        assert_eq!((config.warnings.len(), config.probe_every), (4, None));
        assert!(
            config.warnings[0].contains("line 2") && config.warnings[0].contains("max_attempts")
        );
    }

    #[test]
    fn the_flag_goes_before_the_environment() {
        let environment = |key: &str| (key == "LANDFALL_HOME").then(|| "/env".to_owned());
        let by_flag = Config::load(Some(Path::new("/flag")), environment).expect("a home");
        assert_eq!(by_flag.data, Path::new("/flag/data"));
        let by_environment = Config::load(None, environment).expect("a home");
        assert_eq!(by_environment.data, Path::new("/env/data"));
        assert!(
            !Config::load(Some(Path::new("/x")), |_| Some("1".into()))
                .expect("a home")
                .color
        );
    }

    #[test]
    fn server_data_is_in_the_state_directory_of_a_unit() {
        let unit = |key: &str| {
            (key == "STATE_DIRECTORY").then(|| "/var/lib/chat:/var/lib/other".to_owned())
        };
        let config = Config::load(Some(Path::new("/flag")), unit).expect("a home");
        assert_eq!(config.server(), Path::new("/var/lib/chat"));
        assert_eq!(config.data, Path::new("/flag/data"));
        let without_home = folders(None, Some(Path::new("/var/lib/chat")), None).expect("a folder");
        assert_eq!(without_home.1, Path::new("/var/lib/chat/landfall/data"));
        assert!(matches!(
            folders(None, None, None),
            Err(ConfigError::NoHome)
        ));
        assert_eq!(self::config().server(), Path::new("/nowhere/data/server"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn whatever_a_file_says_each_line_is_a_setting_or_is_named(text in "(max_attempts|ascii|color|x)?[ =#\\n\\PC]{0,40}") {
            let mut config = config();
            config.read(&text);
            let lines = text.lines().filter(|line| !line.split('#').next().unwrap_or("").trim().is_empty()).count();
            proptest::prop_assert!(config.warnings.len() <= lines);
            let set = usize::from(config.ascii) + usize::from(!config.color) + usize::from(config.max_attempts.is_some());
            proptest::prop_assert!(config.warnings.len() + set <= lines.max(set));
        }
    }
}
