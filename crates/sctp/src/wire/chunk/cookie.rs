//! COOKIE ECHO: the cookie from INIT ACK, sent back as it was.
//!
//! [RFC 9260 §3.3.11](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.11)
//!
//! ```text
//! |   Type = 10   |  Chunk Flags  |            Length             |
//! |                            Cookie …                           |
//! ```

use super::{ChunkType, write_chunk};

/// A COOKIE ECHO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieEcho<'a> {
    /// The cookie; only who made it can read it.
    pub cookie: &'a [u8],
}

impl CookieEcho<'_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        write_chunk(out, ChunkType::COOKIE_ECHO, 0, |out| out.extend_from_slice(self.cookie));
    }
}
