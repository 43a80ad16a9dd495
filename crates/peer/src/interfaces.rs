//! The addresses of this host that a connection offers (RFC 8445 §5.1.1.1).

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use if_addrs::Interface;

use crate::configuration::Network;

/// How long the list of interfaces serves: to ask for it takes several system calls, and connections come in crowds.
const FRESH: Duration = Duration::from_secs(1);

/// The addresses to use at `now` among those that are `wanted`, with port 0.
pub(crate) fn addresses(network: &Network, now: Instant, wanted: impl Fn(IpAddr) -> bool) -> Vec<SocketAddr> {
    usable(&all(now), network, wanted)
}

/// The list known to all.
static KNOWN: Mutex<Option<(Instant, Interfaces)>> = Mutex::new(None);

/// The list has changed: the next who asks gets the new one.
pub(crate) fn forget() {
    *KNOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The interfaces of this host, at most [`FRESH`] old.
pub(crate) fn all(now: Instant) -> Interfaces {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    refreshed(&mut known, now, if_addrs::get_if_addrs)
}

pub(crate) type Interfaces = Arc<[Interface]>;

/// The list that is known, or a new one if that is old. The system may fail to make one, as when no descriptors are left:
/// then the old one has to do, and the next who asks tries again.
fn refreshed(
    known: &mut Option<(Instant, Interfaces)>,
    now: Instant,
    list: impl FnOnce() -> io::Result<Vec<Interface>>,
) -> Interfaces {
    let is_fresh = |since: &Instant| now.saturating_duration_since(*since) < FRESH;
    if known.as_ref().is_none_or(|(since, _)| !is_fresh(since))
        && let Ok(interfaces) = list()
    {
        *known = Some((now, interfaces.into()));
    }
    known
        .as_ref()
        .map(|(_, interfaces)| Arc::clone(interfaces))
        .unwrap_or_default()
}

fn usable(interfaces: &[Interface], network: &Network, wanted: impl Fn(IpAddr) -> bool) -> Vec<SocketAddr> {
    let candidates: Vec<SocketAddr> = interfaces
        .iter()
        .filter(|interface| wanted(interface.ip()))
        .filter_map(|interface| address(interface, network))
        .collect();
    // RFC 8445 §5.1.1.1: "Addresses from a loopback interface MUST NOT be included in the candidate addresses." But when
    // nothing else exists, peers on this host are all that can be reached.
    let only_loopback = candidates.iter().all(|address| address.ip().is_loopback());
    let mut usable: Vec<SocketAddr> = Vec::new();
    for address in candidates {
        let wanted = network.loopback || only_loopback || !address.ip().is_loopback();
        if wanted && !usable.contains(&address) && usable.len() < network.max_local_addresses {
            usable.push(address);
        }
    }
    usable
}

fn address(interface: &Interface, network: &Network) -> Option<SocketAddr> {
    if !interface.is_oper_up() {
        return None;
    }
    let ip = interface.ip();
    if !network
        .address_filter
        .as_ref()
        .is_none_or(|filter| filter.allows(&interface.name, ip))
    {
        return None;
    }
    match ip {
        IpAddr::V4(v4) => (!v4.is_unspecified()).then(|| SocketAddr::from((v4, 0))),
        // RFC 8445 §5.1.1.1: IPv4-mapped addresses and deprecated site-local ones are not candidates.
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() || v6.segments()[0] & 0xffc0 == 0xfec0 => None,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let scope = network.link_local.then_some(interface.index)??;
            Some(SocketAddrV6::new(v6, 0, 0, scope).into())
        }
        IpAddr::V6(v6) => (!v6.is_unspecified()).then(|| SocketAddr::from((v6, 0))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr};

    use super::*;
    use crate::{AddressFilter, Configuration};

    fn interface(name: &str, ip: &str) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr {
                ip,
                netmask: [255, 255, 255, 0].into(),
                prefixlen: 24,
                broadcast: None,
            }),
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr {
                ip,
                netmask: Ipv6Addr::UNSPECIFIED,
                prefixlen: 64,
                broadcast: None,
            }),
        };
        Interface {
            name: name.into(),
            addr,
            index: Some(7),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
        }
    }

    fn host() -> Vec<Interface> {
        vec![
            interface("lo", "127.0.0.1"),
            interface("lo", "::1"),
            interface("eth0", "192.0.2.7"),
            interface("eth0", "2001:db8::7"),
            interface("eth0", "fe80::7"),
            interface("eth0", "fec0::7"),
            interface("eth0", "::ffff:192.0.2.7"),
            Interface {
                oper_status: IfOperStatus::Down,
                ..interface("eth1", "198.51.100.7")
            },
        ]
    }

    fn addresses(interfaces: &[Interface], configuration: Configuration) -> Vec<String> {
        usable(interfaces, &Network::new(configuration).unwrap(), |_| true)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_list_is_made_once_a_while_and_a_failure_is_not_remembered() {
        let (mut known, now) = (None, crate::driver::now());
        let failure = || Err(io::ErrorKind::Other.into());
        let hosts = |count| move || Ok(host().drain(..count).collect());
        assert_eq!(refreshed(&mut known, now, failure).len(), 0);
        assert_eq!(refreshed(&mut known, now, hosts(2)).len(), 2);
        assert_eq!(refreshed(&mut known, now, hosts(3)).len(), 2);
        let later = now + FRESH;
        assert_eq!(refreshed(&mut known, later, failure).len(), 2);
        assert_eq!(refreshed(&mut known, later, hosts(3)).len(), 3);
    }

    #[test]
    fn loopback_and_link_local_are_offered_when_asked_for() {
        let default = Configuration::default;
        assert_eq!(addresses(&host(), default()), ["192.0.2.7:0", "[2001:db8::7]:0"]);
        assert_eq!(
            addresses(
                &host(),
                Configuration {
                    loopback: true,
                    ..default()
                }
            ),
            ["127.0.0.1:0", "[::1]:0", "192.0.2.7:0", "[2001:db8::7]:0"]
        );
        assert_eq!(
            addresses(
                &host(),
                Configuration {
                    link_local: true,
                    ..default()
                }
            ),
            ["192.0.2.7:0", "[2001:db8::7]:0", "[fe80::7%7]:0"]
        );
    }

    #[test]
    fn loopback_is_offered_when_there_is_nothing_else() {
        assert_eq!(
            addresses(&host()[..2], Configuration::default()),
            ["127.0.0.1:0", "[::1]:0"]
        );
    }

    #[test]
    fn filters_and_limits_hold() {
        let only = Configuration {
            address_filter: Some(AddressFilter::only(["2001:db8::7".parse().unwrap()])),
            ..Configuration::default()
        };
        assert_eq!(addresses(&host(), only), ["[2001:db8::7]:0"]);
        let by_name = Configuration {
            address_filter: Some(AddressFilter::new(|interface, address| {
                interface == "eth0" && address.is_ipv4()
            })),
            ..Configuration::default()
        };
        assert_eq!(addresses(&host(), by_name), ["192.0.2.7:0"]);
        let one = Configuration {
            max_local_addresses: 1,
            ..Configuration::default()
        };
        assert_eq!(addresses(&host(), one), ["192.0.2.7:0"]);
    }
}
