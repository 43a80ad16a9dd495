//! Drives headless Chromium and Firefox as WebRTC peers, with no driver program in between.
//!
//! * [`Page`]: a browser with one page, opened from `pages/` by a server on localhost; evaluates JavaScript in it.
//! * `chromium`: the Chrome DevTools Protocol over a pipe. `firefox`: Marionette over TCP.
//! * `process`: a browser never outlives its test, however that ends, and leaves no profile behind.
//!
//! What the pages share is `pages/lab.js`. The scenarios themselves lie in `tests/`.

// Real browsers live in real time.
#![allow(clippy::disallowed_methods)]

mod chromium;
mod firefox;
mod page;
mod process;
mod server;
mod wire;

pub use page::{Browser, Page, Setup};
pub use server::url_of;

/// Why something could not be done with a browser: for a person to read, since a test can only fail on it.
pub type Result<T> = std::result::Result<T, String>;
