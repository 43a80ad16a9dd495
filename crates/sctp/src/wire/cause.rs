//! Error causes.

/// An error cause code (RFC 9260 §3.3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CauseCode(pub u16);
