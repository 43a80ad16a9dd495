//! The code that both sides of a transfer know, and nobody else.
//!
//! It is 100 random bits, of which the server that they meet at learns nothing but a room's name. With it each side authenticates
//! its whole session description, hence the fingerprint of its certificate: a server that puts itself in between has another one.
//! A password that people make up would not do, for whoever sees an authentication code could try passwords until one fits.

use std::fmt;

use ring::hmac;

/// 20 characters of Crockford's alphabet, which has no letters that look like others.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Code(String);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 20;
const GROUP: usize = 5;

/// Which side of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    Sender,
    Receiver,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Receiver => "receiver",
        }
    }
}

impl Code {
    pub(super) fn random() -> Self {
        let bits: [u8; LENGTH] = rand::random();
        Self(
            bits.map(|bits| char::from(ALPHABET[usize::from(bits % 32)]))
                .iter()
                .collect(),
        )
    }

    /// What a person typed: in any case, with or without the hyphens, and with letters for the digits that they look like.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let one = Self("0123456789ABCDEFGHJK".into());
            format!("{text:?} is no code: it has {LENGTH} letters and digits, such as {one}")
        };
        let typed = text.trim().bytes().filter(|byte| *byte != b'-');
        let code: Option<String> = typed
            .map(|byte| match byte.to_ascii_uppercase() {
                b'O' => Some('0'),
                b'I' | b'L' => Some('1'),
                byte => ALPHABET.contains(&byte).then_some(char::from(byte)),
            })
            .collect();
        code.filter(|code| code.len() == LENGTH).map(Self).ok_or_else(wrong)
    }

    /// The name of the room where both meet.
    pub(super) fn room(&self) -> String {
        let mut name = hex(self.mac(&["room"]).as_ref());
        name.truncate(32);
        name
    }

    /// Proves that who wrote this description, for this attempt to connect, knows the code.
    pub(super) fn prove(&self, by: Side, attempt: &str, kind: &str, sdp: &str) -> String {
        hex(self.mac(&["description", by.name(), attempt, kind, sdp]).as_ref())
    }

    /// Whether it is proved. In constant time.
    pub(super) fn is_proved(&self, proof: &str, by: Side, attempt: &str, kind: &str, sdp: &str) -> bool {
        let right = self.prove(by, attempt, kind, sdp);
        // The tags of two tags tell as much as these do, and nothing about where they differ.
        let key = self.key();
        hmac::verify(&key, proof.as_bytes(), hmac::sign(&key, right.as_bytes()).as_ref()).is_ok()
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes())
    }

    /// HMAC-SHA256 over the parts, each after a zero byte: none of them but the last can hold one.
    fn mac(&self, parts: &[&str]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key());
        for part in ["peerline transfer 1"].iter().chain(parts) {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        context.sign()
    }
}

/// In groups, as it is written down.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, character) in self.0.chars().enumerate() {
            if index > 0 && index % GROUP == 0 {
                f.write_str("-")?;
            }
            write!(f, "{character}")?;
        }
        Ok(())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where and with whom: what follows `peerline receive`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Invitation {
    pub(super) code: Code,
    /// The server to meet at, if it says: `http://host:port`, without a slash at the end.
    pub(super) server: Option<String>,
}

impl Invitation {
    /// `CODE`, `CODE@host:port`, `CODE@https://host`, or the link for browsers.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (code, server) = if let Some((link, code)) = text.split_once('#') {
            (code, Some(server(link)?))
        } else if let Some((code, address)) = text.split_once('@') {
            (code, Some(server(address)?))
        } else {
            (text, None)
        };
        let code = Code::parse(code)?;
        Ok(Self { code, server })
    }
}

/// The server of a URL or an address.
pub(super) fn server(text: &str) -> Result<String, String> {
    let wrong = |why: &str| format!("{text:?} is no server: {why}");
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let uri: ureq::http::Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => Ok(format!("{scheme}://{authority}")),
        _ => Err(wrong("give one such as https://example.org or 192.0.2.1:8080")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_write_them() {
        let code = Code::random();
        assert!(Code::parse(&code.to_string()).unwrap() == code);
        assert!(Code::random() != code);
        let typed = Code::parse(" oil23-45678-9abcd-efghj ").unwrap();
        assert_eq!(typed.to_string(), "01123-45678-9ABCD-EFGHJ");
        for wrong in [
            "",
            "ABC",
            "U1123-45678-9ABCD-EFGHJ",
            "01123-45678-9ABCD-EFGHJ0",
            "ä1123-45678-9ABCD-EFGH",
        ] {
            assert!(Code::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_invitation_says_where() {
        let code = "01123-45678-9ABCD-EFGHJ";
        for (text, server) in [
            (code.to_owned(), None),
            (format!("{code}@192.0.2.1:80"), Some("http://192.0.2.1:80")),
            (format!("{code}@[2001:db8::1]:80"), Some("http://[2001:db8::1]:80")),
            (format!("{code}@https://x.example/"), Some("https://x.example")),
            (
                format!("https://x.example:444/receive#{code}"),
                Some("https://x.example:444"),
            ),
        ] {
            let invitation = Invitation::parse(&text).unwrap();
            assert_eq!(
                (invitation.code.to_string().as_str(), invitation.server.as_deref()),
                (code, server)
            );
        }
        assert!(Invitation::parse(&format!("{code}@ftp://x.example")).is_err());
        assert!(Invitation::parse(&format!("{code}@")).is_err());
    }

    /// By OpenSSL: `printf 'peerline transfer 1\0room\0' | openssl dgst -sha256 -hmac 01123456789ABCDEFGHJ`.
    #[test]
    fn the_room_and_the_proofs_are_what_other_programs_compute() {
        let code = Code::parse("01123-45678-9ABCD-EFGHJ").unwrap();
        assert_eq!(code.room(), ROOM);
        let proof = code.prove(Side::Sender, "a1", "offer", "v=0\r\n");
        assert_eq!(proof, PROOF);
        assert!(code.is_proved(&proof, Side::Sender, "a1", "offer", "v=0\r\n"));
        assert!(!code.is_proved(&proof, Side::Receiver, "a1", "offer", "v=0\r\n"));
        assert!(!code.is_proved(&proof, Side::Sender, "a2", "offer", "v=0\r\n"));
        assert!(!code.is_proved(&proof, Side::Sender, "a1", "offer", "v=0\r\ns=-\r\n"));
        assert!(!code.is_proved("", Side::Sender, "a1", "offer", "v=0\r\n"));
    }

    const ROOM: &str = "54f53178506b7c9dc10341687cb9066b";
    const PROOF: &str = "49649d682fd4840c5d814f95cd7857716e61c03f3a35ea027b20e125d7ad1276";
}
