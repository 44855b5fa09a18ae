//! Ids as newtypes: each is sixteen bytes, written as a hyphenated UUID, and the types cannot be
//! confused.
//!
//! Drivers make ids from the system's randomness (see [`crate::system`]); this module draws none.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id of 16 zero bytes; no object has it.
            pub const NIL: Self = Self(Uuid::nil());

            /// Makes an id from 16 random bytes (UUIDv4).
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// Makes an id from 16 stored bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the 16 bytes to hash or to store.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id!(
    /// One entry, made once by its author's client: the idempotency key (UUIDv7).
    EntryId
);
id!(
    /// A room. The client that creates the room makes its id.
    RoomId
);
id!(
    /// An account, the author of entries.
    AccountId
);
id!(
    /// One installation, with its own token.
    DeviceId
);
id!(
    /// One process of a device; when it loads its store again, a new instance begins.
    InstanceId
);
id!(
    /// The presence of one device on the server, which survives a short disconnect.
    SessionId
);
id!(
    /// A server's database; made at its first start.
    ServerId
);

impl EntryId {
    /// Makes a UUIDv7 (RFC 9562, section 5.7) from ms since 1970 and ten random bytes.
    #[must_use]
    pub fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
    }
}

/// The number of an entry in its log: 1, 2, 3, … without gaps; 0 is before the first entry.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
#[serde(try_from = "u64")]
pub struct Seq(pub u64);

impl TryFrom<u64> for Seq {
    type Error = &'static str;

    fn try_from(seq: u64) -> Result<Self, Self::Error> {
        if seq <= Self::MAX.0 {
            Ok(Self(seq))
        } else {
            Err("a seq above 2^53 - 1")
        }
    }
}

impl Seq {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);

    /// The highest seq on the wire: JSON numbers up to it are exact everywhere (RFC 8259, section
    /// 6).
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Returns the next seq.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Number of entries after `earlier`, up to and with this one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a device's attempt to connect; later ones are higher.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Dial(pub u64);

impl Dial {
    /// Returns the next dial.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A device's secret: 256 bits, written as 64 hex digits. It is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// Makes a token from 32 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(hex(&bytes))
    }

    /// Makes a token from its stored form.
    #[must_use]
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Whether it is 256 bits as hex digits: a shorter one could be guessed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.len() == 64 && self.0.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// Returns the secret, for the wire and the client's store only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Returns `bytes` as lower-case hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_ids_sort_by_the_time_they_carry() {
        let early = EntryId::from_parts(1_000, [255; 10]);
        let late = EntryId::from_parts(2_000, [0; 10]);
        assert!(early < late);
    }

    #[test]
    fn ids_survive_their_text_form() {
        let id = RoomId::from_random([7; 16]);
        assert_eq!(id.to_string().parse::<RoomId>().expect("own text form"), id);
    }

    #[test]
    fn token_is_not_in_debug_output() {
        let token = Token::from_random([0xab; 32]);
        assert!(!format!("{token:?}").contains("ab"));
        assert_eq!(token.expose().len(), 64);
    }
}
