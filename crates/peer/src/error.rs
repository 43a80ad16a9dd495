//! Why a call was refused, under the W3C's names.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use peerline_connection::{ChannelFault, DtmfError, Error as Refusal, ExternalAddressError, IceServerError};
use peerline_dtls::CertificateError;

/// Why a call was refused. Its text starts with the [`name`](Self::name) of the exception that a browser would throw, and says
/// what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The connection refused; nothing was changed.
    Refused(Refusal),
    /// Tones cannot be played.
    Dtmf(DtmfError),
    /// An ICE server of the configuration cannot be used.
    IceServer(IceServerError),
    /// The external addresses of the configuration cannot be used.
    ExternalAddress(ExternalAddressError),
    /// A connection needs a tokio runtime for its task and its sockets.
    NoRuntime,
    /// No certificate could be made.
    Certificate(CertificateError),
    /// The system gives no random numbers.
    Randomness,
    /// An endpoint's address cannot be bound.
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        kind: io::ErrorKind,
    },
}

impl Error {
    /// The name of the DOM exception that a browser would throw.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.name(),
            Self::IceServer(error) => error.name(),
            Self::NoRuntime => "InvalidStateError",
            Self::ExternalAddress(_) => "InvalidAccessError",
            Self::Dtmf(DtmfError::UnknownTone(_)) => "InvalidCharacterError",
            Self::Dtmf(_) => "InvalidStateError",
            Self::Certificate(_) | Self::Randomness | Self::Bind { .. } => "OperationError",
        }
    }

    pub(crate) fn channel_closed() -> Self {
        Self::Refused(Refusal::DataChannel(ChannelFault::Unknown))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<IceServerError> for Error {
    fn from(error: IceServerError) -> Self {
        Self::IceServer(error)
    }
}

impl From<ExternalAddressError> for Error {
    fn from(error: ExternalAddressError) -> Self {
        Self::ExternalAddress(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Refused(refusal) => return refusal.fmt(f),
            Self::Dtmf(error) => return write!(f, "{}: {error}", self.name()),
            Self::IceServer(error) => return error.fmt(f),
            Self::ExternalAddress(error) => return write!(f, "{}: {error}", self.name()),
            Self::NoRuntime => "create connections within a tokio runtime that has I/O and time enabled",
            Self::Certificate(error) => {
                return write!(
                    f,
                    "{}: no certificate could be made ({error}): pass one in Configuration::certificate",
                    self.name()
                );
            }
            Self::Bind { address, kind } => {
                return write!(
                    f,
                    "{}: {address} cannot be bound ({kind}): choose an address of this host and a free port",
                    self.name()
                );
            }
            Self::Randomness => "the system gives no random numbers",
        };
        write!(f, "{}: {text}", self.name())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Certificate(error) => Some(error),
            Self::Dtmf(error) => Some(error),
            Self::IceServer(error) => Some(error),
            Self::ExternalAddress(error) => Some(error),
            Self::NoRuntime | Self::Randomness | Self::Bind { .. } => None,
        }
    }
}
