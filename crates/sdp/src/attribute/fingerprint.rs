//! Which certificate the peer will show: `fingerprint`.

use super::value_attribute;
use crate::error::{Fault, ValueError};
use crate::token;
use std::fmt;
use std::str::FromStr;

/// A hash over a certificate in DER (RFC 8122 §5).
///
/// ```text
/// fingerprint-attribute = "fingerprint" ":" hash-func SP fingerprint
/// fingerprint           = 2UHEX *(":" 2UHEX)
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The hash.
    pub function: HashFunction,
    /// Its value: as many bytes as the function gives.
    pub digest: Vec<u8>,
}

/// A hash function by its textual name (RFC 8122 §5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HashFunction {
    /// `sha-1`: 20 bytes. No longer to be relied upon.
    Sha1,
    /// `sha-224`: 28 bytes.
    Sha224,
    /// `sha-256`: 32 bytes.
    Sha256,
    /// `sha-384`: 48 bytes.
    Sha384,
    /// `sha-512`: 64 bytes.
    Sha512,
    /// Another, by its name in lower case.
    Other(String),
}

impl Fingerprint {
    /// A fingerprint.
    pub fn new(function: HashFunction, digest: impl Into<Vec<u8>>) -> Self {
        Self {
            function,
            digest: digest.into(),
        }
    }
}

impl HashFunction {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
            Self::Other(name) => name,
        }
    }

    /// How many bytes it gives, if it is one of the known ones.
    pub fn digest_len(&self) -> Option<usize> {
        match self {
            Self::Sha1 => Some(20),
            Self::Sha224 => Some(28),
            Self::Sha256 => Some(32),
            Self::Sha384 => Some(48),
            Self::Sha512 => Some(64),
            Self::Other(_) => None,
        }
    }
}

value_attribute!(Fingerprint, "fingerprint");

impl FromStr for Fingerprint {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let function: HashFunction = token::next(&mut fields, "fingerprint hash function")?.parse()?;
        let hex = token::next(&mut fields, "fingerprint")?;
        token::end(fields, "field after the fingerprint")?;
        let mut digest = Vec::with_capacity(hex.len().div_ceil(3));
        for pair in hex.split(':') {
            digest.push(byte(pair)?);
        }
        match function.digest_len() {
            Some(len) if digest.len() < len => Err(ValueError::new("fingerprint", Fault::TooShort)),
            Some(len) if digest.len() > len => Err(ValueError::new("fingerprint", Fault::TooLong)),
            _ => Ok(Self { function, digest }),
        }
    }
}

/// Two hexadecimal digits. The RFC wants capitals, and peers have sent small ones.
fn byte(hex: &str) -> Result<u8, ValueError> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    match hex.as_bytes() {
        &[high, low] => digit(high).zip(digit(low)),
        _ => None,
    }
    .and_then(|(high, low)| u8::try_from(high << 4 | low).ok())
    .ok_or(ValueError::malformed("fingerprint"))
}

impl FromStr for HashFunction {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // RFC 8122 §5: the names are case-insensitive, for plain ABNF strings are.
        let name = token::token(text, "fingerprint hash function")?.to_ascii_lowercase();
        Ok(match name.as_str() {
            "sha-1" => Self::Sha1,
            "sha-224" => Self::Sha224,
            "sha-256" => Self::Sha256,
            "sha-384" => Self::Sha384,
            "sha-512" => Self::Sha512,
            _ => Self::Other(name),
        })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

        write!(f, "{} ", self.function)?;
        let mut text = String::with_capacity(3 * self.digest.len());
        for &byte in &self.digest {
            if !text.is_empty() {
                text.push(':');
            }
            text.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
        }
        f.write_str(&text)
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn fingerprints() {
        round_trips::<Fingerprint>(&[
            "fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB",
            "fingerprint:sha-256 8A:06:1B:3D:53:29:CA:DB:E4:25:BD:87:86:28:54:F1:D2:02:64:7B:18:13:FC:81:24:66:50:73:2A:\
             79:C9:39",
            "fingerprint:md5 00:01",
        ]);
        fails(&[
            ("fingerprint:sha-256", "fingerprint is missing"),
            ("fingerprint:sha-1 4A:AD", "fingerprint is too short"),
            (
                "fingerprint:x 4A:AD B9",
                "field after the fingerprint should not be there",
            ),
            ("fingerprint:x 4A:A", "fingerprint is malformed"),
            ("fingerprint:x 4A:+1", "fingerprint is malformed"),
            ("fingerprint:x 4A::AD", "fingerprint is malformed"),
        ]);
    }

    #[test]
    fn every_known_function_has_its_length() {
        let functions = ["sha-1", "sha-224", "sha-256", "sha-384", "sha-512"];
        for (name, len) in functions.into_iter().zip([20, 28, 32, 48, 64]) {
            let function: HashFunction = name.parse().unwrap();
            let fingerprint = Fingerprint::new(function, vec![0xA5; len]);
            assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint.clone()));
            let longer = format!("{fingerprint}:00");
            assert_eq!(
                longer.parse::<Fingerprint>(),
                Err(ValueError::new("fingerprint", Fault::TooLong))
            );
        }
    }

    #[test]
    fn case_does_not_count() {
        let small: Fingerprint = "SHA-1 4a:ad:b9:b1:3f:82:18:3b:54:02:12:df:3e:5d:49:6b:19:e5:7c:ab"
            .parse()
            .unwrap();
        assert_eq!(
            small.to_string(),
            "sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB"
        );
    }
}
