//! `peerline-dtls`.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use peerline_dtls::{
    Certificate, Config, Connection, HashAlgorithm, NamedGroup, ProtocolVersion, Role, default_provider,
};

use super::{Handshake, Session};
use crate::Result;
use crate::process::{now, today};

pub(crate) struct Peerline {
    client: Connection,
    server: Connection,
    now: Instant,
    out: Vec<u8>,
    received: BytesMut,
}

impl Session for Peerline {
    type Certificates = ([Arc<Certificate>; 2], Handshake);

    fn certificates(handshake: Handshake) -> Result<Self::Certificates> {
        let new = || Ok::<_, crate::Error>(Arc::new(Certificate::generate(&default_provider(), today())?));
        Ok(([new()?, new()?], handshake))
    }

    fn connected(([alice, bob], handshake): &Self::Certificates) -> Result<Self> {
        let (max_version, group) = match handshake {
            Handshake::Dtls12 => (ProtocolVersion::DTLS_1_2, NamedGroup::X25519),
            Handshake::Dtls13 => (ProtocolVersion::DTLS_1_3, NamedGroup::X25519),
            Handshake::Dtls13Hybrid => (ProtocolVersion::DTLS_1_3, NamedGroup::X25519MLKEM768),
        };
        let config = |own: &Arc<Certificate>, peer: &Certificate| Config {
            remote_fingerprints: vec![peer.fingerprint(HashAlgorithm::Sha256)],
            max_version,
            groups: vec![group],
            ..Config::new(Arc::clone(own))
        };
        let mut session = Self {
            client: Connection::new(config(alice, bob), Role::Client),
            server: Connection::new(config(bob, alice), Role::Server),
            now: now(),
            out: Vec::new(),
            received: BytesMut::new(),
        };
        for _ in 0..10 {
            let Self {
                client,
                server,
                now,
                out,
                ..
            } = &mut session;
            if client.is_connected() && server.is_connected() {
                return Ok(session);
            }
            exchange(client, server, *now, out);
            exchange(server, client, *now, out);
        }
        Err("no handshake".into())
    }

    fn carry(&mut self, payload: &[u8]) -> Result<usize> {
        self.out.clear();
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(payload);
            Some(payload.len())
        };
        self.client.enclose(&mut self.out, fill).ok_or("not connected")?;
        // Cut from a buffer that many share, as a driver does that receives in batches.
        self.received.extend_from_slice(&self.out);
        self.server.handle_datagram(self.now, self.received.split());
        Ok(self.server.recv().ok_or("nothing arrived")?.len())
    }
}

fn exchange(from: &mut Connection, to: &mut Connection, now: Instant, out: &mut Vec<u8>) {
    while from.poll_transmit(now, out).is_some() {
        to.handle_datagram(now, out.as_slice().into());
        out.clear();
    }
}
