//! `/metrics`, for Prometheus.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use peerline_turn_server::TurnServer;
use tokio::sync::{mpsc, oneshot};

use super::Failure;

/// Where counters are asked for.
pub(super) struct Listener {
    listener: tokio::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub(super) async fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let refused = |error| format!("the address for metrics, {address}, cannot be used: {error}");
        let listener = tokio::net::TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the server ends.
    pub(super) async fn serve(self, server: &TurnServer) -> Result<(), Failure> {
        let (ask, mut asked) = mpsc::channel::<oneshot::Sender<String>>(16);
        let ask = Arc::new(ask);
        let metrics = get(move || {
            let ask = Arc::clone(&ask);
            async move {
                let (answer, text) = oneshot::channel();
                let _ = ask.send(answer).await;
                let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
                (headers, text.await.unwrap_or_default()).into_response()
            }
        });
        let answer = async {
            while let Some(answer) = asked.recv().await {
                let stats = server.stats().await.unwrap_or_default();
                let _ = answer.send(stats.prometheus());
            }
        };
        tokio::select! {
            outcome = axum::serve(self.listener, Router::new().route("/metrics", metrics)) => Ok(outcome?),
            () = answer => Ok(()),
        }
    }
}
