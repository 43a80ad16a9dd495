//! The attributes, typed: one struct an attribute, named as its RFC names it, one file a family.
//!
//! Read one with [`Message::get`](crate::Message::get), write one with
//! [`MessageBuilder::attribute`](crate::MessageBuilder::attribute). An attribute that is missing here can be added from
//! outside: implement [`Attribute`] for it.

mod address;
mod alternate;
mod credential;
mod error_code;
mod ice;
mod integrity;
mod nat_discovery;
mod password_algorithm;
mod shapes;
mod turn;
mod unknown;

pub use address::{
    AddressFamily, AlternateServer, MappedAddress, OtherAddress, ResponseOrigin, XorMappedAddress, XorPeerAddress,
    XorRelayedAddress,
};
pub use alternate::{AlternateDomain, Software};
pub use credential::{Nonce, Realm, SecurityFeatures, UserHash, Username};
pub use error_code::{AddressErrorCode, ErrorAttribute, ErrorCode};
pub use ice::{
    IceControlled, IceControlling, MetaDtlsInStun, MetaDtlsInStunAcknowledgement, NetworkInfo, Nomination, Priority,
    UseCandidate,
};
pub(crate) use integrity::FINGERPRINT_XOR;
pub use integrity::{Fingerprint, MessageIntegrity, MessageIntegritySha256};
pub use nat_discovery::{ChangeRequest, Padding, ResponsePort};
pub use password_algorithm::{PasswordAlgorithm, PasswordAlgorithms};
pub use turn::{
    AdditionalAddressFamily, ConnectionId, Data, DontFragment, EvenPort, Icmp, Lifetime, RequestedAddressFamily,
    RequestedTransport, ReservationToken,
};
pub use unknown::UnknownAttributes;

use crate::{AttributeError, TransactionId};
use std::fmt;

/// A typed attribute: its number, and its value's two directions.
pub trait Attribute<'a>: Copy {
    /// The attribute's number.
    const TYPE: AttributeType;

    /// Reads the value, given without its padding. The addresses behind an exclusive-or need the transaction.
    ///
    /// # Errors
    /// [`AttributeError`] if the value is not what the type says.
    fn decode(value: &'a [u8], transaction_id: TransactionId) -> Result<Self, AttributeError>;

    /// Appends the value, without padding.
    fn encode(self, transaction_id: TransactionId, out: &mut Vec<u8>);
}

/// An attribute as it lies in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// What it is.
    pub kind: AttributeType,
    /// Its value, without padding.
    pub value: &'a [u8],
}

/// What an attribute is (RFC 8489 §18.3 and the registry it begins).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttributeType(pub u16);

impl AttributeType {
    /// True for the types 0x0000 to 0x7FFF: who does not understand one must not process the message (RFC 8489 §14).
    #[must_use]
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }

    /// True for the attributes that vouch for those before them.
    pub(crate) const fn is_check(self) -> bool {
        matches!(
            self,
            Self::MESSAGE_INTEGRITY | Self::MESSAGE_INTEGRITY_SHA256 | Self::FINGERPRINT
        )
    }
}

/// Declares the constants of [`AttributeType`] and how they print.
macro_rules! attribute_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $rfc_name:literal;)*) => {
        impl AttributeType {
            $(#[doc = concat!($rfc_name, ".")] $(#[$doc])* pub const $name: Self = Self($number);)*
        }

        impl fmt::Debug for AttributeType {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(Self::$name => f.write_str($rfc_name),)*
                    Self(number) => write!(f, "AttributeType({number:#06x})"),
                }
            }
        }
    };
}

attribute_types! {
    // RFC 8489 §18.3.
    MAPPED_ADDRESS = 0x0001, "MAPPED-ADDRESS";
    USERNAME = 0x0006, "USERNAME";
    MESSAGE_INTEGRITY = 0x0008, "MESSAGE-INTEGRITY";
    ERROR_CODE = 0x0009, "ERROR-CODE";
    UNKNOWN_ATTRIBUTES = 0x000A, "UNKNOWN-ATTRIBUTES";
    REALM = 0x0014, "REALM";
    NONCE = 0x0015, "NONCE";
    MESSAGE_INTEGRITY_SHA256 = 0x001C, "MESSAGE-INTEGRITY-SHA256";
    PASSWORD_ALGORITHM = 0x001D, "PASSWORD-ALGORITHM";
    USERHASH = 0x001E, "USERHASH";
    XOR_MAPPED_ADDRESS = 0x0020, "XOR-MAPPED-ADDRESS";
    PASSWORD_ALGORITHMS = 0x8002, "PASSWORD-ALGORITHMS";
    ALTERNATE_DOMAIN = 0x8003, "ALTERNATE-DOMAIN";
    SOFTWARE = 0x8022, "SOFTWARE";
    ALTERNATE_SERVER = 0x8023, "ALTERNATE-SERVER";
    FINGERPRINT = 0x8028, "FINGERPRINT";

    // RFC 8445 §16.1.
    PRIORITY = 0x0024, "PRIORITY";
    USE_CANDIDATE = 0x0025, "USE-CANDIDATE";
    ICE_CONTROLLED = 0x8029, "ICE-CONTROLLED";
    ICE_CONTROLLING = 0x802A, "ICE-CONTROLLING";

    // RFC 8656 §18.
    CHANNEL_NUMBER = 0x000C, "CHANNEL-NUMBER";
    LIFETIME = 0x000D, "LIFETIME";
    XOR_PEER_ADDRESS = 0x0012, "XOR-PEER-ADDRESS";
    DATA = 0x0013, "DATA";
    XOR_RELAYED_ADDRESS = 0x0016, "XOR-RELAYED-ADDRESS";
    REQUESTED_ADDRESS_FAMILY = 0x0017, "REQUESTED-ADDRESS-FAMILY";
    EVEN_PORT = 0x0018, "EVEN-PORT";
    REQUESTED_TRANSPORT = 0x0019, "REQUESTED-TRANSPORT";
    DONT_FRAGMENT = 0x001A, "DONT-FRAGMENT";
    RESERVATION_TOKEN = 0x0022, "RESERVATION-TOKEN";
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, "ADDITIONAL-ADDRESS-FAMILY";
    ADDRESS_ERROR_CODE = 0x8001, "ADDRESS-ERROR-CODE";
    ICMP = 0x8004, "ICMP";

    // RFC 6062 §6.2.
    CONNECTION_ID = 0x002A, "CONNECTION-ID";

    // RFC 5780 §7.
    CHANGE_REQUEST = 0x0003, "CHANGE-REQUEST";
    PADDING = 0x0026, "PADDING";
    RESPONSE_PORT = 0x0027, "RESPONSE-PORT";
    RESPONSE_ORIGIN = 0x802B, "RESPONSE-ORIGIN";
    OTHER_ADDRESS = 0x802C, "OTHER-ADDRESS";

    /// draft-thatcher-ice-renomination, under libwebrtc's number.
    NOMINATION = 0xC001, "NOMINATION";
    /// libwebrtc's, in each of its checks.
    NETWORK_INFO = 0xC057, "GOOG-NETWORK-INFO";

    // draft-hancke-webrtc-sped.
    META_DTLS_IN_STUN = 0xC070, "META-DTLS-IN-STUN";
    META_DTLS_IN_STUN_ACKNOWLEDGEMENT = 0xC071, "META-DTLS-IN-STUN-ACKNOWLEDGEMENT";
}

/// A value that is exactly `N` bytes.
fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], AttributeError> {
    value.try_into().map_err(|_| AttributeError::WrongLength)
}

/// A text of at most `max` bytes.
fn text(value: &[u8], max: usize) -> Result<&str, AttributeError> {
    if value.len() > max {
        return Err(AttributeError::WrongLength);
    }
    std::str::from_utf8(value).map_err(|_| AttributeError::NotUtf8)
}

/// Texts "of fewer than 128 characters (which can be as long as 509 bytes when encoding them or 763 bytes when decoding
/// them)" (RFC 8489 §14.8, §14.9, §14.10, §14.14); USERNAME is parsed up to the same length (§14.3).
const MAX_TEXT: usize = 763;
