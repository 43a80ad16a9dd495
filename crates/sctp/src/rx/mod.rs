//! Receiving: which TSNs have arrived ([`tsn_tracker`]), messages put together ([`fragments`]) and in order
//! ([`reassembly`]).

pub(crate) mod buffers;
pub(crate) mod fragments;
pub(crate) mod reassembly;
pub(crate) mod tsn_tracker;
