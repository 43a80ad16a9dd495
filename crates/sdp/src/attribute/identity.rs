//! Who the peer is, vouched for by an identity provider: `identity`.

use super::value_attribute;
use crate::base64;
use crate::error::ValueError;
use crate::token;
use std::fmt;
use std::str::FromStr;

/// An identity assertion (RFC 8827 §5), at session level.
///
/// ```text
/// identity-assertion = identity-assertion-value *(SP identity-extension)
/// identity-extension = extension-name [ "=" extension-value ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The assertion, in Base64.
    pub assertion: String,
    /// What follows it.
    pub extensions: Vec<IdentityExtension>,
}

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityExtension {
    /// Its name.
    pub name: String,
    /// Its value, if it has one.
    pub value: Option<String>,
}

value_attribute!(Identity, "identity");

impl FromStr for Identity {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let assertion = token::next(&mut fields, "identity assertion")?;
        if base64::decode(assertion).is_none() {
            return Err(ValueError::malformed("identity assertion"));
        }
        let extensions = fields.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self {
            assertion: assertion.to_owned(),
            extensions,
        })
    }
}

impl FromStr for IdentityExtension {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (name, value) = token::name_value(text, "identity extension")?;
        Ok(Self { name, value })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.assertion)?;
        self.extensions
            .iter()
            .try_for_each(|extension| write!(f, " {extension}"))
    }
}

impl fmt::Display for IdentityExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        token::write_name_value(f, &self.name, self.value.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn identities() {
        round_trips::<Identity>(&[
            "identity:eyJpZHAiOnsiZG9tYWluIjoiZXhhbXBsZS5vcmcifX0=",
            "identity:AAAA x=1 y",
        ]);
        fails(&[
            ("identity:", "identity assertion is missing"),
            ("identity:A", "identity assertion is malformed"),
            ("identity:AAAA =1", "identity extension is missing"),
        ]);
    }
}
