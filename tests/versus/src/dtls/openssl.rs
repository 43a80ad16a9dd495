//! OpenSSL, as the machine has it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslContext, SslMethod, SslOptions, SslStream, SslVerifyMode};
use openssl::x509::{X509, X509Name};

use super::{Handshake, Session};
use crate::Result;

pub(crate) struct Openssl {
    client: SslStream<End>,
    server: SslStream<End>,
    buffer: Vec<u8>,
}

impl Session for Openssl {
    type Certificates = [SslContext; 2];

    fn certificates(handshake: Handshake) -> Result<Self::Certificates> {
        if handshake != Handshake::Dtls12 {
            return Err("it has no DTLS 1.3".into());
        }
        Ok([context()?, context()?])
    }

    fn connected([alice, bob]: &Self::Certificates) -> Result<Self> {
        let (there, back) = (Queue::default(), Queue::default());
        let stream = |context: &SslContext, out: &Queue, inward: &Queue| {
            let mut ssl = Ssl::new(context)?;
            ssl.set_mtu(1_200)?;
            let end = End {
                out: Rc::clone(out),
                inward: Rc::clone(inward),
            };
            Ok::<_, crate::Error>(SslStream::new(ssl, end)?)
        };
        let (mut client, mut server) = (stream(alice, &there, &back)?, stream(bob, &back, &there)?);
        for _ in 0..10 {
            // What is not finished is waiting for the other.
            let connected = client.connect().is_ok();
            if server.accept().is_ok() && connected {
                return Ok(Self {
                    client,
                    server,
                    buffer: vec![0; 2048],
                });
            }
        }
        Err("no handshake".into())
    }

    fn carry(&mut self, payload: &[u8]) -> Result<usize> {
        self.client.ssl_write(payload)?;
        Ok(self.server.ssl_read(&mut self.buffer)?)
    }
}

fn context() -> Result<SslContext> {
    let (certificate, key) = certificate()?;
    let mut context = SslContext::builder(SslMethod::dtls())?;
    // The length of datagrams is set, not asked for.
    context.set_options(SslOptions::NO_QUERY_MTU);
    context.set_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256")?;
    // The second is for the certificates.
    context.set_groups_list("X25519:P-256")?;
    context.set_certificate(&certificate)?;
    context.set_private_key(&key)?;
    // Any certificate will do: in WebRTC its fingerprint is compared.
    context.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
    Ok(context.build())
}

fn certificate() -> Result<(X509, PKey<Private>)> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, "bench")?;
    let name = name.build();
    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_subject_name(&name)?;
    certificate.set_issuer_name(&name)?;
    certificate.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    certificate.set_not_after(Asn1Time::days_from_now(30)?.as_ref())?;
    certificate.set_pubkey(&key)?;
    certificate.sign(&key, MessageDigest::sha256())?;
    Ok((certificate.build(), key))
}

/// Datagrams one way.
type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of a path, a datagram a call.
struct End {
    out: Queue,
    inward: Queue,
}

impl Write for End {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.out.borrow_mut().push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.inward.borrow_mut().pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }
}
