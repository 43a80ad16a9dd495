//! Attributes (`a=` lines) as types.
//!
//! Each type is named after its attribute, reads with `FromStr` and writes with `Display` what follows the colon, and
//! both are inverses. A property attribute, which has no value, is a unit struct. [`AttributeValue`] adds the name.

mod candidate;
mod direction;
mod extmap;
mod fingerprint;
mod fmtp;
mod grouping;
mod ice;
mod identity;
mod imageattr;
mod msid;
mod rate;
mod rid;
mod rtcp;
mod rtcp_fb;
mod rtpmap;
mod sctp;
mod setup;
mod simulcast;
mod ssrc;

pub use candidate::{
    Candidate, CandidateAddress, CandidateKind, EndOfCandidates, RemoteCandidate, RemoteCandidates, TcpType,
};
pub use direction::Direction;
pub use extmap::{ExtMap, ExtMapAllowMixed};
pub use fingerprint::{Fingerprint, HashFunction};
pub use fmtp::Fmtp;
pub use grouping::{BundleOnly, Group, GroupSemantics, Mid};
pub use ice::{IceLite, IceMismatch, IceOptions, IcePacing, IcePwd, IceUfrag};
pub use identity::{Identity, IdentityExtension};
pub use imageattr::ImageAttr;
pub use msid::{Msid, MsidSemantic};
pub use rate::{FrameRate, MaxPtime, Ptime};
pub use rid::{Rid, RidDirection, RidRestriction};
pub use rtcp::{Cryptex, Rtcp, RtcpAddress, RtcpMux, RtcpMuxOnly, RtcpRsize};
pub use rtcp_fb::RtcpFb;
pub use rtpmap::{PayloadType, RtpMap};
pub use sctp::{MaxMessageSize, SctpInit, SctpMap, SctpPort};
pub use setup::{Setup, TlsId};
pub use simulcast::{Simulcast, SimulcastStream};
pub use ssrc::{Ssrc, SsrcGroup};

use crate::error::{Fault, ValueError};
use std::fmt;

/// A type that is one attribute, or a family of them. Implement it to read and write an attribute this crate does not
/// know with [`Section`](crate::Section)'s methods.
pub trait AttributeValue: Sized {
    /// The name it has in SDP; several for a family like the directions.
    const NAMES: &'static [&'static str];

    /// Reads what follows the colon; `name` is one of `NAMES`.
    fn from_attribute(name: &str, value: Option<&str>) -> Result<Self, ValueError>;

    /// Writes `name` or `name:value`.
    fn fmt_attribute(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// `name` or `name:value`, as after `a=`. For a [`Candidate`] this is what the W3C's `RTCIceCandidate.candidate`
    /// holds.
    fn to_attribute(&self) -> String {
        Written(self).to_string()
    }
}

/// An attribute as it stands after `a=`.
pub(crate) struct Written<'a, T>(pub(crate) &'a T);

impl<T: AttributeValue> fmt::Display for Written<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_attribute(f)
    }
}

/// Gives `AttributeValue` to a type that has `FromStr` and `Display`.
macro_rules! value_attribute {
    ($type:ty, $name:literal) => {
        impl $crate::attribute::AttributeValue for $type {
            const NAMES: &'static [&'static str] = &[$name];

            fn from_attribute(_: &str, value: Option<&str>) -> Result<Self, $crate::ValueError> {
                const MISSING: $crate::ValueError = $crate::ValueError {
                    field: concat!("value of ", $name),
                    fault: $crate::Fault::Missing,
                };
                value.ok_or(MISSING)?.parse()
            }

            fn fmt_attribute(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($name, ":{}"), self)
            }
        }
    };
}

/// Defines a property attribute: one without a value.
macro_rules! property_attribute {
    ($(#[$doc:meta])* $type:ident, $name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $type;

        impl $crate::attribute::AttributeValue for $type {
            const NAMES: &'static [&'static str] = &[$name];

            fn from_attribute(_: &str, value: Option<&str>) -> Result<Self, $crate::ValueError> {
                match value {
                    None | Some("") => Ok(Self),
                    Some(_) => Err($crate::ValueError {
                        field: concat!("value of ", $name),
                        fault: $crate::Fault::Unexpected,
                    }),
                }
            }

            fn fmt_attribute(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($name)
            }
        }
    };
}

/// Defines an attribute that is one text.
macro_rules! text_attribute {
    ($(#[$doc:meta])* $type:ident, $name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $type(pub String);

        impl $type {
            /// From a text, unchecked.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        $crate::attribute::value_attribute!($type, $name);
    };
}

/// Defines an attribute that is one number, of any value its type can hold.
macro_rules! number_attribute {
    ($(#[$doc:meta])* $type:ident($number:ty), $name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $type(pub $number);

        impl std::str::FromStr for $type {
            type Err = $crate::ValueError;

            fn from_str(value: &str) -> Result<Self, $crate::ValueError> {
                $crate::token::number(value.trim_ascii(), $name).map(Self)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        $crate::attribute::value_attribute!($type, $name);
    };
}

pub(crate) use {number_attribute, property_attribute, text_attribute, value_attribute};

/// Defines [`Attribute`] from the types it may hold.
macro_rules! attributes {
    ($($type:ident),* $(,)?) => {
        /// Any attribute, as the type that its name calls for.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Attribute {
            $(#[doc = concat!("See [`", stringify!($type), "`].")] $type($type),)*
            /// One this crate has no type for.
            Other {
                /// Its name, as it was written.
                name: String,
                /// What follows the colon, if there is one.
                value: Option<String>,
            },
        }

        impl Attribute {
            /// Reads an attribute. Fails if the name is known and the value is not as it should be.
            pub fn parse(name: &str, value: Option<&str>) -> Result<Self, ValueError> {
                $(for known in <$type>::NAMES {
                    if name.eq_ignore_ascii_case(known) {
                        return <$type>::from_attribute(known, value).map(Self::$type);
                    }
                })*
                Ok(Self::Other { name: name.to_owned(), value: value.map(str::to_owned) })
            }
        }

        /// `name` or `name:value`, as after `a=`.
        impl fmt::Display for Attribute {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$type(value) => value.fmt_attribute(f),)*
                    Self::Other { name, value: None } => f.write_str(name),
                    Self::Other { name, value: Some(value) } => write!(f, "{name}:{value}"),
                }
            }
        }

        $(impl From<$type> for Attribute {
            fn from(value: $type) -> Self {
                Self::$type(value)
            }
        })*
    };
}

// The frequent ones first, for names are compared in this order.
attributes! {
    RtcpFb, RtpMap, Fmtp, Candidate, ExtMap, Ssrc, SsrcGroup, Mid, IceUfrag, IcePwd, IceOptions, Fingerprint, Setup,
    Direction, Group, Msid, MsidSemantic, Rtcp, RtcpMux, RtcpMuxOnly, RtcpRsize, EndOfCandidates, BundleOnly,
    ExtMapAllowMixed, SctpPort, MaxMessageSize, SctpMap, SctpInit, IceLite, IceMismatch, IcePacing, RemoteCandidates,
    TlsId, Rid, Simulcast, Ptime, MaxPtime, FrameRate, ImageAttr, Cryptex, Identity,
}

impl std::str::FromStr for Attribute {
    type Err = ValueError;

    /// Reads `name` or `name:value`.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match name {
            "" => Err(ValueError::new("attribute name", Fault::Missing)),
            name => Self::parse(name, value),
        }
    }
}

/// Each text parses as a `T`, is written as it was, and that parses to the same again.
#[cfg(test)]
pub(crate) fn round_trips<T: AttributeValue + PartialEq + fmt::Debug>(texts: &[&str])
where
    Attribute: From<T>,
{
    for text in texts {
        let (name, value) = text
            .split_once(':')
            .map_or((*text, None), |(name, value)| (name, Some(value)));
        assert!(T::NAMES.contains(&name), "{text}");
        let value = T::from_attribute(name, value).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(&value.to_attribute(), text);
        assert_eq!(value.to_attribute().parse(), Ok(Attribute::from(value)));
    }
}

/// Each text fails to parse, and the error reads like this.
#[cfg(test)]
pub(crate) fn fails(cases: &[(&str, &str)]) {
    for (text, words) in cases {
        let error = text.parse::<Attribute>().expect_err(text);
        assert_eq!(&error.to_string(), words, "{text:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_attribute_survives() {
        for text in [
            "x-google-flag:conference",
            "x-nothing",
            "x-empty:",
            "rtcp-xr:rcvr-rtt=all",
        ] {
            let attribute: Attribute = text.parse().unwrap();
            assert!(matches!(attribute, Attribute::Other { .. }));
            assert_eq!(attribute.to_string(), text);
        }
    }

    #[test]
    fn names_have_no_case() {
        assert_eq!("ICE-Ufrag:abcd".parse(), Ok(Attribute::from(IceUfrag::new("abcd"))));
    }

    #[test]
    fn a_property_has_no_value_and_a_value_attribute_has_one() {
        fails(&[
            ("ice-lite:yes", "value of ice-lite should not be there"),
            ("mid", "value of mid is missing"),
            (":x", "attribute name is missing"),
        ]);
        round_trips::<IceLite>(&["ice-lite"]);
    }
}
