//! Other implementations against this one: OpenSSL over UDP on the loopback interface, other Rust stacks in memory.
//!
//! The map: [`openssl`] and [`gnutls`] run the command line programs of those names, [`dtls_over_udp`] our DTLS beside it. [`peer`] is what a
//! WebRTC stack can do, with [`media`] for its part of it, and [`ours`] does it with this one; [`lab`] puts two such peers on a
//! network in virtual time. [`mod@scenarios`] with data channels and [`calls`] with media are what they have to get through, whoever
//! they are; [`scenarios!`] makes tests of them all for a stack. SCTP alone is tested beside dcsctp, packet by packet, in
//! `tests/dcsctp.rs`. [`libsrtp`] runs the library of that name for SRTP. [`coturn`] runs that
//! server and its client, [`mod@turn`] ours on sockets.

pub mod calls;
pub mod coturn;
pub mod dtls_over_udp;
pub mod gnutls;
pub mod lab;
pub mod libsrtp;
pub mod media;
pub mod openssl;
pub mod ours;
pub mod peer;
pub mod scenarios;
pub mod turn;
