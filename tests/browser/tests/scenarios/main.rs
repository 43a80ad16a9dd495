//! Browsers against Rust: one page, and here one function, a scenario; each runs in Chromium and in Firefox.
//!
//! A scenario is told which browser, opens its page, and plays the Rust side. See [`session::Session`].

// Real browsers live in real time.
#![allow(clippy::disallowed_methods)]

mod bulk;
mod channels;
mod closing;
mod connecting;
mod handshake;
mod media;
mod messages;
mod relay;
mod renegotiation;
mod session;
mod statistics;
mod tcp;
mod two_trips;
mod vanishing;

use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::time::{sleep, timeout};

/// Makes two tests of each scenario; after `; only chromium:`, one.
macro_rules! scenarios {
    ($($name:ident)* $(; only chromium: $($lone:ident)*)?) => {
        mod chromium {
            $(#[test] fn $name() { $crate::run(super::$name(peerline_browser_tests::Browser::Chromium)); })*
            $($(#[test] fn $lone() { $crate::run(super::$lone(peerline_browser_tests::Browser::Chromium)); })*)?
        }
        mod firefox {
            $(#[test] fn $name() { $crate::run(super::$name(peerline_browser_tests::Browser::Firefox)); })*
        }
    };
}
pub(crate) use scenarios;

/// The longest scenario waits half a minute for consent to expire.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a scenario to its end, and checks that nothing is left of its connections.
///
/// The scenario itself runs on this thread, and may block it while a page works; connections live on other threads.
fn run(scenario: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads can be had");
    runtime.block_on(async {
        timeout(LIMIT, scenario).await.expect("the scenario comes to its end");
        for _ in 0..500 {
            if tasks() == 0 {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{} tasks outlive their connections", tasks());
    });
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
