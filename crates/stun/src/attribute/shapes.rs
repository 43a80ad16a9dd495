//! The shapes that several attributes share: a number, a text, bytes, nothing. Each macro declares the struct and both its
//! directions.

/// An attribute that is one number in network order.
macro_rules! number_attribute {
    ($(#[$doc:meta])* $name:ident($int:ty), $attribute_type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $int);

        impl<'a> $crate::Attribute<'a> for $name {
            const TYPE: $crate::AttributeType = $crate::AttributeType::$attribute_type;

            fn decode(value: &'a [u8], _: $crate::TransactionId) -> Result<Self, $crate::AttributeError> {
                $crate::attribute::exactly(value).map(<$int>::from_be_bytes).map(Self)
            }

            fn encode(self, _: $crate::TransactionId, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0.to_be_bytes());
            }
        }
    };
}

/// An attribute that is one text of at most [`MAX_TEXT`](super::MAX_TEXT) bytes.
macro_rules! text_attribute {
    ($(#[$doc:meta])* $name:ident, $attribute_type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name<'a>(pub &'a str);

        impl<'a> $crate::Attribute<'a> for $name<'a> {
            const TYPE: $crate::AttributeType = $crate::AttributeType::$attribute_type;

            fn decode(value: &'a [u8], _: $crate::TransactionId) -> Result<Self, $crate::AttributeError> {
                $crate::attribute::text(value, $crate::attribute::MAX_TEXT).map(Self)
            }

            fn encode(self, _: $crate::TransactionId, out: &mut Vec<u8>) {
                out.extend_from_slice(self.0.as_bytes());
            }
        }
    };
}

/// An attribute that is any bytes.
macro_rules! bytes_attribute {
    ($(#[$doc:meta])* $name:ident, $attribute_type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name<'a>(pub &'a [u8]);

        impl<'a> $crate::Attribute<'a> for $name<'a> {
            const TYPE: $crate::AttributeType = $crate::AttributeType::$attribute_type;

            fn decode(value: &'a [u8], _: $crate::TransactionId) -> Result<Self, $crate::AttributeError> {
                Ok(Self(value))
            }

            fn encode(self, _: $crate::TransactionId, out: &mut Vec<u8>) {
                out.extend_from_slice(self.0);
            }
        }
    };
}

/// An attribute without a value: that it is there says it all.
macro_rules! empty_attribute {
    ($(#[$doc:meta])* $name:ident, $attribute_type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name;

        impl<'a> $crate::Attribute<'a> for $name {
            const TYPE: $crate::AttributeType = $crate::AttributeType::$attribute_type;

            fn decode(value: &'a [u8], _: $crate::TransactionId) -> Result<Self, $crate::AttributeError> {
                $crate::attribute::exactly::<0>(value).map(|_| Self)
            }

            fn encode(self, _: $crate::TransactionId, _: &mut Vec<u8>) {}
        }
    };
}

pub(super) use {bytes_attribute, empty_attribute, number_attribute, text_attribute};
