//! DTLS (RFC 6347) for WebRTC: a sans-IO client and server with mutual authentication by fingerprint
