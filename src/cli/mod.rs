//! The command line: one file for each subcommand. Only this module uses both the client and the
//! server.

mod arguments;
mod backup;
mod chaos;
mod chat;
mod data_folder;
mod demo;
mod exit;
mod explain;
mod feed;
mod help;
mod host;
mod join;
mod journal;
mod lines;
mod live;
mod logging;
mod operator;
mod outbox;
mod private;
mod profile;
mod send;
mod sending;
mod serve;
mod status;
mod stopping;
mod tail;
mod time;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, Parser};

use self::arguments::{Cli, CliCommand, OutboxAction};
use self::exit::Failure;
use crate::config::{Config, ConfigError};
use crate::print;

/// Runs the program and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    private::from_now_on();
    crate::system::survive_file_size_limit();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print(); // the exit code shows the mistake as well
            return exit::USAGE.into();
        }
        Err(error) if error.use_stderr() => {
            let mistake = in_one_line(&error.to_string());
            print::note(format!(
                "{mistake}; `{} --help` shows more",
                called(&arguments)
            ));
            return exit::USAGE.into();
        }
        Err(help) => {
            return match help.print() {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => exit::DISK.into(),
                Ok(()) | Err(_) => ExitCode::SUCCESS, // the reader has closed the pipe
            };
        }
    };
    match dispatch(cli) {
        Ok(code) => code.into(),
        Err(failure) => {
            if !failure.is_silent() {
                print::note(&failure);
            }
            failure.code().into()
        }
    }
}

/// An error of the argument parser, which has several lines with the usage, as one line like every other
/// failure.
fn in_one_line(error: &str) -> String {
    let text = error
        .split("\n\n")
        .take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    let words = text
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("; ");
    words.trim_start_matches("error: ").to_owned()
}

/// Returns the program's name, with that of the command if there is one.
fn called(arguments: &[OsString]) -> String {
    let lenient = Cli::command().ignore_errors(true);
    let matches = lenient.try_get_matches_from(arguments).ok();
    let command = matches.as_ref().and_then(ArgMatches::subcommand_name);
    command.map_or("landfall".to_owned(), |name| format!("landfall {name}"))
}

fn dispatch(cli: Cli) -> Result<u8, Failure> {
    let config = match Config::load(cli.home.as_deref(), |key| std::env::var(key).ok()) {
        Ok(config) => config,
        Err(ConfigError::NoHome)
            if cli
                .command
                .as_ref()
                .is_some_and(CliCommand::names_its_paths) =>
        {
            Config::without_home()
        }
        Err(error) => return Err(Failure::usage(error)),
    };
    let who = profile::Who {
        profile: cli.profile,
        name: cli.as_name,
    };
    who.check()?;
    if cli.command.is_some() {
        config.warnings.iter().for_each(print::note); // the chat shows them itself
    }
    match cli.command {
        None => chat::run(&config, &who),
        Some(CliCommand::Serve {
            listen,
            data,
            until_eof,
        }) => serve::run(
            &config,
            serve::ServeOptions {
                listen,
                data,
                until_eof,
            },
        ),
        Some(CliCommand::Join { invite, name }) => join::run(&config, &who, &invite, name),
        Some(CliCommand::Send {
            room,
            text,
            lines,
            wait,
            no_wait,
        }) => send::run(
            &config,
            &who,
            &send::SendOptions {
                room,
                text,
                lines,
                wait_s: if no_wait { 0 } else { wait },
            },
        ),
        Some(CliCommand::Tail {
            room,
            json,
            after,
            follow,
            orphaned,
        }) => tail::run(
            &config,
            &who,
            &tail::TailOptions {
                room,
                json,
                after,
                follow,
                orphaned,
            },
        ),
        Some(CliCommand::Status { json }) => status::run(&config, &who, json),
        Some(CliCommand::Outbox { action, json }) => {
            outbox::run(&config, &who, action.unwrap_or(OutboxAction::List { json }))
        }
        Some(CliCommand::Feed { room }) => feed::run(&config, &who, &room),
        Some(CliCommand::Watch { room, json, for_s }) => {
            watch::run(&config, &who, &watch::WatchOptions { room, json, for_s })
        }
        Some(CliCommand::Demo(options)) => demo::run(&config, &options),
        Some(CliCommand::Explain { topic }) => explain::run(&config, topic),
        Some(CliCommand::Journal {
            json,
            since,
            ladder,
        }) => journal::run(
            &config,
            &who,
            &journal::JournalOptions {
                json,
                since,
                ladder,
            },
        ),
        Some(CliCommand::Invite { data, action }) => {
            operator::invite(&config, data, action.is_some())
        }
        Some(CliCommand::Device { data, action }) => operator::device(&config, data, &action),
        Some(CliCommand::Backup { data, to }) => {
            backup::back_up(&backup::Subject::of(&config, &who, data)?, &to)
        }
        Some(CliCommand::Restore { data, from, force }) => {
            backup::restore(&backup::Subject::of(&config, &who, data)?, &from, force)
        }
        Some(CliCommand::Check {
            file: Some(file), ..
        }) => backup::check_copy(&file),
        Some(CliCommand::Check { data, file: None }) => {
            backup::check(&backup::Subject::of(&config, &who, data)?)
        }
        Some(CliCommand::Chaos {
            listen,
            upstream,
            plan,
        }) => chaos::run(listen, &upstream, plan.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argument_error_is_one_line() {
        let error_of = |arguments: &[&str]| {
            let error = Cli::try_parse_from(arguments)
                .expect_err("a mistake")
                .to_string();
            in_one_line(&error)
        };
        let cases: [(&[&str], &str); 5] = [
            (&["landfall", "snd"], "unrecognized subcommand 'snd'"),
            (
                &["landfall", "send"],
                "the following required arguments were not provided: <ROOM>",
            ),
            (
                &["landfall", "serve", "--listen", "7"],
                "write it as HOST:PORT",
            ),
            (
                &["landfall", "tail", "x", "--after", "y"],
                "invalid value 'y' for '--after <SEQ>': write a whole number",
            ),
            (
                &["landfall", "send", "x", "--wait", "-1"],
                "invalid value '-1' for '--wait <SECONDS>': write a whole number",
            ),
        ];
        for (arguments, part) in cases {
            let error = error_of(arguments);
            assert!(
                error.contains(part) && !error.contains('\n') && !error.contains("Usage"),
                "{error}"
            );
        }
    }

    #[test]
    fn mistake_names_the_help_of_its_command() {
        let called = |words: &[&str]| called(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(called(&["landfall", "snd"]), "landfall");
        assert_eq!(
            called(&["landfall", "--profile", "tail", "send"]),
            "landfall send"
        );
        assert_eq!(
            called(&["landfall", "tail", "x", "--after", "y"]),
            "landfall tail"
        );
    }
}
