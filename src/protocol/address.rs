//! Addresses of servers as users write and paste them: `ws://HOST:PORT`, followed by `#CODE` for an
//! invite.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The address of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// A host name or IP address; an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

/// Why a text is no address of a server.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AddressError {
    /// It does not begin with `ws://`.
    #[error("{0:?} is not a server address: write it as ws://HOST:PORT")]
    Scheme(String),
    /// It begins with `wss://`.
    #[error(
        "{0:?} asks for TLS, which this landfall does not speak: use ws:// through a tunnel or on a trusted network"
    )]
    Tls(String),
    /// It has no host, or no valid port.
    #[error("{0:?} has no usable host and port: write it as ws://HOST:PORT")]
    HostPort(String),
}

impl Address {
    /// An address and the invite behind its `#`, if there is one.
    pub fn parse_invite(text: &str) -> Result<(Self, Option<String>), AddressError> {
        match text.split_once('#') {
            Some((address, invite)) => Ok((
                address.parse()?,
                Some(invite.trim().to_owned()).filter(|code| !code.is_empty()),
            )),
            None => Ok((text.parse()?, None)),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.starts_with("wss://") || text.starts_with("https://") {
            return Err(AddressError::Tls(text.to_owned()));
        }
        let rest = text
            .strip_prefix("ws://")
            .ok_or_else(|| AddressError::Scheme(text.to_owned()))?;
        let authority = rest.split('/').next().unwrap_or_default();
        let bad = || AddressError::HostPort(text.to_owned());
        let (host, port) = authority.rsplit_once(':').ok_or_else(bad)?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let is_host =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        let port = port.parse().map_err(|_| bad())?;
        if host.is_empty() || port == 0 || !host.chars().all(is_host) {
            return Err(bad());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "ws://[{}]:{}", self.host, self.port);
        }
        write!(f, "ws://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text_form() {
        for text in [
            "ws://127.0.0.1:7000",
            "ws://[::1]:7000",
            "ws://chat.example:80",
        ] {
            assert_eq!(
                text.parse::<Address>().expect("an address").to_string(),
                text
            );
        }
        let (address, invite) = Address::parse_invite("ws://h:1/v1#abc").expect("an invite");
        assert_eq!(
            (address.to_string().as_str(), invite.as_deref()),
            ("ws://h:1", Some("abc"))
        );
    }

    #[test]
    fn invalid_address_is_reported() {
        for text in [
            "",
            "h:1",
            "http://h:1",
            "wss://h:1",
            "ws://",
            "ws://h",
            "ws://h:0",
            "ws://h:99999",
            "ws://:1",
            "ws://a b:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
