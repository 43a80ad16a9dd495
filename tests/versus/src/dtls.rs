//! DTLS alone, in memory, with AES-128-GCM and certificates of P-256 on both sides: the handshakes of 1.2 and 1.3, and records of
//! application data by 1.2.

#[cfg(feature = "peers")]
mod dimpl;
#[cfg(feature = "openssl")]
mod openssl;
mod peerline;

#[cfg(feature = "peers")]
pub(crate) use self::dimpl::Dimpl;
#[cfg(feature = "openssl")]
pub(crate) use self::openssl::Openssl;
pub(crate) use self::peerline::Peerline;

use crate::Result;
use crate::measurement::{Effort, Figure};
use crate::micro::nanoseconds;

/// What makes a record of AES-GCM as long as a datagram of 1,200 bytes: header, explicit nonce and tag aside.
const PAYLOAD: usize = 1_200 - 13 - 8 - 16;

/// A version, and what the two agree on a key by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// X25519, or what the stack prefers.
    Dtls12,
    /// X25519.
    Dtls13,
    /// X25519MLKEM768.
    Dtls13Hybrid,
}

/// A client and a server, one of each, in one thread.
pub(crate) trait Session: Sized {
    /// Both certificates, and how the two shake hands.
    type Certificates;

    /// An error if the stack knows no such handshake.
    fn certificates(handshake: Handshake) -> Result<Self::Certificates>;

    /// Two new ones that have shaken hands.
    fn connected(certificates: &Self::Certificates) -> Result<Self>;

    /// Seals a record at the client and opens it at the server; how long what came out is.
    fn carry(&mut self, payload: &[u8]) -> Result<usize>;
}

/// Nanoseconds to seal and open a record of 1,200 bytes (`record`).
pub(crate) fn records<S: Session>(effort: Effort) -> Result<Vec<Figure>> {
    let mut session = S::connected(&S::certificates(Handshake::Dtls12)?)?;
    let payload = [0x5a; PAYLOAD];
    let mut carried = 0;
    let each = nanoseconds(effort, || carried = session.carry(&payload).unwrap_or_default());
    if carried != PAYLOAD {
        return Err("a record was lost".into());
    }
    Ok(vec![("record", each)])
}

/// Microseconds of a handshake, both sides (`handshake`).
pub(crate) fn handshakes<S: Session>(handshake: Handshake, effort: Effort) -> Result<Vec<Figure>> {
    let certificates = S::certificates(handshake)?;
    S::connected(&certificates)?;
    let each = nanoseconds(effort, || S::connected(&certificates).is_ok());
    Ok(vec![("handshake", each / 1e3)])
}
