//! The bytes of SCTP.
mod cause;
pub use cause::CauseCode;
