//! PURE. Slash commands: their list, their syntax and their completion.

use super::action::Action;
use super::keymap::key_of;
use crate::protocol::limits::{BODY_BYTES_MAX, BODY_ENCODED_BYTES_MAX};
use crate::protocol::{encoded_body_len, is_valid_name};

/// One command, as the help shows it.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static str,
    pub(crate) does: &'static str,
}

/// All commands, in the order of the help.
pub(crate) const COMMANDS: [Spec; 12] = [
    Spec {
        name: "join",
        arguments: "ROOM",
        does: "join a room",
    },
    Spec {
        name: "leave",
        arguments: "",
        does: "leave this room",
    },
    Spec {
        name: "create",
        arguments: "ROOM [TOPIC]",
        does: "create a room and join it",
    },
    Spec {
        name: "nick",
        arguments: "NAME",
        does: "change your name",
    },
    Spec {
        name: "topic",
        arguments: "[TEXT]",
        does: "show or set this room's topic; - removes it",
    },
    Spec {
        name: "who",
        arguments: "",
        does: "list this room's members and who is online",
    },
    Spec {
        name: "retry",
        arguments: "",
        does: "send this room's rejected messages again",
    },
    Spec {
        name: "discard",
        arguments: "",
        does: "delete the last rejected or unsent message",
    },
    Spec {
        name: "offline",
        arguments: "",
        does: "disconnect until /online; messages are saved",
    },
    Spec {
        name: "online",
        arguments: "",
        does: "reconnect",
    },
    Spec {
        name: "help",
        arguments: "",
        does: "show keys and commands",
    },
    Spec {
        name: "quit",
        arguments: "",
        does: "quit; unsent messages are sent next time",
    },
];

/// A parsed command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Slash {
    OfRoom(RoomSlash),
    Offline,
    Online,
    Help,
    Quit,
}

/// A command that is given from a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RoomSlash {
    Join(String),
    Leave,
    Create { name: String, topic: String },
    Nick(String),
    Topic(String),
    ShowTopic,
    Who,
    Retry,
    Discard,
}

/// Parses the command in a line; `None` for a message. `//` starts a message with a slash.
pub(crate) fn parse(line: &str) -> Option<Result<Slash, String>> {
    let rest = line
        .strip_prefix('/')
        .filter(|rest| !rest.starts_with('/') && !rest.contains('\n'))?;
    let (word, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Some(understand(word, argument.trim()))
}

/// Returns the text of a line that is a message.
pub(crate) fn message(line: &str) -> &str {
    if line.starts_with("//") {
        &line[1..]
    } else {
        line
    }
}

/// Returns why a text cannot be sent, if it cannot.
pub(crate) fn too_long(text: &str) -> Option<String> {
    if text.len() > BODY_BYTES_MAX {
        return Some(format!(
            "Too long: {} of {BODY_BYTES_MAX} bytes. Shorten it, or send it in parts",
            text.len()
        ));
    }
    let encoded = encoded_body_len(text);
    (encoded > BODY_ENCODED_BYTES_MAX).then(|| {
        format!("Too long once encoded: {encoded} of {BODY_ENCODED_BYTES_MAX} bytes, because of its control characters")
    })
}

fn understand(word: &str, argument: &str) -> Result<Slash, String> {
    if matches!(
        word,
        "leave" | "who" | "retry" | "discard" | "offline" | "online"
    ) && !argument.is_empty()
    {
        return Err(format!(
            "/{word} takes no argument: it applies to {}",
            match word {
                "offline" | "online" => "the connection",
                _ => "the room on screen",
            }
        ));
    }
    let name = || {
        let name = argument.trim_start_matches('#').to_owned();
        if is_valid_name(&name) {
            return Ok(name);
        }
        Err(format!(
            "/{word} needs a name: up to 32 characters (letters, digits, - _ .)"
        ))
    };
    Ok(Slash::OfRoom(match word {
        "join" => RoomSlash::Join(name()?),
        "leave" => RoomSlash::Leave,
        "create" => {
            let (first, topic) = argument
                .split_once(char::is_whitespace)
                .unwrap_or((argument, ""));
            let first = first.trim_start_matches('#');
            let is_valid = is_valid_name(first);
            RoomSlash::Create {
                name: if is_valid { first.to_owned() } else { name()? },
                topic: topic.trim().to_owned(),
            }
        }
        "nick" => RoomSlash::Nick(name()?),
        "topic" if argument.is_empty() => RoomSlash::ShowTopic,
        "topic" if argument == "-" => RoomSlash::Topic(String::new()),
        "topic" => RoomSlash::Topic(argument.to_owned()),
        "who" => RoomSlash::Who,
        "retry" => RoomSlash::Retry,
        "discard" => RoomSlash::Discard,
        "offline" => return Ok(Slash::Offline),
        "online" => return Ok(Slash::Online),
        "help" => return Ok(Slash::Help),
        "quit" | "exit" => return Ok(Slash::Quit),
        _ => {
            return Err(format!(
                "Unknown command /{word} · {}: help · to send it as text, start with //",
                key_of(Action::Help)
            ));
        }
    }))
}

/// Completes the start of a command or room: with the only candidate, or with the common start of
/// all candidates.
pub(crate) fn complete(line: &str, rooms: &[String]) -> Option<String> {
    let rest = line.strip_prefix('/')?;
    if let Some((word, argument)) = rest.split_once(' ') {
        if word != "join" {
            return None;
        }
        let found = common(
            rooms
                .iter()
                .map(String::as_str)
                .filter(|room| room.starts_with(argument)),
        )?;
        return Some(format!("/{word} {found}"));
    }
    let matching: Vec<_> = COMMANDS
        .iter()
        .filter(|spec| spec.name.starts_with(rest))
        .collect();
    let found = common(matching.iter().map(|spec| spec.name))?;
    let space = if matching.len() == 1 && !matching[0].arguments.is_empty() {
        " "
    } else {
        ""
    };
    Some(format!("/{found}{space}"))
}

/// Returns the commands that begin with `line`, for the hint above the composer.
pub(crate) fn candidates(line: &str) -> Vec<&'static Spec> {
    let Some(rest) = line.strip_prefix('/').filter(|rest| !rest.starts_with('/')) else {
        return Vec::new();
    };
    let word = rest.split_whitespace().next().unwrap_or("");
    let is_whole = rest.contains(char::is_whitespace);
    COMMANDS
        .iter()
        .filter(|spec| {
            if is_whole {
                spec.name == word
            } else {
                spec.name.starts_with(word)
            }
        })
        .collect()
}

fn common<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<String> {
    let first = words.next()?.to_owned();
    Some(words.fold(first, |common, word| {
        common
            .chars()
            .zip(word.chars())
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a)
            .collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_room(line: &str) -> Option<RoomSlash> {
        match parse(line) {
            Some(Ok(Slash::OfRoom(slash))) => Some(slash),
            _ => None,
        }
    }

    #[test]
    fn commands_are_parsed_and_messages_are_not() {
        assert_eq!(of_room("/join #ops"), Some(RoomSlash::Join("ops".into())));
        let create = RoomSlash::Create {
            name: "ops".into(),
            topic: "deploys and such".into(),
        };
        assert_eq!(of_room("/create ops deploys and such"), Some(create));
        assert_eq!(parse("/quit"), Some(Ok(Slash::Quit)));
        assert_eq!(parse("hello /quit"), None);
        assert_eq!(parse("//etc/hosts"), None);
        assert_eq!(message("//etc/hosts"), "/etc/hosts");
        assert!(matches!(parse("/jion ops"), Some(Err(_))));
        assert!(matches!(parse("/join a b"), Some(Err(_))));
        assert!(
            matches!(parse("/leave ops"), Some(Err(_))),
            "it would leave another room than was meant"
        );
        assert_eq!(of_room("/topic"), Some(RoomSlash::ShowTopic));
        assert_eq!(of_room("/topic -"), Some(RoomSlash::Topic(String::new())));
    }

    #[test]
    fn every_command_of_help_is_understood() {
        for spec in COMMANDS {
            let line = format!(
                "/{} {}",
                spec.name,
                if spec.arguments.is_empty() {
                    ""
                } else {
                    "word"
                }
            );
            assert!(matches!(parse(&line), Some(Ok(_))), "{line}");
        }
    }

    #[test]
    fn prefix_is_completed_while_unambiguous() {
        assert_eq!(complete("/jo", &[]), Some("/join ".into()));
        assert_eq!(complete("/o", &[]), Some("/o".into()));
        assert_eq!(complete("/of", &[]), Some("/offline".into()));
        assert_eq!(
            complete("/join lo", &["lobby".into(), "ops".into()]),
            Some("/join lobby".into())
        );
        assert_eq!(complete("hello", &[]), None);
    }
}
