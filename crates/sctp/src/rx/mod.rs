//! Receiving: which TSNs have arrived ([`tsn_tracker`]), and messages put together and in order ([`reassembly`]).

pub(crate) mod reassembly;
pub(crate) mod tsn_tracker;
