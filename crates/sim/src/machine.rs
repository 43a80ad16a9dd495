//! [`Machine`]: the five verbs as a trait, so that tests can be generic over machines (the machines themselves are not).

use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use peerline_wire::{Datagram, FiveTuple, Transmit};

/// The five verbs. Wrap a machine with [`one_path!`](crate::one_path) or [`many_paths!`](crate::many_paths) rather than
/// writing this by hand.
pub trait Machine {
    /// What the machine reports.
    type Event: Debug;
    /// A datagram has arrived.
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram);
    /// Time has passed.
    fn handle_timeout(&mut self, now: Instant);
    /// Appends one datagram to `out`, or leaves it.
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit>;
    /// When `handle_timeout` is wanted next.
    fn poll_timeout(&self) -> Option<Instant>;
    /// The next piece of news.
    fn poll_event(&mut self) -> Option<Self::Event>;
}

impl<M: Machine + ?Sized> Machine for Box<M> {
    type Event = M::Event;
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        (**self).handle_datagram(now, datagram);
    }
    fn handle_timeout(&mut self, now: Instant) {
        (**self).handle_timeout(now);
    }
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        (**self).poll_transmit(now, out)
    }
    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }
    fn poll_event(&mut self) -> Option<Self::Event> {
        (**self).poll_event()
    }
}

/// The path of machines that know only one.
#[must_use]
pub fn only_path() -> FiveTuple {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    FiveTuple::udp(here, here)
}

/// Declares a newtype around a machine that knows one path (`handle_datagram(now, BytesMut)`, `poll_transmit(..) ->
/// Option<usize>`), which is a [`Machine`] and derefs to what it wraps:
/// `one_path! { struct Sctp(Association) -> Event; }`.
#[macro_export]
macro_rules! one_path {
    ($(#[$meta:meta])* $vis:vis struct $name:ident($inner:ty) -> $event:ty;) => {
        $crate::newtype! { $(#[$meta])* $vis struct $name($inner); }

        impl $crate::Machine for $name {
            type Event = $event;
            fn handle_datagram(
                &mut self,
                now: ::std::time::Instant,
                datagram: $crate::reexports::peerline_wire::Datagram,
            ) {
                self.0.handle_datagram(now, datagram.payload);
            }
            fn poll_transmit(
                &mut self,
                now: ::std::time::Instant,
                out: &mut ::std::vec::Vec<u8>,
            ) -> ::std::option::Option<$crate::reexports::peerline_wire::Transmit> {
                let len = self.0.poll_transmit(now, out)?;
                let five_tuple = $crate::only_path();
                Some($crate::reexports::peerline_wire::Transmit { five_tuple, ecn: None, len })
            }
            $crate::same_verbs! { $event }
        }
    };
}

/// Declares a newtype around a machine that knows addresses (`handle_datagram(now, Datagram)`, `poll_transmit(..) ->
/// Option<Transmit>`), which is a [`Machine`] and derefs to what it wraps:
/// `many_paths! { struct Ice(Agent) -> Event; }`.
#[macro_export]
macro_rules! many_paths {
    ($(#[$meta:meta])* $vis:vis struct $name:ident($inner:ty) -> $event:ty;) => {
        $crate::newtype! { $(#[$meta])* $vis struct $name($inner); }

        impl $crate::Machine for $name {
            type Event = $event;
            fn handle_datagram(
                &mut self,
                now: ::std::time::Instant,
                datagram: $crate::reexports::peerline_wire::Datagram,
            ) {
                self.0.handle_datagram(now, datagram);
            }
            fn poll_transmit(
                &mut self,
                now: ::std::time::Instant,
                out: &mut ::std::vec::Vec<u8>,
            ) -> ::std::option::Option<$crate::reexports::peerline_wire::Transmit> {
                self.0.poll_transmit(now, out)
            }
            $crate::same_verbs! { $event }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! newtype {
    ($(#[$meta:meta])* $vis:vis struct $name:ident($inner:ty);) => {
        $(#[$meta])*
        $vis struct $name($vis $inner);

        impl ::std::ops::Deref for $name {
            type Target = $inner;
            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        impl ::std::ops::DerefMut for $name {
            fn deref_mut(&mut self) -> &mut $inner {
                &mut self.0
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! same_verbs {
    ($event:ty) => {
        fn handle_timeout(&mut self, now: ::std::time::Instant) {
            self.0.handle_timeout(now);
        }
        fn poll_timeout(&self) -> ::std::option::Option<::std::time::Instant> {
            self.0.poll_timeout()
        }
        fn poll_event(&mut self) -> ::std::option::Option<$event> {
            self.0.poll_event()
        }
    };
}
