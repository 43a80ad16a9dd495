//! Telephone events (RFC 4733), which are DTMF digits most of all: [`Report`] is what a payload says, [`EventSender`] makes
//! the packets of an event, [`EventReceiver`] makes events of packets.

mod receiver;
mod sender;

use super::PayloadError;

pub use receiver::{EventReceiver, News};
pub use sender::{Busy, EventPacket, EventSender};

/// An event (RFC 4733 §3.2, table 3, and the registry of IANA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event(pub u8);

impl Event {
    /// The digit 0; the others follow up to 9.
    pub const DIGIT_0: Self = Self(0);
    /// `*`
    pub const STAR: Self = Self(10);
    /// `#`
    pub const POUND: Self = Self(11);
    /// The letter A; B, C and D follow.
    pub const A: Self = Self(12);
    /// The letter D, the last of DTMF.
    pub const D: Self = Self(15);
    /// Flash.
    pub const FLASH: Self = Self(16);

    /// The DTMF event of a key: 0 to 9, `*`, `#`, and A to D in either case.
    #[must_use]
    pub fn from_key(key: char) -> Option<Self> {
        Some(Self(match key {
            '0'..='9' => key as u8 - b'0',
            '*' => 10,
            '#' => 11,
            'A'..='D' => key as u8 - b'A' + 12,
            'a'..='d' => key as u8 - b'a' + 12,
            _ => return None,
        }))
    }

    /// The key of a DTMF event.
    #[must_use]
    pub fn key(self) -> Option<char> {
        Some(match self.0 {
            digit @ 0..=9 => char::from(b'0' + digit),
            10 => '*',
            11 => '#',
            letter @ 12..=15 => char::from(b'A' + letter - 12),
            _ => return None,
        })
    }
}

/// What a packet says about an event (RFC 4733 §2.3).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     event     |E|R| volume    |          duration             |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Report {
    /// Which.
    pub event: Event,
    /// E: it has ended.
    pub end: bool,
    /// The power of the tone in dBm0 without its sign: 0 to 63, and 0 is the loudest.
    pub volume: u8,
    /// How long it has lasted since the packet's timestamp, in units of that.
    pub duration: u16,
}

const E: u8 = 0x80;
const VOLUME: u8 = 0x3f;

impl Report {
    /// The reports of a payload: usually one; more if contiguous events are packed together (RFC 4733 §2.5.1.5).
    ///
    /// # Errors
    /// [`PayloadError::Truncated`] unless there is one or more, and nothing else.
    pub fn parse(payload: &[u8]) -> Result<impl Iterator<Item = Self>, PayloadError> {
        let (reports, []) = payload.as_chunks() else {
            return Err(PayloadError::Truncated);
        };
        if reports.is_empty() {
            return Err(PayloadError::Truncated);
        }
        Ok(reports.iter().map(|&[event, flags, high, low]| Self {
            event: Event(event),
            end: flags & E != 0,
            volume: flags & VOLUME,
            duration: u16::from_be_bytes([high, low]),
        }))
    }

    /// The payload of one report. A volume past its range loses its upper bits.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        let end = if self.end { E } else { 0 };
        [self.event.0, end | (self.volume & VOLUME), high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives() {
        let report = Report {
            event: Event::POUND,
            end: true,
            volume: 10,
            duration: 0x0640,
        };
        assert_eq!(report.to_bytes(), [11, 0x8a, 0x06, 0x40]);
        assert!(Report::parse(&report.to_bytes()).unwrap().eq([report]));
        // R is reserved: "the receiver MUST ignore it."
        assert!(Report::parse(&[11, 0xca, 0x06, 0x40]).unwrap().eq([report]));
        assert_eq!(Report::parse(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap().count(), 2);
        for len in [0, 1, 3, 5, 7] {
            assert_eq!(Report::parse(&[0; 8][..len]).err(), Some(PayloadError::Truncated));
        }
    }

    #[test]
    fn keys_are_events() {
        for (code, key) in "0123456789*#ABCD".chars().enumerate() {
            assert_eq!(Event::from_key(key), Some(Event(code as u8)));
            assert_eq!(Event(code as u8).key(), Some(key));
        }
        assert_eq!(Event::from_key('d'), Some(Event::D));
        assert_eq!((Event::from_key(','), Event::FLASH.key()), (None, None));
    }
}
