//! Cryptex (RFC 9335): CSRCs and header extensions are encrypted with the payload.
//!
//! A packet says by the "defined by profile" field of its extension that it is so: [`ONE_BYTE`] and [`TWO_BYTE`] stand for
//! the two forms of RFC 8285, whose numbers a receiver puts back.

use crate::packet::{Malformed, RtpHeader};

/// One-byte extensions (RFC 8285 §4.2), in the clear and encrypted.
const ONE_BYTE: (u16, u16) = (0xbede, 0xc0de);
/// Two-byte extensions (RFC 8285 §4.3) with application bits of zero, in the clear and encrypted.
const TWO_BYTE: (u16, u16) = (0x1000, 0xc2de);

/// The length of the fixed part of an RTP header, in bytes.
const FIXED_LEN: usize = 12;
/// The length of the first word of an extension, which stays in the clear, in bytes.
const EXTENSION_WORD_LEN: usize = 4;

/// Which part of an RTP packet is encrypted. CSRCs stand before the first word of the extension, but all that is encrypted
/// has to be in one piece: while a transform works, [`Coverage::gather`] has the two change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// How many bytes come before what is encrypted, once gathered.
    pub(crate) clear: usize,
    /// The length of the CSRCs that are encrypted.
    csrcs_len: usize,
}

impl Coverage {
    /// The payload alone (RFC 3711 §3.1).
    pub(crate) fn payload(header: &RtpHeader) -> Self {
        Self {
            clear: header.len,
            csrcs_len: 0,
        }
    }

    fn cryptex(header: &RtpHeader) -> Self {
        Self {
            clear: FIXED_LEN + EXTENSION_WORD_LEN,
            csrcs_len: header.csrcs_end - FIXED_LEN,
        }
    }

    /// What is to be encrypted of `out[start..]`, whose header now says so: CSRCs without an extension get an empty one.
    pub(crate) fn mark(header: &RtpHeader, out: &mut Vec<u8>, start: usize) -> Result<Self, Malformed> {
        let at = start + header.csrcs_end;
        match header.extension {
            Some(form) => {
                let forms = [ONE_BYTE, TWO_BYTE].into_iter().find(|(clear, _)| *clear == form);
                // Any other would travel in the clear, which is not what was agreed on.
                let (_, encrypted) = forms.ok_or(Malformed)?;
                out[at..at + 2].copy_from_slice(&encrypted.to_be_bytes());
            }
            None if header.csrcs_end > FIXED_LEN => {
                out[start] |= RtpHeader::EXTENDED;
                out.resize(out.len() + EXTENSION_WORD_LEN, 0);
                let end = out.len() - EXTENSION_WORD_LEN;
                out.copy_within(at..end, at + EXTENSION_WORD_LEN);
                let [high, low] = ONE_BYTE.1.to_be_bytes();
                out[at..at + EXTENSION_WORD_LEN].copy_from_slice(&[high, low, 0, 0]);
            }
            None => return Ok(Self::payload(header)),
        }
        Ok(Self::cryptex(header))
    }

    /// What is encrypted of a packet that was received.
    pub(crate) fn of_received(header: &RtpHeader) -> Self {
        match clear_form(header) {
            Some(_) => Self::cryptex(header),
            None => Self::payload(header),
        }
    }

    /// The packet as the transform needs it.
    pub(crate) fn gather(&self, packet: &mut [u8]) {
        if self.csrcs_len > 0 {
            packet[FIXED_LEN..self.clear + self.csrcs_len].rotate_right(EXTENSION_WORD_LEN);
        }
    }

    /// The packet as it is on the wire.
    pub(crate) fn scatter(&self, packet: &mut [u8]) {
        if self.csrcs_len > 0 {
            packet[FIXED_LEN..self.clear + self.csrcs_len].rotate_left(EXTENSION_WORD_LEN);
        }
    }
}

/// Puts the number of the extensions' form back once they are decrypted.
pub(crate) fn unmark(header: &RtpHeader, packet: &mut [u8]) {
    if let Some(form) = clear_form(header) {
        packet[header.csrcs_end..header.csrcs_end + 2].copy_from_slice(&form.to_be_bytes());
    }
}

fn clear_form(header: &RtpHeader) -> Option<u16> {
    let form = header.extension?;
    let forms = [ONE_BYTE, TWO_BYTE]
        .into_iter()
        .find(|(_, encrypted)| *encrypted == form);
    forms.map(|(clear, _)| clear)
}
