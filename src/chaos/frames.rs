//! PURE. Splits a server's bytes into the HTTP head and WebSocket frames (RFC 6455, section 5.2;
//! unmasked).

/// Maximum bytes buffered while searching for the end of a frame.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// Buffers a server's bytes until a frame is complete.
#[derive(Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    speaks: Speaks,
}

#[derive(Default, PartialEq, Eq)]
enum Speaks {
    #[default]
    Http,
    WebSocket,
    /// Neither HTTP nor WebSocket: bytes pass unchanged.
    Other,
}

impl Frames {
    /// Returns complete pieces. Bytes that are not WebSocket pass unchanged.
    pub(super) fn cut(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.buffer.extend_from_slice(bytes);
        let mut cut = Vec::new();
        while let Some(length) = self
            .length()
            .filter(|length| *length > 0 && *length <= self.buffer.len())
        {
            let piece: Vec<u8> = self.buffer.drain(..length).collect();
            if self.speaks == Speaks::Http {
                self.speaks = if piece.starts_with(b"HTTP/1.1 101 ") {
                    Speaks::WebSocket
                } else {
                    Speaks::Other
                };
            }
            cut.push(piece);
        }
        cut
    }

    /// Returns the rest of an incomplete piece.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn length(&mut self) -> Option<usize> {
        let length = match self.speaks {
            Speaks::Other => Some(self.buffer.len()),
            Speaks::Http if !is_like_http(&self.buffer) => {
                self.speaks = Speaks::Other;
                Some(self.buffer.len())
            }
            Speaks::Http => self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
                .map(|at| at + 4),
            Speaks::WebSocket => self.frame(),
        };
        if length.unwrap_or(self.buffer.len()) > BUFFER_BYTES_MAX {
            self.speaks = Speaks::Other;
            return Some(self.buffer.len());
        }
        length
    }

    fn frame(&self) -> Option<usize> {
        match usize::from(*self.buffer.get(1)? & 0x7f) {
            126 => Some(4 + usize::from(u16::from_be_bytes(*self.buffer.get(2..)?.first_chunk()?))),
            127 => {
                let length = u64::from_be_bytes(*self.buffer.get(2..)?.first_chunk()?);
                Some(
                    usize::try_from(length)
                        .unwrap_or(usize::MAX)
                        .saturating_add(10),
                )
            }
            short => Some(2 + short),
        }
    }
}

/// Whether the bytes are a prefix of an HTTP response.
fn is_like_http(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .zip(b"HTTP/1.1 ")
        .all(|(is, should)| is == should)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

    #[test]
    fn frames_are_found_however_the_bytes_come() {
        let long = [&[0x81, 126, 1, 0][..], &[b'x'; 256]].concat();
        let whole = [HEAD, b"\x81\x02hi", &long, b"\x89\x00"].concat();
        for size in [1, 3, 7, whole.len()] {
            let mut frames = Frames::default();
            let cut: Vec<_> = whole
                .chunks(size)
                .flat_map(|chunk| frames.cut(chunk))
                .collect();
            assert_eq!(
                cut,
                [
                    HEAD.to_vec(),
                    b"\x81\x02hi".to_vec(),
                    long.clone(),
                    b"\x89\x00".to_vec()
                ]
            );
            assert!(frames.rest().is_empty());
        }
    }

    #[test]
    fn non_websocket_bytes_pass_unchanged() {
        let mut frames = Frames::default();
        assert_eq!(
            frames.cut(b"HTTP/1.1 200 OK\r\n\r\nok").concat(),
            b"HTTP/1.1 200 OK\r\n\r\nok"
        );
        assert_eq!(frames.cut(b"more").concat(), b"more");
        let mut frames = Frames::default();
        assert_eq!(frames.cut(b"HT").len(), 0);
        assert_eq!(frames.cut(b"hey").concat(), b"HThey");
        assert_eq!(Frames::default().cut(b"SSH-2.0").concat(), b"SSH-2.0");
    }

    #[test]
    fn implausible_length_is_not_buffered() {
        let mut frames = Frames::default();
        let cut = frames.cut(
            &[
                HEAD,
                &[0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255, b'x'],
            ]
            .concat(),
        );
        assert_eq!(cut.concat().len(), HEAD.len() + 11);
    }
}
