//! SCTP over DTLS (RFC 9260, RFC 8261) and data channels (RFC 8831, RFC 8832): sans-IO machines
