//! The codec: one JSON object in one text frame, with a maximum length.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::limits::FRAME_BYTES_MAX;

/// Why a text is not a frame.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Longer than [`FRAME_BYTES_MAX`].
    #[error("a frame of {bytes} bytes, the limit is {FRAME_BYTES_MAX}")]
    TooBig {
        /// Bytes of the encoded frame.
        bytes: usize,
    },
    /// Not JSON, or not a frame of this protocol.
    #[error("not a frame: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Encodes one frame.
///
/// # Errors
/// [`FrameError::TooBig`]; a frame within the other limits is never too big.
pub fn encode<F: Serialize>(frame: &F) -> Result<String, FrameError> {
    let text = serde_json::to_string(frame)?;
    if text.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooBig { bytes: text.len() });
    }
    Ok(text)
}

/// Decodes one frame. Unknown fields are ignored.
///
/// # Errors
/// When the text is too long, or not a frame.
pub fn decode<F: DeserializeOwned>(text: &str) -> Result<F, FrameError> {
    if text.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooBig { bytes: text.len() });
    }
    Ok(serde_json::from_str(text)?)
}

/// Returns the length of `body` as a JSON string with quotes, bytes.
#[must_use]
pub fn encoded_body_len(body: &str) -> usize {
    2 + body
        .chars()
        .map(|c| match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..='\u{1f}' => 6,
            _ => c.len_utf8(),
        })
        .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::super::{ClientFrame, ServerFrame};
    use super::*;

    #[test]
    fn encoded_length_matches_the_encoder() {
        for body in ["", "plain", "a\"b\\c\nd\te", "\x1b\x00\x7f", "héllo 👋"] {
            let written = serde_json::to_string(body).expect("a string").len();
            assert_eq!(encoded_body_len(body), written, "{body:?}");
        }
    }

    #[test]
    fn invalid_frame_is_rejected_with_reason() {
        for text in [
            "",
            "[]",
            "{}",
            "{\"type\":\"nonsense\"}",
            "{\"type\":\"ping\"}",
            "{\"type\":\"ping\",\"n\":-1}",
            "nul",
        ] {
            assert!(decode::<ClientFrame>(text).is_err(), "{text}");
        }
        let deep = "[".repeat(60_000);
        assert!(decode::<ServerFrame>(&deep).is_err());
        let long = " ".repeat(FRAME_BYTES_MAX + 1);
        assert!(matches!(
            decode::<ClientFrame>(&long),
            Err(FrameError::TooBig { .. })
        ));
    }

    #[test]
    fn seq_is_exact_in_every_json_reader() {
        let seq = |text: &str| {
            serde_json::from_str::<super::super::Seq>(text)
                .ok()
                .map(|seq| seq.0)
        };
        assert_eq!(seq("9007199254740991"), Some((1 << 53) - 1));
        for text in [
            "9007199254740992",
            "18446744073709551615",
            "-1",
            "1.5",
            "\"1\"",
        ] {
            assert_eq!(seq(text), None, "{text}");
        }
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let frame: ClientFrame =
            decode("{\"type\":\"ping\",\"n\":3,\"later\":[1]}").expect("a ping");
        assert_eq!(frame, ClientFrame::Ping { n: 3 });
    }
}
