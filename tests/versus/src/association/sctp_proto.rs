//! `sctp-proto`, as `str0m` uses it: an endpoint, and one association in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ServerConfig,
};

use crate::Result;
use crate::machine::Machine;

const STREAM: u16 = 1;

pub(crate) struct SctpProto {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    remote: SocketAddr,
    connected: bool,
    /// What is not yet asked for, and where messages are put together.
    packets: std::vec::IntoIter<Bytes>,
    message: Vec<u8>,
}

impl SctpProto {
    fn new(who: u8, server: bool) -> Self {
        let address = |who| SocketAddr::from(([192, 0, 2, who], 5000));
        let server = server.then(|| Arc::new(ServerConfig::default()));
        let config = Arc::new(EndpointConfig::default());
        Self {
            endpoint: Endpoint::new(config, server),
            association: None,
            remote: address(3 - who),
            connected: false,
            packets: Vec::new().into_iter(),
            message: vec![0; 1 << 18],
        }
    }

    fn attend(&mut self) {
        let Some((handle, association)) = &mut self.association else {
            return;
        };
        while let Some(event) = association.poll() {
            self.connected |= matches!(event, Event::Connected);
        }
        while let Some(event) = association.poll_endpoint_event() {
            self.endpoint.handle_event(*handle, event);
        }
    }
}

impl Machine for SctpProto {
    fn pair(_: Instant, _: usize) -> Result<[Self; 2]> {
        let (mut client, server) = (Self::new(1, false), Self::new(2, true));
        let (handle, mut association) = client.endpoint.connect(ClientConfig::default(), client.remote)?;
        association.open_stream(STREAM, PayloadProtocolIdentifier::Binary)?;
        client.association = Some((handle, association));
        Ok([client, server])
    }

    fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) -> Result<()> {
        match self.endpoint.handle(now, self.remote, None, None, datagram.freeze()) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.association = Some((handle, association));
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                let (_, association) = self.association.as_mut().ok_or("no association")?;
                association.handle_event(event);
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
        Ok(())
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let packet = match self.packets.next() {
            Some(packet) => packet,
            None => {
                let (_, association) = self.association.as_mut()?;
                let Payload::RawEncode(packets) = association.poll_transmit(now)?.payload else {
                    return None;
                };
                self.packets = packets.into_iter();
                self.packets.next()?
            }
        };
        out.extend_from_slice(&packet);
        Some(packet.len())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.association.as_ref()?.1.poll_timeout()
    }

    fn is_open(&mut self) -> bool {
        self.attend();
        self.connected
    }

    fn send(&mut self, _: Instant, payload: &Bytes) -> Result<bool> {
        let (_, association) = self.association.as_mut().ok_or("no association")?;
        let mut stream = association.stream(STREAM)?;
        Ok(stream.write_sctp(payload, PayloadProtocolIdentifier::Binary)? == payload.len())
    }

    fn recv(&mut self, _: Instant) -> Option<usize> {
        self.attend();
        let (_, association) = self.association.as_mut()?;
        let chunks = association.stream(STREAM).ok()?.read_sctp().ok()??;
        chunks.read(&mut self.message).ok()
    }
}
