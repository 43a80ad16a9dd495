//! Who announces a name by multicast DNS, as a browser does.

use std::net::IpAddr;

use mdns_sd::{ServiceDaemon, ServiceInfo};

/// Dropping it ends it.
pub(crate) struct Announcer(ServiceDaemon);

impl Announcer {
    /// `name.local` is at `address`.
    pub(crate) fn start(name: &str, address: IpAddr) -> Self {
        let daemon = ServiceDaemon::new().unwrap();
        let host = format!("{name}.local.");
        let service = ServiceInfo::new("_peerline._udp.local.", name, &host, address, 9, None);
        daemon.register(service.unwrap()).unwrap();
        Self(daemon)
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        let _ = self.0.shutdown();
    }
}
