//! The hellos: they settle which version is spoken, and are the same in all (RFC 8446 §4.1, §4.2.1; RFC 9147 §5.3).
//!
//! ```text
//! Client                                       Server
//! ClientHello             -------->
//!                         <--------   HelloVerifyRequest (1.2) or HelloRetryRequest (1.3), if need be
//! ClientHello (cookie)    -------->
//!                         <--------   ServerHello: from here on in `dtls12` or `dtls13`
//! ```

pub(crate) mod client;
pub(crate) mod server;
