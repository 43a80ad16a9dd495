//! Serial numbers (RFC 1982): they wrap, so they have a distance but no order.

/// Declares a serial number of one width. It has no `Ord`, on purpose: `a < b` is meaningless where numbers wrap.
macro_rules! serial {
    ($name:ident, $uint:ty, $int:ty, $bits:literal) => {
        #[doc = concat!("A ", $bits, "-bit serial number (RFC 1982). It wraps, and has no `Ord`.")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub $uint);

        impl $name {
            /// True if this number comes before `other` (RFC 1982 §3.2). Numbers half the space apart do not.
            #[must_use]
            pub fn precedes(self, other: Self) -> bool {
                self.distance_to(other) > 0
            }

            /// How many steps lead from this number to `other`; negative if `other` comes first.
            #[must_use]
            pub fn distance_to(self, other: Self) -> $int {
                other.0.wrapping_sub(self.0) as $int
            }

            /// The number `steps` further on, around the wrap. (Not `std::ops::Add`: two serial numbers have no sum.)
            #[allow(clippy::should_implement_trait)]
            #[must_use]
            pub fn add(self, steps: $uint) -> Self {
                Self(self.0.wrapping_add(steps))
            }

            /// The number `steps` before, around the wrap.
            #[allow(clippy::should_implement_trait)]
            #[must_use]
            pub fn sub(self, steps: $uint) -> Self {
                Self(self.0.wrapping_sub(steps))
            }

            /// The number after this one.
            #[must_use]
            pub fn next(self) -> Self {
                self.add(1)
            }
        }
    };
}

serial!(Serial16, u16, i16, 16);
serial!(Serial32, u32, i32, 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let last = Serial32(u32::MAX);
        assert!(last.precedes(last.next()));
        assert!(!last.next().precedes(last));
        assert_eq!(last.distance_to(Serial32(4)), 5);
        assert_eq!(Serial16(3).distance_to(Serial16(u16::MAX)), -4);
        assert_eq!(Serial16(3).sub(4), Serial16(u16::MAX));
    }

    #[test]
    fn a_number_does_not_precede_itself_or_its_antipode() {
        assert!(!Serial16(7).precedes(Serial16(7)));
        assert!(!Serial16(0).precedes(Serial16(0x8000)));
        assert!(!Serial16(0x8000).precedes(Serial16(0)));
    }
}
