//! [`IceServer`]: STUN and TURN servers as applications name them (W3C webrtc-pc §4.2.2), and their URLs (RFC 7064, RFC 7065).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Servers that help to find a way to the peer (`RTCIceServer`).
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, rename_all = "camelCase"))]
pub struct IceServer {
    /// Their URLs, such as `stun:stun.example.org` or `turns:turn.example.org:443?transport=tcp`.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "one_or_more"))]
    pub urls: Vec<String>,
    /// The user's name at TURN servers.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub username: Option<String>,
    /// The user's password there.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub credential: Option<String>,
}

impl IceServer {
    /// A STUN server, or several.
    #[must_use]
    pub fn stun(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            ..Self::default()
        }
    }

    /// A TURN server, and who asks it.
    #[must_use]
    pub fn turn(url: impl Into<String>, username: impl Into<String>, credential: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            username: Some(username.into()),
            credential: Some(credential.into()),
        }
    }

    /// What its URLs say.
    ///
    /// # Errors
    /// [`IceServerError`] for the first that says nothing, and for TURN servers without credentials (W3C webrtc-pc §4.4.1.6).
    pub fn parse(&self) -> Result<Vec<IceServerUrl>, IceServerError> {
        let parse = |text: &String| {
            let fault = |fault| IceServerError {
                url: text.clone(),
                fault,
            };
            let url: IceServerUrl = text.parse().map_err(fault)?;
            if url.is_turn && (self.username.is_none() || self.credential.is_none()) {
                return Err(fault(IceServerFault::NoCredentials));
            }
            Ok(url)
        };
        self.urls.iter().map(parse).collect()
    }
}

/// The password is a secret.
impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The W3C's `urls` is one string, or a list of them.
#[cfg(feature = "serde")]
fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Urls {
        One(String),
        Many(Vec<String>),
    }
    serde::Deserialize::deserialize(deserializer).map(|urls| match urls {
        Urls::One(url) => vec![url],
        Urls::Many(urls) => urls,
    })
}

/// What the URL of a STUN or TURN server says: `stun:host[:port]`, `turn:host[:port][?transport=udp|tcp]`, and the same with
/// `stuns` and `turns` (RFC 7064 §3.1, RFC 7065 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IceServerUrl {
    /// A TURN server, rather than one of STUN alone.
    pub is_turn: bool,
    /// A domain name or an address; IPv6 without brackets.
    pub host: String,
    /// 3478 by default, and 5349 for `stuns` and `turns`.
    pub port: u16,
    /// How to speak with it.
    pub transport: ServerTransport,
}

/// How to speak with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerTransport {
    /// By UDP.
    Udp,
    /// By TCP.
    Tcp,
    /// By TLS over TCP.
    Tls,
    /// By DTLS over UDP (RFC 7350).
    Dtls,
}

impl ServerTransport {
    /// The W3C name (`RTCIceServerTransportProtocol`); DTLS has none, and is called by what it goes over.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp | Self::Dtls => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl FromStr for IceServerUrl {
    type Err = IceServerFault;

    fn from_str(text: &str) -> Result<Self, IceServerFault> {
        let (scheme, rest) = text.split_once(':').ok_or(IceServerFault::Scheme)?;
        let (is_turn, is_secure) = match &*scheme.to_ascii_lowercase() {
            "stun" => (false, false),
            "stuns" => (false, true),
            "turn" => (true, false),
            "turns" => (true, true),
            _ => return Err(IceServerFault::Scheme),
        };
        let (authority, query) = rest
            .split_once('?')
            .map_or((rest, None), |(it, query)| (it, Some(query)));
        let transport = match (query, is_secure) {
            // RFC 7064 has no query at all.
            (Some(_), _) if !is_turn => return Err(IceServerFault::Query),
            (None | Some("transport=tcp"), true) => ServerTransport::Tls,
            (Some("transport=udp"), true) => ServerTransport::Dtls,
            (None | Some("transport=udp"), false) => ServerTransport::Udp,
            (Some("transport=tcp"), false) => ServerTransport::Tcp,
            (Some(_), _) => return Err(IceServerFault::Query),
        };
        let (host, port) = split_port(authority)?;
        let default = if is_secure { 5349 } else { 3478 };
        Ok(Self {
            is_turn,
            host: host.to_owned(),
            port: port.unwrap_or(default),
            transport,
        })
    }
}

/// The host and the port of `host`, `host:port`, `[address]` or `[address]:port`.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), IceServerFault> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or(IceServerFault::Host)?;
            if address.parse::<Ipv6Addr>().is_err() {
                return Err(IceServerFault::Host);
            }
            (
                address,
                if rest.is_empty() {
                    None
                } else {
                    Some(rest.strip_prefix(':').ok_or(IceServerFault::Port)?)
                },
            )
        }
        None => {
            let (host, port) = authority
                .split_once(':')
                .map_or((authority, None), |(host, port)| (host, Some(port)));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if host.is_empty() || host.len() > 253 || !host.bytes().all(is_name) {
                return Err(IceServerFault::Host);
            }
            (host, port)
        }
    };
    let number = |port: &str| match port.parse() {
        Ok(number) if number != 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => Err(IceServerFault::Port),
    };
    Ok((host, port.map(number).transpose()?))
}

/// An [`IceServer`] that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServerError {
    /// Its URL.
    pub url: String,
    /// What is wrong.
    pub fault: IceServerFault,
}

impl IceServerError {
    /// The W3C name of the exception (webrtc-pc §4.4.1.6).
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.fault {
            IceServerFault::NoCredentials => "InvalidAccessError",
            IceServerFault::Scheme | IceServerFault::Host | IceServerFault::Port | IceServerFault::Query => {
                "SyntaxError"
            }
        }
    }
}

/// What is wrong with an [`IceServer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IceServerFault {
    /// The URL begins with none of `stun:`, `stuns:`, `turn:`, `turns:`.
    Scheme,
    /// The host is neither a name nor an address.
    Host,
    /// The port is no number from 1 to 65535.
    Port,
    /// What follows the `?` is neither `transport=udp` nor `transport=tcp`, or there is a `?` in a STUN URL.
    Query,
    /// A TURN server needs `username` and `credential`.
    NoCredentials,
}

impl fmt::Display for IceServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "write stun:, stuns:, turn: or turns: before the host",
            Self::Host => "write a name or an address behind the scheme, and IPv6 addresses in brackets",
            Self::Port => "write a port from 1 to 65535, or none",
            Self::Query => "write ?transport=udp or ?transport=tcp behind the URL of a TURN server, or nothing",
            Self::NoCredentials => "set username and credential for a TURN server",
        })
    }
}

impl fmt::Display for IceServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the ICE server {:?}: {}", self.name(), self.url, self.fault)
    }
}

impl std::error::Error for IceServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_what_the_standards_examples_say() {
        use ServerTransport::{Dtls, Tcp, Tls, Udp};
        // RFC 7064 appendix B, RFC 7065 appendix B, and addresses.
        for (text, is_turn, host, port, transport) in [
            ("stun:example.org", false, "example.org", 3478, Udp),
            ("stuns:example.org", false, "example.org", 5349, Tls),
            ("stun:example.org:8000", false, "example.org", 8000, Udp),
            ("turn:example.org", true, "example.org", 3478, Udp),
            ("turns:example.org", true, "example.org", 5349, Tls),
            ("turn:example.org:8000", true, "example.org", 8000, Udp),
            ("turn:example.org?transport=udp", true, "example.org", 3478, Udp),
            ("turn:example.org?transport=tcp", true, "example.org", 3478, Tcp),
            ("turns:example.org?transport=tcp", true, "example.org", 5349, Tls),
            ("turns:example.org:443?transport=udp", true, "example.org", 443, Dtls),
            ("TURN:192.0.2.1:1", true, "192.0.2.1", 1, Udp),
            ("stun:[2001:db8::1]", false, "2001:db8::1", 3478, Udp),
            (
                "turn:[2001:db8::1]:65535?transport=tcp",
                true,
                "2001:db8::1",
                65535,
                Tcp,
            ),
        ] {
            let host = host.to_owned();
            assert_eq!(
                text.parse(),
                Ok(IceServerUrl {
                    is_turn,
                    host,
                    port,
                    transport
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        use IceServerFault::{Host, Port, Query, Scheme};
        for (text, fault) in [
            ("example.org", Scheme),
            ("http:example.org", Scheme),
            ("stun:", Host),
            ("stun://example.org", Host),
            ("stun:exa mple.org", Host),
            ("stun:[2001:db8::1", Host),
            ("stun:[example.org]", Host),
            ("stun:2001:db8::1", Port),
            ("stun:example.org:", Port),
            ("stun:example.org:0", Port),
            ("stun:example.org:+5", Port),
            ("stun:example.org:65536", Port),
            ("turn:[2001:db8::1]5", Port),
            ("stun:example.org?transport=udp", Query),
            ("turn:example.org?transport=sctp", Query),
            ("turn:example.org?", Query),
        ] {
            assert_eq!(text.parse::<IceServerUrl>(), Err(fault), "{text}");
        }
        let error = IceServer::stun("turn:example.org").parse().expect_err("no credentials");
        assert_eq!(
            (error.name(), error.fault),
            ("InvalidAccessError", IceServerFault::NoCredentials)
        );
        assert!(error.to_string().contains("set username and credential"), "{error}");
        assert!(IceServer::turn("turn:example.org", "me", "secret").parse().is_ok());
        assert!(!format!("{:?}", IceServer::turn("turn:example.org", "me", "secret")).contains("secret"));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn it_reads_the_json_of_browsers() {
        let one: IceServer = serde_json::from_str(r#"{"urls": "stun:example.org"}"#).expect("an ICE server");
        assert_eq!(one, IceServer::stun("stun:example.org"));
        let json = r#"{"urls":["turn:example.org"],"username":"me","credential":"secret"}"#;
        let turn: IceServer = serde_json::from_str(json).expect("an ICE server");
        assert_eq!(turn, IceServer::turn("turn:example.org", "me", "secret"));
        assert_eq!(serde_json::to_string(&turn).expect("JSON"), json);
    }
}
