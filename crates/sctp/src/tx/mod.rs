//! Sending: what waits ([`send_queue`], in the order of [`scheduler`], as far as [`admission`] lets it), what is in flight
//! ([`outstanding`], [`acknowledge`], [`abandon`]), what of it is lost ([`missing`], [`departures`], [`rack`], [`tail`],
//! [`rto`]), and how fast it may go ([`congestion`]).

pub(crate) mod abandon;
pub(crate) mod acknowledge;
pub(crate) mod admission;
pub(crate) mod congestion;
pub(crate) mod departures;
pub(crate) mod missing;
pub(crate) mod outstanding;
pub(crate) mod rack;
pub(crate) mod rto;
pub(crate) mod scheduler;
pub(crate) mod send_queue;
pub(crate) mod tail;
