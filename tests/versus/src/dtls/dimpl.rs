//! `dimpl`, which `str0m` uses, with its default provider `aws-lc-rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use dimpl::crypto::{Dtls12CipherSuite, Dtls13CipherSuite, NamedGroup};
use dimpl::{Config, Dtls, DtlsCertificate, Output, certificate};

use super::{Handshake, Session};
use crate::Result;
use crate::process::now;

pub(crate) struct Dimpl {
    client: Dtls,
    server: Dtls,
    buffer: Vec<u8>,
}

impl Session for Dimpl {
    type Certificates = ([DtlsCertificate; 2], Arc<Config>, Handshake);

    fn certificates(handshake: Handshake) -> Result<Self::Certificates> {
        let new = || Ok::<_, crate::Error>(certificate::generate_self_signed_certificate()?);
        let config = match handshake {
            Handshake::Dtls12 => {
                Config::builder().dtls12_cipher_suites(&[Dtls12CipherSuite::ECDHE_ECDSA_AES128_GCM_SHA256])
            }
            Handshake::Dtls13 => Config::builder()
                .dtls13_cipher_suites(&[Dtls13CipherSuite::AES_128_GCM_SHA256])
                .kx_groups(&[NamedGroup::X25519]),
            Handshake::Dtls13Hybrid => return Err("it has no hybrid key exchange".into()),
        };
        Ok(([new()?, new()?], Arc::new(config.build()?), handshake))
    }

    fn connected(([alice, bob], config, handshake): &Self::Certificates) -> Result<Self> {
        let now = now();
        let new = match handshake {
            Handshake::Dtls12 => Dtls::new_12,
            Handshake::Dtls13 | Handshake::Dtls13Hybrid => Dtls::new_13,
        };
        let mut session = Self {
            client: new(Arc::clone(config), alice.clone(), now),
            server: new(Arc::clone(config), bob.clone(), now),
            buffer: vec![0; 2048],
        };
        session.client.set_active(true);
        session.client.handle_timeout(now)?;
        session.server.handle_timeout(now)?;
        let mut connected = 0;
        for _ in 0..10 {
            let Self { client, server, buffer } = &mut session;
            connected += exchange(client, server, buffer)?;
            connected += exchange(server, client, buffer)?;
            if connected == 2 {
                return Ok(session);
            }
        }
        Err("no handshake".into())
    }

    fn carry(&mut self, payload: &[u8]) -> Result<usize> {
        let Self { client, server, buffer } = self;
        client.send_application_data(payload)?;
        loop {
            match client.poll_output(buffer) {
                Output::Packet(packet) => server.handle_packet(packet)?,
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        let mut arrived = 0;
        loop {
            match server.poll_output(buffer) {
                Output::ApplicationData(data) => arrived = data.len(),
                Output::Timeout(_) => return Ok(arrived),
                _ => {}
            }
        }
    }
}

/// Carries a flight; 1 if that made `from` connected.
fn exchange(from: &mut Dtls, to: &mut Dtls, buffer: &mut Vec<u8>) -> Result<u32> {
    let (mut connected, mut flight) = (0, VecDeque::new());
    loop {
        match from.poll_output(buffer) {
            Output::Packet(packet) => flight.push_back(packet.to_vec()),
            Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
            Output::Connected => connected = 1,
            Output::Timeout(_) => break,
            _ => {}
        }
    }
    for packet in flight {
        to.handle_packet(&packet)?;
    }
    Ok(connected)
}
