//! STUN and TURN servers, as they are named on the command line: one URL each, with name and secret.

use std::str::FromStr;

use peerline::IceServer;

/// `stun:HOST[:PORT]`, or `turn:NAME:SECRET@HOST[:PORT][?transport=udp|tcp]`; `turns:` for TLS.
///
/// Who asks stands before the last `@`, and the secret behind the last colon there: names of limited time have colons of their own.
/// `%` and two hexadecimal digits stand for any character.
#[derive(Clone, Debug)]
pub(crate) struct Named(pub(crate) IceServer);

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const SHAPE: &str =
            "a server is stun:HOST[:PORT], or turn:NAME:SECRET@HOST[:PORT][?transport=tcp], or turns: for TLS";
        let (scheme, rest) = text.split_once(':').ok_or(SHAPE)?;
        let server = match rest.rsplit_once('@') {
            Some((who, server)) => {
                let (name, secret) = who.rsplit_once(':').ok_or(SHAPE)?;
                if name.is_empty() || secret.is_empty() {
                    return Err(SHAPE.to_owned());
                }
                IceServer::turn(format!("{scheme}:{server}"), decoded(name)?, decoded(secret)?)
            }
            None => IceServer::stun(text),
        };
        // It says what is wrong with a URL.
        server.parse().map_err(|error| format!("{error}\n  {SHAPE}"))?;
        Ok(Self(server))
    }
}

/// Text without percent-encoding (RFC 3986 §2.1).
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(
                "in the name and the secret, % and two hexadecimal digits stand for a character: %25 is %".to_owned(),
            );
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| "the name and the secret are text in UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> IceServer {
        text.parse::<Named>().expect("a server").0
    }

    #[test]
    fn one_text_says_where_a_server_is_and_who_asks() {
        assert_eq!(named("stun:stun.example.org"), IceServer::stun("stun:stun.example.org"));
        for (text, url, name, secret) in [
            ("turn:alice:wonder@example.org", "turn:example.org", "alice", "wonder"),
            (
                "turns:1433895918:john:HdN=@[::1]:443?transport=tcp",
                "turns:[::1]:443?transport=tcp",
                "1433895918:john",
                "HdN=",
            ),
            (
                "turn:a@b.org:s%40%3a%25@example.org:5",
                "turn:example.org:5",
                "a@b.org",
                "s@:%",
            ),
        ] {
            assert_eq!(named(text), IceServer::turn(url, name, secret), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_said() {
        for text in [
            "example.org",
            "turn:example.org",
            "turn:alice@example.org",
            "turn::x@example.org",
            "turn:alice:x@",
            "http://example.org",
            "turn:alice:%4@example.org",
            "stun:example.org:99999",
        ] {
            assert!(text.parse::<Named>().is_err_and(|error| error.len() > 20), "{text}");
        }
    }
}
