//! Sending: what waits ([`send_queue`], in the order of [`scheduler`]), what is in flight ([`outstanding`], [`acknowledge`],
//! [`abandon`]), and how fast ([`congestion`], [`rto`]).

pub(crate) mod abandon;
pub(crate) mod acknowledge;
pub(crate) mod congestion;
pub(crate) mod missing;
pub(crate) mod outstanding;
pub(crate) mod rto;
pub(crate) mod scheduler;
pub(crate) mod send_queue;
