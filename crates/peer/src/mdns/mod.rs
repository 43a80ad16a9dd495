//! Names in `.local` (RFC 6762): others' are resolved, ours announced.

mod names;
mod resolver;
mod responder;

pub(crate) use resolver::resolve;
pub(crate) use responder::{Announced, announce};
