//! Audio and video: what was agreed on ([`agreed`]), in the W3C's words ([`parameters`]), and the engine that obeys it.

#[allow(dead_code)]
pub(crate) mod agreed;
pub(crate) mod parameters;
