//! Parameters: the type-length-value items inside INIT, INIT ACK, HEARTBEAT and RE-CONFIG chunks.
//!
//! [RFC 9260 §3.2.1](https://www.rfc-editor.org/rfc/rfc9260#section-3.2.1)
//!
//! ```text
//! |          Parameter Type       |       Parameter Length        |
//! |                       Parameter Value …                       |
//! ```

use std::fmt;

use super::{ParseError, UnknownAction, take_tlv, write_list, write_tlv};

/// A parameter type.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ParameterType(pub u16);

impl ParameterType {
    /// Heartbeat Info (RFC 9260 §3.3.5).
    pub const HEARTBEAT_INFO: Self = Self(1);
    /// IPv4 Address (RFC 9260 §3.3.2.1.1); meaningless over DTLS (RFC 8261 §6.1).
    pub const IPV4_ADDRESS: Self = Self(5);
    /// IPv6 Address (RFC 9260 §3.3.2.1.2); meaningless over DTLS.
    pub const IPV6_ADDRESS: Self = Self(6);
    /// State Cookie (RFC 9260 §3.3.3.1.1).
    pub const STATE_COOKIE: Self = Self(7);
    /// Unrecognized Parameter (RFC 9260 §3.3.3.1.2).
    pub const UNRECOGNIZED: Self = Self(8);
    /// Cookie Preservative (RFC 9260 §3.3.2.1.3).
    pub const COOKIE_PRESERVATIVE: Self = Self(9);
    /// Host Name Address, deprecated (RFC 9260 §3.3.2.1.4).
    pub const HOST_NAME: Self = Self(11);
    /// Supported Address Types (RFC 9260 §3.3.2.1.5).
    pub const SUPPORTED_ADDRESS_TYPES: Self = Self(12);
    /// Outgoing SSN Reset Request (RFC 6525 §4.1).
    pub const OUTGOING_RESET: Self = Self(13);
    /// Incoming SSN Reset Request (RFC 6525 §4.2).
    pub const INCOMING_RESET: Self = Self(14);
    /// SSN/TSN Reset Request (RFC 6525 §4.3).
    pub const SSN_TSN_RESET: Self = Self(15);
    /// Re-configuration Response (RFC 6525 §4.4).
    pub const RECONFIG_RESPONSE: Self = Self(16);
    /// Add Outgoing Streams Request (RFC 6525 §4.5).
    pub const ADD_OUTGOING_STREAMS: Self = Self(17);
    /// Add Incoming Streams Request (RFC 6525 §4.6).
    pub const ADD_INCOMING_STREAMS: Self = Self(18);
    /// ECN Capable, reserved (RFC 9260 §3.3.2).
    pub const ECN_CAPABLE: Self = Self(0x8000);
    /// Zero Checksum Acceptable (RFC 9653 §4).
    pub const ZERO_CHECKSUM: Self = Self(0x8001);
    /// Supported Extensions (RFC 5061 §4.2.7): a list of chunk types.
    pub const SUPPORTED_EXTENSIONS: Self = Self(0x8008);
    /// Forward-TSN-Supported (RFC 3758 §3.1).
    pub const FORWARD_TSN: Self = Self(0xC000);

    /// What to do with a parameter of this type if it is unknown.
    ///
    /// RFC 9260 §3.2.1: "The action to be taken when the Parameter Type is unrecognized is encoded in the two highest
    /// bits of the Parameter Type."
    #[must_use]
    pub fn unknown_action(self) -> UnknownAction {
        UnknownAction::from_high_bits((self.0 >> 14) as u8)
    }
}

impl fmt::Debug for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parameter {:#06x}", self.0)
    }
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Its type.
    pub kind: ParameterType,
    /// Its value, without padding.
    pub value: &'a [u8],
}

/// A list of parameters, known to be well-formed.
#[derive(Clone, Copy, Default)]
pub struct Parameters<'a>(&'a [u8]);

impl<'a> Parameters<'a> {
    /// The parameters in `bytes`.
    ///
    /// # Errors
    /// [`ParseError`] if one of them is not whole.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut rest = bytes;
        while let Some(item) = take_tlv(&mut rest) {
            item?;
        }
        Ok(Self(bytes))
    }

    /// The parameters, in order.
    pub fn iter(&self) -> impl Iterator<Item = Parameter<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || take_tlv(&mut rest)).map_while(|item| {
            let (kind, value) = item.ok()?;
            Some(Parameter {
                kind: ParameterType(u16::from_be_bytes(kind)),
                value,
            })
        })
    }

    /// The value of the first parameter of a type.
    #[must_use]
    pub fn find(&self, kind: ParameterType) -> Option<&'a [u8]> {
        self.iter()
            .find(|parameter| parameter.kind == kind)
            .map(|parameter| parameter.value)
    }

    /// Appends the list; the last parameter is not padded.
    ///
    /// # Panics
    /// If a parameter does not fit a 16-bit length; what was decoded does.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_list(
            out,
            self.iter()
                .map(|parameter| (parameter.kind.0.to_be_bytes(), parameter.value)),
        );
    }
}

/// Equal if the parameters are; padding does not matter.
impl PartialEq for Parameters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Parameters<'_> {}

impl fmt::Debug for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Appends one parameter, padded to four bytes.
///
/// # Panics
/// If the value does not fit a 16-bit length: the caller bounds it.
pub fn write_parameter(out: &mut Vec<u8>, kind: ParameterType, value: &[u8]) {
    write_tlv(out, kind.0.to_be_bytes(), |out| out.extend_from_slice(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_must_be_whole_but_the_last_padding_may_lack() {
        assert!(Parameters::decode(&[0, 7, 0, 3]).is_err());
        assert!(Parameters::decode(&[0, 7, 0, 6, 1]).is_err());
        assert!(Parameters::decode(&[0, 7, 0]).is_err());
        let parameters = Parameters::decode(&[0xC0, 0, 0, 4, 0, 7, 0, 5, 9]).unwrap();
        assert_eq!(parameters.find(ParameterType::STATE_COOKIE), Some(&[9][..]));
        assert_eq!(parameters.iter().count(), 2);
        let mut out = Vec::new();
        parameters.encode(&mut out);
        assert_eq!(out, [0xC0, 0, 0, 4, 0, 7, 0, 5, 9]);
    }

    #[test]
    fn the_high_bits_say_what_to_do_with_the_unknown() {
        assert_eq!(
            ParameterType(0x0042).unknown_action(),
            UnknownAction {
                skip: false,
                report: false
            }
        );
        assert_eq!(
            ParameterType(0x4042).unknown_action(),
            UnknownAction {
                skip: false,
                report: true
            }
        );
        assert_eq!(
            ParameterType(0x8042).unknown_action(),
            UnknownAction {
                skip: true,
                report: false
            }
        );
        assert_eq!(
            ParameterType(0xC042).unknown_action(),
            UnknownAction {
                skip: true,
                report: true
            }
        );
    }
}
