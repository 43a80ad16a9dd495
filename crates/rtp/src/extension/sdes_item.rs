//! SDES items that ride in packets (RFC 7941): which m-line, and which of its encodings, a packet is of.

use super::{Extension, ExtensionError};

/// Declares an extension that is a text.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $uri:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name<'a>(pub &'a str);

        impl<'a> Extension<'a> for $name<'a> {
            const URI: &'static str = $uri;

            fn parse(value: &'a [u8]) -> Result<Self, ExtensionError> {
                if value.is_empty() {
                    return Err(ExtensionError::WrongLength);
                }
                // RFC 7941 §4.1.1: "The text payload in the SDES item is encoded as UTF-8".
                std::str::from_utf8(value).map(Self).map_err(|_| ExtensionError::NotUtf8)
            }

            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.0.as_bytes());
            }
        }
    };
}

text! {
    /// The identification tag of the m-line that the packet belongs to (RFC 9143 §15.2).
    Mid, "urn:ietf:params:rtp-hdrext:sdes:mid"
}

text! {
    /// Which of its m-line's encodings the packet belongs to (RFC 8852 §3.1).
    Rid, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
}

text! {
    /// Which encoding the packet repairs: it is a retransmission (RFC 8852 §3.2).
    RepairedRid, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_utf8_and_not_empty() {
        assert_eq!(Mid::parse(b"0"), Ok(Mid("0")));
        assert_eq!(Rid::parse(b""), Err(ExtensionError::WrongLength));
        assert_eq!(RepairedRid::parse(b"\xff"), Err(ExtensionError::NotUtf8));
    }
}
