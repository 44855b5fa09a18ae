//! Settings from file, environment and flags. Invalid lines are reported with line and column, and
//! the other lines apply.

mod settings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use directories::ProjectDirs;
use thiserror::Error;

use self::settings::FileSettings;

/// The paths and the user's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The settings file.
    pub file: PathBuf,
    /// The folder of profiles, and of this machine's own server.
    pub data: PathBuf,
    /// The data folder of `landfall serve`: `STATE_DIRECTORY` of a systemd unit, or a folder in
    /// `data`.
    server: PathBuf,
    pub state: PathBuf,
    /// Maximum consecutive failed dials before giving up.
    pub max_attempts: Option<u32>,
    /// Maximum time without a connection before giving up.
    pub give_up_after: Option<Duration>,
    /// Interval of checks after giving up.
    pub probe_every: Option<Duration>,
    /// Use only ASCII for the program's own signs.
    pub ascii: bool,
    /// Colours; `NO_COLOR` switches them off.
    pub color: bool,
    /// One warning for each invalid line.
    pub warnings: Vec<String>,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The system has no home folder.
    #[error("there is no home folder: name one with --home DIR or LANDFALL_HOME")]
    NoHome,
}

impl Config {
    /// Loads all settings. `home` comes from the flag; `environment` returns a variable.
    pub fn load(
        home: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let set = |key: &str| environment(key).filter(|value| !value.is_empty());
        let home = home
            .map(Path::to_owned)
            .or_else(|| set("LANDFALL_HOME").map(PathBuf::from));
        // systemd.exec(5): several folders are separated by colons.
        let unit = set("STATE_DIRECTORY")
            .and_then(|folders| Some(PathBuf::from(folders.split(':').next()?)));
        let Folders {
            config,
            data,
            state,
        } = folders(home, unit.as_deref(), ProjectDirs::from("", "", "landfall"))?;
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
        match std::fs::read(&loaded.file) {
            Ok(file) => loaded.read(&file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => loaded
                .warnings
                .push(format!("cannot read {}: {error}", loaded.file.display())),
        }
        Ok(loaded)
    }

    /// The configuration of a command that names all of its paths, without a home folder. Its other
    /// paths cannot be created.
    #[must_use]
    pub fn without_home() -> Self {
        let [file, data, server, state] = [(); 4].map(|()| PathBuf::from("/dev/null/landfall"));
        let warnings = Vec::new();
        Self {
            file,
            data,
            server,
            state,
            max_attempts: None,
            give_up_after: None,
            probe_every: None,
            ascii: false,
            color: true,
            warnings,
        }
    }

    fn read(&mut self, file: &[u8]) {
        let (settings, warnings) = FileSettings::read(file);
        self.max_attempts = settings.max_attempts();
        self.give_up_after = settings.give_up_after();
        self.probe_every = settings.probe_every();
        self.ascii |= settings.ascii();
        self.color &= settings.color();
        self.warnings.extend(warnings);
    }

    /// Returns the folder of a profile.
    #[must_use]
    pub fn profile(&self, name: &str) -> PathBuf {
        self.data.join("profiles").join(name)
    }

    /// Returns the data folder of this machine's own server.
    #[must_use]
    pub fn host(&self) -> PathBuf {
        self.data.join("host")
    }

    /// Returns the data folder of `landfall serve`.
    #[must_use]
    pub fn server(&self) -> PathBuf {
        self.server.clone()
    }

    /// Returns the path of the program's log.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.state.join("landfall.log")
    }
}

/// The folders of configuration, data and state.
#[derive(PartialEq, Eq, Debug)]
struct Folders {
    config: PathBuf,
    data: PathBuf,
    state: PathBuf,
}

/// Returns the folders below `home`, else below the state directory of a systemd unit, else those
/// of the user.
fn folders(
    home: Option<PathBuf>,
    unit: Option<&Path>,
    dirs: Option<ProjectDirs>,
) -> Result<Folders, ConfigError> {
    let home = home.or_else(|| {
        unit.filter(|_| dirs.is_none())
            .map(|unit| unit.join("landfall"))
    });
    if let Some(home) = home {
        return Ok(Folders {
            config: home.join("config"),
            data: home.join("data"),
            state: home.join("state"),
        });
    }
    let dirs = dirs.ok_or(ConfigError::NoHome)?;
    let state = dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir());
    Ok(Folders {
        config: dirs.config_dir().to_owned(),
        data: dirs.data_dir().to_owned(),
        state: state.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::load(Some(Path::new("/nowhere")), |_| None).expect("a home was given")
    }

    #[test]
    fn flag_overrides_the_environment() {
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
    fn systemd_state_directory_has_the_server_data() {
        let unit = |key: &str| {
            (key == "STATE_DIRECTORY").then(|| "/var/lib/chat:/var/lib/other".to_owned())
        };
        let config = Config::load(Some(Path::new("/flag")), unit).expect("a home");
        assert_eq!(config.server(), Path::new("/var/lib/chat"));
        assert_eq!(config.data, Path::new("/flag/data"));
        let without_home = folders(None, Some(Path::new("/var/lib/chat")), None).expect("a folder");
        assert_eq!(without_home.data, Path::new("/var/lib/chat/landfall/data"));
        assert!(matches!(
            folders(None, None, None),
            Err(ConfigError::NoHome)
        ));
        assert_eq!(self::config().server(), Path::new("/nowhere/data/server"));
    }
}
