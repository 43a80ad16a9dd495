//! What the program has from its host: the time, and signals.

use std::time::Instant;

use tokio::sync::watch;

/// The program is a driver: it may ask for the time.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wish that the program ends: Ctrl-C, and where there are such things, SIGTERM.
#[derive(Clone)]
pub(crate) struct Interruption(watch::Receiver<bool>);

impl Interruption {
    /// Listens from now on: the first wish is told, the second ends the process.
    pub(crate) fn listen() -> Self {
        let (told, interruption) = watch::channel(false);
        let mut wishes = Wishes::new();
        tokio::spawn(async move {
            wishes.next().await;
            told.send_replace(true);
            wishes.next().await;
            // What a shell says of a program that Ctrl-C ended.
            std::process::exit(130);
        });
        Self(interruption)
    }

    /// Ready once somebody has wished it.
    pub(crate) async fn happened(&self) {
        let mut told = self.0.clone();
        if told.wait_for(|told| *told).await.is_err() {
            // Nobody listens any more: the runtime ends.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
struct Wishes([Option<tokio::signal::unix::Signal>; 2]);

#[cfg(unix)]
impl Wishes {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        // Without a handler the program ends with its process.
        Self([SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok()))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }
}

#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}

#[cfg(not(unix))]
struct Wishes;

#[cfg(not(unix))]
impl Wishes {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
