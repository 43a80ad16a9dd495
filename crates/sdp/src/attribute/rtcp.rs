//! Where RTCP goes and in which form, and encrypted header extensions: `rtcp`, `rtcp-mux`, `rtcp-mux-only`,
//! `rtcp-rsize`, `cryptex`.

use super::{property_attribute, value_attribute};
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The port of RTCP, and its address when it is another than that of RTP (RFC 3605 §2.1). With ICE it is that of the
/// default candidate, and otherwise ignored.
///
/// ```text
/// rtcp-attribute = "a=rtcp:" port  [nettype space addrtype space connection-address] CRLF
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rtcp {
    /// The port; 9 when no candidate is known.
    pub port: u16,
    /// The address.
    pub address: Option<RtcpAddress>,
}

/// An address as in a `c=` line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtcpAddress {
    /// `IN`.
    pub network_type: String,
    /// `IP4` or `IP6`.
    pub address_type: String,
    /// An address or a domain name.
    pub address: String,
}

property_attribute! {
    /// RTCP may share the port of RTP (RFC 5761 §5.1.1).
    RtcpMux, "rtcp-mux"
}

property_attribute! {
    /// RTCP must share the port of RTP (RFC 8858 §3).
    RtcpMuxOnly, "rtcp-mux-only"
}

property_attribute! {
    /// RTCP packets need not be compound (RFC 5506 §5).
    RtcpRsize, "rtcp-rsize"
}

property_attribute! {
    /// RTP header extensions and contributing sources may be encrypted (RFC 9335 §4).
    Cryptex, "cryptex"
}

impl Rtcp {
    /// A port and an address.
    pub fn new(port: u16, address: IpAddr) -> Self {
        let address_type = if address.is_ipv4() { "IP4" } else { "IP6" }.into();
        let address = RtcpAddress {
            network_type: "IN".into(),
            address_type,
            address: address.to_string(),
        };
        Self {
            port,
            address: Some(address),
        }
    }
}

value_attribute!(Rtcp, "rtcp");

impl FromStr for Rtcp {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let port = token::number(token::next(&mut fields, "rtcp port")?, "rtcp port")?;
        let Some(network_type) = fields.next() else {
            return Ok(Self { port, address: None });
        };
        let address = RtcpAddress {
            network_type: token::token(network_type, "network type")?,
            address_type: token::token(token::next(&mut fields, "address type")?, "address type")?,
            address: token::word(token::next(&mut fields, "rtcp address")?, "rtcp address")?,
        };
        token::end(fields, "field after the rtcp address")?;
        Ok(Self {
            port,
            address: Some(address),
        })
    }
}

impl fmt::Display for Rtcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.port)?;
        let Some(RtcpAddress {
            network_type,
            address_type,
            address,
        }) = &self.address
        else {
            return Ok(());
        };
        write!(f, " {network_type} {address_type} {address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn rtcp() {
        round_trips::<Rtcp>(&["rtcp:9 IN IP4 0.0.0.0", "rtcp:53020", "rtcp:53020 IN IP6 2001:db8::1"]);
        round_trips::<RtcpMux>(&["rtcp-mux"]);
        round_trips::<RtcpMuxOnly>(&["rtcp-mux-only"]);
        round_trips::<RtcpRsize>(&["rtcp-rsize"]);
        round_trips::<Cryptex>(&["cryptex"]);
        fails(&[
            ("rtcp:", "rtcp port is missing"),
            ("rtcp:65536", "rtcp port is out of range"),
            ("rtcp:9 IN IP4", "rtcp address is missing"),
            ("rtcp:9 IN IP4 a b", "field after the rtcp address should not be there"),
        ]);
    }
}
