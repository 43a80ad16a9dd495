//! NAT behaviour discovery (RFC 5780 §7): CHANGE-REQUEST, RESPONSE-PORT, PADDING. RESPONSE-ORIGIN and OTHER-ADDRESS are among
//! the [addresses](super::OtherAddress).

use super::shapes::bytes_attribute;
use super::{Attribute, AttributeType, exactly};
use crate::{AttributeError, TransactionId};

/// CHANGE-REQUEST (RFC 5780 §7.2): answer from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChangeRequest {
    /// From the other IP address.
    pub change_ip: bool,
    /// From the other port.
    pub change_port: bool,
}

impl<'a> Attribute<'a> for ChangeRequest {
    const TYPE: AttributeType = AttributeType::CHANGE_REQUEST;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let flags = u32::from_be_bytes(exactly(value)?);
        Ok(Self {
            change_ip: flags & 4 != 0,
            change_port: flags & 2 != 0,
        })
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        let flags = u32::from(self.change_ip) << 2 | u32::from(self.change_port) << 1;
        out.extend_from_slice(&flags.to_be_bytes());
    }
}

/// RESPONSE-PORT (RFC 5780 §7.5): the port to send the response to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResponsePort(pub u16);

impl<'a> Attribute<'a> for ResponsePort {
    const TYPE: AttributeType = AttributeType::RESPONSE_PORT;

    /// "RESPONSE-PORT is a 16-bit unsigned integer in network byte order followed by 2 bytes of padding": whether the
    /// length counts the padding is not said, so both are read and the four bytes of most implementations are written.
    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        match *value {
            [a, b] | [a, b, _, _] => Ok(Self(u16::from_be_bytes([a, b]))),
            _ => Err(AttributeError::WrongLength),
        }
    }

    fn encode(self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
    }
}

bytes_attribute! {
    /// PADDING (RFC 5780 §7.6): bytes that mean nothing, to make the datagram large enough for fragmentation.
    Padding, PADDING
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([0; 12]);

    #[test]
    fn change_request_flags_are_the_third_and_second_bit() {
        for (change_ip, change_port, last) in [(false, false, 0), (false, true, 2), (true, false, 4), (true, true, 6)] {
            let request = ChangeRequest { change_ip, change_port };
            let mut out = Vec::new();
            request.encode(ID, &mut out);
            assert_eq!(out, [0, 0, 0, last]);
            assert_eq!(ChangeRequest::decode(&out, ID), Ok(request));
        }
        assert_eq!(ChangeRequest::decode(&[6], ID), Err(AttributeError::WrongLength));
    }

    #[test]
    fn response_port_with_and_without_counted_padding() {
        assert_eq!(ResponsePort::decode(&[0x12, 0x34], ID), Ok(ResponsePort(0x1234)));
        assert_eq!(ResponsePort::decode(&[0x12, 0x34, 9, 9], ID), Ok(ResponsePort(0x1234)));
        assert_eq!(
            ResponsePort::decode(&[0x12, 0x34, 9], ID),
            Err(AttributeError::WrongLength)
        );
    }
}
