//! [`ExternalAddress`]: what an address of this host is called where its peers are (1:1 NAT).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::candidate::{Reach, is_sendable, plain, reach};

/// An address of this host as its peers know it: a translator in between maps one to the other and leaves ports as they are, as
/// clouds do with their public addresses. No server is needed to learn what is known.
///
/// As text it is `203.0.113.7`, or `10.0.0.5=203.0.113.7` for one of several local addresses.
///
/// ```
/// use peerline_ice::ExternalAddress;
///
/// let external: ExternalAddress = "10.0.0.5=203.0.113.7".parse().unwrap();
/// assert_eq!(external.local, Some("10.0.0.5".parse().unwrap()));
/// assert!("10.0.0.5=2001:db8::7".parse::<ExternalAddress>().unwrap_err().to_string().contains("same family"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExternalAddress {
    /// The address that peers know.
    pub address: IpAddr,
    /// The address of this host that it stands for. `None`: each of the same family that has no other, but for loopback and
    /// link-local ones.
    pub local: Option<IpAddr>,
    /// False: peers are told the external address alone, as a host candidate. True: they are told the local one, too, for those who
    /// are in the same network, and the external one is server-reflexive (for a lite agent, another host candidate).
    pub keeps_local: bool,
}

impl ExternalAddress {
    /// The address that peers know in place of every local one of its family.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self {
            address,
            local: None,
            keeps_local: false,
        }
    }

    /// What is wrong with these together, if anything is.
    ///
    /// # Errors
    /// See [`ExternalAddressError`].
    pub fn check(all: &[Self]) -> Result<(), ExternalAddressError> {
        for (index, external) in all.iter().enumerate() {
            let others = all.get(index + 1..).unwrap_or_default();
            let is_alike =
                |other: &&Self| other.local == external.local && other.address.is_ipv4() == external.address.is_ipv4();
            if !is_sendable(SocketAddr::new(external.address, 1)) {
                return Err(ExternalAddressError::Unusable(external.address));
            }
            if let Some(local) = external.local
                && local.is_ipv4() != external.address.is_ipv4()
            {
                return Err(ExternalAddressError::Families(local, external.address));
            }
            if let Some(other) = others.iter().find(is_alike) {
                return Err(ExternalAddressError::Ambiguous(external.address, other.address));
            }
        }
        Ok(())
    }

    /// The one of them that stands for this address.
    pub(crate) fn of(all: &[Self], local: SocketAddr) -> Option<&Self> {
        let ip = plain(local).ip();
        let is_own = |external: &&Self| external.local == Some(ip);
        let is_everybodys = |external: &&Self| {
            external.local.is_none()
                && external.address.is_ipv4() == ip.is_ipv4()
                && !matches!(reach(ip), Reach::Machine | Reach::Link)
        };
        all.iter().find(is_own).or_else(|| all.iter().find(is_everybodys))
    }
}

impl From<IpAddr> for ExternalAddress {
    fn from(address: IpAddr) -> Self {
        Self::new(address)
    }
}

impl FromStr for ExternalAddress {
    type Err = ExternalAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ip = |text: &str| text.trim().parse().map_err(|_| ExternalAddressError::Syntax);
        let external = match text.split_once('=') {
            Some((local, address)) => Self {
                local: Some(ip(local)?),
                ..Self::new(ip(address)?)
            },
            None => Self::new(ip(text)?),
        };
        Self::check(&[external]).map(|()| external)
    }
}

/// Why external addresses cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExternalAddressError {
    /// It is not written as an [`ExternalAddress`] is.
    Syntax,
    /// Nobody can be reached there: it is unspecified, multicast or broadcast.
    Unusable(IpAddr),
    /// A local address of one family, and an external one of the other.
    Families(IpAddr, IpAddr),
    /// Two for the same local address.
    Ambiguous(IpAddr, IpAddr),
}

impl fmt::Display for ExternalAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => write!(
                f,
                "an external address is written 203.0.113.7, or 10.0.0.5=203.0.113.7 for one of several local addresses"
            ),
            Self::Unusable(address) => {
                write!(
                    f,
                    "nobody can be reached at {address}: name the address that peers send to"
                )
            }
            Self::Families(local, address) => write!(
                f,
                "{local} and {address} are not of the same family: map IPv4 to IPv4, and IPv6 to IPv6"
            ),
            Self::Ambiguous(one, other) => write!(
                f,
                "{one} and {other} are both said to be the same address of this host: say which local address each \
                 stands for, as in 10.0.0.5={one}"
            ),
        }
    }
}

impl std::error::Error for ExternalAddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ExternalAddress, ExternalAddressError> {
        text.parse()
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_advice() {
        for (text, advice) in [
            ("example.org", "is written"),
            ("10.0.0.5=", "is written"),
            ("10.0.0.5=1.2.3.4=5.6.7.8", "is written"),
            ("0.0.0.0", "nobody can be reached"),
            ("10.0.0.5=224.0.0.1", "nobody can be reached"),
            ("10.0.0.5=2001:db8::7", "same family"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(advice), "{text}: {error}");
        }
        let all = ["203.0.113.7", "2001:db8::7", "203.0.113.8"].map(|text| parse(text).unwrap());
        let error = ExternalAddress::check(&all).unwrap_err().to_string();
        assert!(error.contains("10.0.0.5=203.0.113.7"), "{error}");
        assert_eq!(ExternalAddress::check(&all[..2]), Ok(()));
    }

    #[test]
    fn each_address_has_its_own_or_everybodys() {
        let all = ["203.0.113.7", "10.0.0.5=203.0.113.8", "127.0.0.2=127.0.0.1"].map(|text| parse(text).unwrap());
        for (local, expected) in [
            ("10.0.0.4:1", Some("203.0.113.7")),
            ("10.0.0.5:1", Some("203.0.113.8")),
            ("127.0.0.1:1", None),
            ("127.0.0.2:1", Some("127.0.0.1")),
            ("169.254.0.1:1", None),
            ("[2001:db8::1]:1", None),
        ] {
            let found = ExternalAddress::of(&all, local.parse().unwrap());
            assert_eq!(
                found.map(|found| found.address.to_string()).as_deref(),
                expected,
                "{local}"
            );
        }
    }
}
