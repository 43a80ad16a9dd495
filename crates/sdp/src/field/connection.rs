//! `c=`: where media is sent to.

use crate::error::{Fault, ValueError};
use crate::token;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Connection information (RFC 8866 §5.7). With ICE it is the address of the default candidate, and otherwise ignored.
///
/// ```text
/// connection-field = %s"c" "=" nettype SP addrtype SP connection-address CRLF
/// IP4-multicast    = m1 3( "." decimal-uchar ) "/" ttl [ "/" numaddr ]
/// IP6-multicast    = IP6-address [ "/" numaddr ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// `IN`.
    pub network_type: String,
    /// `IP4` or `IP6`.
    pub address_type: String,
    /// An address or a domain name.
    pub address: String,
    /// The time to live of IPv4 multicast packets.
    pub ttl: Option<u8>,
    /// How many multicast addresses there are from `address` on.
    pub count: Option<u32>,
}

impl Connection {
    /// A unicast address.
    pub fn new(address: IpAddr) -> Self {
        Self {
            network_type: "IN".into(),
            address_type: if address.is_ipv4() { "IP4" } else { "IP6" }.into(),
            address: address.to_string(),
            ttl: None,
            count: None,
        }
    }

    /// `IN IP4 0.0.0.0`: no candidate is known yet (RFC 8829 §5.2.1; RFC 8840 §4.1.1).
    pub fn unspecified() -> Self {
        Self::new(Ipv4Addr::UNSPECIFIED.into())
    }

    /// The address, unless it is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

impl FromStr for Connection {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let network_type = token::token(token::next(&mut fields, "network type")?, "network type")?;
        let address_type = token::token(token::next(&mut fields, "address type")?, "address type")?;
        let mut parts = token::next(&mut fields, "connection address")?.split('/');
        token::end(fields, "field after the connection address")?;

        let address = token::word(parts.next().unwrap_or_default(), "connection address")?;
        // RFC 8866 §5.7: "IPv6 multicast does not use TTL scoping, and hence the TTL value MUST NOT be present".
        let ttl = match address_type.as_str() {
            "IP6" => None,
            _ => parts.next().map(|ttl| token::number(ttl, "time to live")).transpose()?,
        };
        let count = parts
            .next()
            .map(|count| token::number(count, "number of addresses"))
            .transpose()?;
        if count == Some(0) {
            return Err(ValueError::new("number of addresses", Fault::OutOfRange));
        }
        token::end(parts, "part after the number of addresses")?;
        Ok(Self {
            network_type,
            address_type,
            address,
            ttl,
            count,
        })
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.network_type, self.address_type, self.address)?;
        if let Some(ttl) = self.ttl {
            write!(f, "/{ttl}")?;
        }
        if let Some(count) = self.count {
            write!(f, "/{count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{fails, round_trips};

    #[test]
    fn connections() {
        round_trips::<Connection>(&[
            "IN IP4 0.0.0.0",
            "IN IP4 224.2.36.42/127",
            "IN IP4 233.252.0.1/127/3",
            "IN IP6 2001:db8::2",
            "IN IP6 ff00::db8:0:101/3",
            "IN IP4 host.example",
        ]);
        fails::<Connection>(&[
            ("IN IP4", "connection address is missing"),
            ("IN IP4 233.252.0.1/256", "time to live is out of range"),
            ("IN IP4 233.252.0.1/127/0", "number of addresses is out of range"),
            (
                "IN IP6 ff00::1/3/4",
                "part after the number of addresses should not be there",
            ),
            (
                "IN IP4 1.2.3.4 5",
                "field after the connection address should not be there",
            ),
        ]);
    }

    #[test]
    fn an_address_is_had_from_it() {
        assert_eq!(Connection::unspecified().to_string(), "IN IP4 0.0.0.0");
        assert_eq!(
            "IN IP6 ::1".parse::<Connection>().unwrap().ip(),
            Some("::1".parse().unwrap())
        );
    }
}
