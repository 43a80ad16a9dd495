//! [`Gathering`]: sockets and servers, the candidates that come of them, and how they are told.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use peerline_ice as ice;
use peerline_wire::{FiveTuple, Transport};

use crate::error::Error;
use crate::event::Event;
use crate::state::IceGatheringState;
use crate::{Connection, ResolvedServer, TcpType};

/// The local side of ICE, as signalling sees it.
pub(crate) struct Gathering {
    /// Sockets have been asked for.
    pub(crate) asked: bool,
    pub(crate) state: IceGatheringState,
    /// How many transports' candidates are gathered before they are needed; more than one is never used.
    pool: u8,
    /// A local description was set.
    described: bool,
    /// There are servers that have not been asked.
    outdated: bool,
    /// The next offer is to restart ICE, since candidates are to be others.
    pub(crate) needs_restart: bool,
    /// The candidates of the agent's newest generation.
    pub(crate) newest: Generation,
    /// Those of the generation before, which a rollback brings back.
    previous: Option<Generation>,
}

/// The local candidates between one ICE restart and the next.
#[derive(Default)]
pub(crate) struct Generation {
    /// A local description with the agent's credentials is set: candidates may be told.
    pub(crate) announced: bool,
    /// How many of the agent's candidates were told.
    told: u32,
    /// The end of candidates was told.
    end_told: bool,
}

impl Gathering {
    pub(crate) fn new() -> Self {
        Self {
            asked: false,
            state: IceGatheringState::New,
            pool: 0,
            described: false,
            outdated: false,
            needs_restart: false,
            newest: Generation::default(),
            previous: None,
        }
    }

    /// A restart begins a new generation.
    pub(crate) fn restart(&mut self) {
        self.needs_restart = false;
        self.previous = Some(std::mem::take(&mut self.newest));
    }

    /// A restart is taken back.
    pub(crate) fn roll_back(&mut self) {
        self.newest = self.previous.take().unwrap_or_default();
    }
}

/// The local network.
impl Connection {
    /// The driver has bound a socket to `address`: a host candidate.
    pub fn add_local_address(&mut self, now: Instant, address: SocketAddr, transport: Transport) {
        self.ice.add_local_address(now, address, transport);
        self.settle(now);
    }

    /// `iceCandidatePoolSize`: with more than 0, candidates are gathered from now on, and told once a local description is set.
    /// There is one transport, so that any other number does the same.
    ///
    /// # Errors
    /// [`Error::PoolInUse`] if the number is another one than before, and a local description was set; [`Error::Closed`].
    pub fn set_ice_candidate_pool_size(&mut self, now: Instant, size: u8) -> Result<(), Error> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        if self.gathering.pool == size {
            return Ok(());
        }
        // "If configuration.iceCandidatePoolSize is different from [what it was] and setLocalDescription has already been called,
        // throw an InvalidModificationError" (W3C webrtc-pc, set a configuration).
        if self.gathering.described {
            return Err(Error::PoolInUse);
        }
        self.gathering.pool = size;
        if size > 0 {
            self.begin_gathering(now);
            self.settle(now);
        }
        Ok(())
    }

    /// `iceTransportPolicy`: once candidates have been told, another one counts from the next ICE restart on, which the next offer
    /// brings.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn set_ice_transport_policy(&mut self, now: Instant, policy: ice::TransportPolicy) -> Result<(), Error> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        if self.ice.transport_policy() == policy {
            return Ok(());
        }
        self.ice.set_transport_policy(policy);
        // "If an ICE gathering phase has already started or completed, the 'needs-ice-restart' bit will be set. Either way, changes to
        // the policy have no effect on the candidate pool, because [...] any necessary filtering can still be done" (RFC 8829 §4.1.18).
        if self.gathering.described || self.ice.remote_credentials().is_some() {
            self.gathering.needs_restart = true;
        } else if self.gathering.asked {
            self.ice.start_over(now);
            self.settle(now);
        }
        Ok(())
    }

    /// The driver has other ICE servers than before: the next ICE restart has it asked for them by [`Event::Gather`], if it was
    /// before. Once candidates have been told, the next offer restarts ICE for that.
    ///
    /// Where candidates were gathered in advance ([`set_ice_candidate_pool_size`](Self::set_ice_candidate_pool_size)) and no local
    /// description was set, what servers have given is given back at once, and the driver is asked for the new ones. True then:
    /// connections to the old ones are to be closed, and what is under way there is not to be told any more.
    pub fn ice_servers_changed(&mut self, now: Instant) -> bool {
        // "[...] if the ICE candidate pool has a nonzero size, any existing pooled candidates will be discarded, and new candidates
        // will be gathered from the new servers" (W3C webrtc-pc, set a configuration). Hosts are the same with any server.
        let is_pooled = self.gathering.asked && !self.gathering.described && !self.is_closed();
        if is_pooled {
            self.ice.discard_servers(now);
            self.events.push_back(Event::Gather);
            self.settle(now);
            return true;
        }
        self.gathering.outdated = self.gathering.asked;
        // "If an ICE gathering phase has already started or completed, the 'needs-ice-restart' bit [...] will be set. This will cause the
        // next call to createOffer to generate new ICE credentials" (RFC 8829 §4.1.18).
        self.gathering.needs_restart |= self.gathering.described;
        false
    }

    /// A local description with the agent's newest credentials is set: its candidates may be told.
    pub(crate) fn start_gathering(&mut self, now: Instant) {
        let is_new = !std::mem::replace(&mut self.gathering.newest.announced, true);
        self.gathering.described = true;
        if is_new && std::mem::take(&mut self.gathering.outdated) {
            self.events.push_back(Event::Gather);
        }
        self.begin_gathering(now);
    }

    fn begin_gathering(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.gathering.asked, true) {
            self.events.push_back(Event::Gather);
        }
        self.ice.gather(now);
    }

    /// The names that candidates have in place of this host's addresses, to be announced by multicast DNS
    /// ([`Config::hide_addresses`](crate::Config::hide_addresses)).
    pub fn local_names(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.ice.local_names()
    }

    /// The socket at `address` is no more, as when its interface has gone down. What goes on over it moves to another path at once,
    /// if there is one, or else as soon as there is. A new address may come at any time, too: it is told as a candidate, also after
    /// the end of candidates.
    pub fn remove_local_address(&mut self, now: Instant, address: SocketAddr) {
        self.ice.remove_local_address(now, address);
        self.settle(now);
    }

    /// Something about the network has changed, or sending has failed: the peer is asked whether the path in use still works, and
    /// others are tried if it does not answer.
    pub fn network_changed(&mut self, now: Instant) {
        self.ice.network_changed(now);
        self.settle(now);
    }

    /// The driver can connect from this address by TCP, whatever the port (active), or listens there (passive): a host candidate
    /// (RFC 6544). [`Event::TcpConnect`] then asks for connections, and what comes to a listener is told with
    /// [`tcp_accepted`](Self::tcp_accepted); each datagram on them is [framed](crate::framing), and has the path that the event
    /// named, or that the connection came by.
    pub fn add_tcp_address(&mut self, now: Instant, address: SocketAddr, tcp_type: TcpType) {
        self.ice.add_tcp_address(now, address, tcp_type);
        self.settle(now);
    }

    /// What [`add_tcp_address`](Self::add_tcp_address) told of is no more.
    pub fn remove_tcp_address(&mut self, now: Instant, address: SocketAddr, tcp_type: TcpType) {
        self.ice.remove_tcp_address(now, address, tcp_type);
        self.settle(now);
    }

    /// The connection that [`Event::TcpConnect`] has asked for is there.
    pub fn tcp_connected(&mut self, now: Instant, path: &FiveTuple) {
        self.ice.tcp_connected(now, path);
        self.settle(now);
    }

    /// A connection has come to a listener. It is closed, with [`Event::TcpClose`], unless it soon proves to be the peer's.
    pub fn tcp_accepted(&mut self, now: Instant, path: &FiveTuple) {
        self.ice.tcp_accepted(now, path);
        self.settle(now);
    }

    /// A connection is gone, or could not be made.
    pub fn tcp_closed(&mut self, now: Instant, path: &FiveTuple) {
        self.ice.tcp_closed(now, path);
        self.settle(now);
    }

    /// The driver has no more local addresses for now.
    pub fn finish_gathering(&mut self, now: Instant) {
        self.ice.finish_gathering(now);
        self.settle(now);
    }

    /// The answer to [`Event::ResolveName`]; `None` if the name has no address.
    pub fn handle_resolved(&mut self, now: Instant, name: &str, address: Option<IpAddr>) {
        self.ice.handle_resolved(now, name, address);
        self.settle(now);
    }

    /// A socket from which TURN servers are asked in place of those told by [`add_local_address`](Self::add_local_address), since
    /// other connections use those as well. To be told before the servers; [`remove_local_address`](Self::remove_local_address)
    /// takes it back.
    pub fn add_relay_base(&mut self, now: Instant, address: SocketAddr) {
        self.ice.add_relay_base(now, address);
        self.settle(now);
    }

    /// A STUN server sees the socket at `base`, which other connections use as well, at `mapped`: somebody has asked for all of
    /// them ([`Bindings`](crate::Bindings)).
    pub fn add_reflexive_address(&mut self, now: Instant, base: SocketAddr, server: SocketAddr, mapped: SocketAddr) {
        self.ice.add_reflexive_address(now, base, server, mapped);
        self.settle(now);
    }

    /// A server could not be asked, or has refused, when somebody asked for all connections that share a socket.
    pub fn candidate_failed(&mut self, now: Instant, error: ice::CandidateError) {
        self.ice.candidate_failed(now, error);
        self.settle(now);
    }

    /// An address of an ICE server, to be asked over UDP from each socket. May come at any time; what it answers is told as
    /// candidates, and if it does not as [`Event::IceCandidateError`].
    pub fn add_ice_server(&mut self, now: Instant, server: ResolvedServer) {
        self.ice.add_server(now, server);
        self.settle(now);
    }

    /// Servers of other URLs than these are not asked any more. What they have given serves on.
    pub fn keep_ice_servers(&mut self, now: Instant, keep: impl Fn(&str) -> bool) {
        self.ice.keep_servers(now, keep);
        self.settle(now);
    }

    /// The driver has connected to a TURN server, by TCP or by TLS over it, from `local`. What is to be sent there has this
    /// five-tuple with [`Transport::Tcp`] and is written as it is; each message read, as `peerline_turn::framing` cuts them,
    /// is a datagram with it.
    pub fn add_ice_stream(&mut self, now: Instant, local: SocketAddr, server: &ResolvedServer) {
        self.ice.add_stream(now, local, server);
        self.settle(now);
    }

    /// The connection that [`add_ice_stream`](Self::add_ice_stream) told of is gone. True if a relayed address is gone with it: then
    /// it is worth while to connect again.
    pub fn ice_stream_closed(&mut self, now: Instant, local: SocketAddr, server: SocketAddr) -> bool {
        let is_loss = self.ice.stream_closed(now, local, server);
        self.settle(now);
        is_loss
    }

    /// A server could not be asked: its name has no address, or no connection to it could be made. `text` says why.
    pub fn ice_server_failed(&mut self, now: Instant, url: &str, text: &str) {
        self.ice.server_failed(now, url, text);
        self.settle(now);
    }
}

impl Connection {
    /// Tells the candidates that a local description has made tellable, and the end of them.
    pub(crate) fn tell_candidates(&mut self) {
        if !self.gathering.newest.announced || self.is_closed() {
            return;
        }
        let state = match self.ice.gathering_state() {
            ice::GatheringState::New => IceGatheringState::New,
            ice::GatheringState::Gathering => IceGatheringState::Gathering,
            ice::GatheringState::Complete => IceGatheringState::Complete,
        };
        if state == IceGatheringState::Gathering {
            self.set_gathering_state(state);
        }
        for (number, candidate) in self.ice.local_candidates_after(self.gathering.newest.told) {
            let told = self
                .negotiation
                .candidate_init(&candidate, self.ice.local_credentials());
            self.gathering.newest.told = number;
            self.events.push_back(Event::IceCandidate(Some(told)));
        }
        if state == IceGatheringState::Complete {
            self.set_gathering_state(state);
            if !self.gathering.newest.end_told {
                self.gathering.newest.end_told = true;
                self.events.push_back(Event::IceCandidate(None));
            }
        }
    }

    fn set_gathering_state(&mut self, state: IceGatheringState) {
        if self.gathering.state != state {
            self.gathering.state = state;
            self.events.push_back(Event::IceGatheringStateChange(state));
        }
    }
}
