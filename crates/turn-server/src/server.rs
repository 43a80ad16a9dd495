//! [`TurnServer`]: the handle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerline_turn::Server;
use peerline_turn::server::{Log, Users};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::admission::Admission;
use crate::driver::{Driver, Input};
use crate::listeners::Listeners;
use crate::relays::Relays;
use crate::streams::{self, Reception};
use crate::{BindError, Config, Stats};

/// How many inputs of streams wait for the driver; then they wait.
const INPUTS: usize = 1024;

/// A TURN and STUN server that runs. Dropping it ends it at once; [`shut_down`](Self::shut_down) does so with grace.
///
/// - Where it is: [`addresses`](Self::addresses), [`tls_addresses`](Self::tls_addresses).
/// - What happens: [`next_log`](Self::next_log), [`stats`](Self::stats).
#[derive(Debug)]
pub struct TurnServer {
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    inputs: mpsc::Sender<Input>,
    log: Mutex<mpsc::Receiver<Log>>,
    driver: JoinHandle<()>,
}

impl TurnServer {
    /// Binds all sockets, and serves these users from then on.
    ///
    /// # Errors
    /// [`BindError`]: what of the configuration cannot be.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub fn bind(mut config: Config, users: impl Users + 'static) -> Result<Self, BindError> {
        let Listeners { udp, tcp, tls } = Listeners::bind(&config)?;
        let relays = Relays::new(&mut config)?;
        let address = |listener: &tokio::net::TcpListener| listener.local_addr().ok();
        let addresses = tcp.iter().filter_map(address).collect();
        let tls_addresses = tls.iter().filter_map(address).collect();
        let (inputs, received) = mpsc::channel(INPUTS);
        let (log, news) = mpsc::channel(config.turn.limits.max_log.max(1));
        let admission = Arc::new(Admission::new(config.streams));
        let reception = Reception {
            inputs: inputs.clone(),
            admission: Arc::clone(&admission),
            limits: config.streams,
        };
        let machine = Server::new(config.turn, users);
        let mut driver = Driver::new(machine, udp, relays, received, log, reception.clone());
        for listener in tcp {
            driver.spawn(streams::accept(listener, None, reception.clone()));
        }
        for listener in tls {
            let acceptor = config.tls.clone().map(TlsAcceptor::from);
            driver.spawn(streams::accept(listener, acceptor, reception.clone()));
        }
        Ok(Self {
            addresses,
            tls_addresses,
            inputs,
            log: Mutex::new(news),
            driver: tokio::spawn(driver.run()),
        })
    }

    /// Where it listens by UDP and TCP, in the order of [`Config::listen`].
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens by TLS, in the order of [`Config::listen_tls`].
    #[must_use]
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// News for the log; `None` once it has ended. What nobody asks for is counted only.
    pub async fn next_log(&self) -> Option<Log> {
        self.log.lock().await.recv().await
    }

    /// What was counted; `None` once it has ended.
    pub async fn stats(&self) -> Option<Stats> {
        let (answer, stats) = oneshot::channel();
        self.inputs.send(Input::Stats(answer)).await.ok()?;
        stats.await.ok()
    }

    /// Makes no allocation from now on, and ends once there are none, or after `grace`.
    pub async fn shut_down(&self, grace: Duration) {
        let (done, ended) = oneshot::channel();
        if self.inputs.send(Input::ShutDown(grace, done)).await.is_ok() {
            // An error says that it has ended, too.
            let _ = ended.await;
        }
    }
}

impl Drop for TurnServer {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
