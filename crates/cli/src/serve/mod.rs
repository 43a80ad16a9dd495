//! `peerline serve`: the page, and two ways to reach the echo peer behind it.

use std::io::Write;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::routing::get;

mod echo;
mod page;
mod reply;
mod whip;
mod ws;

/// What a client may send in one request: a description with hundreds of candidates fits many times.
const MAX_BODY: usize = 256 * 1024;

/// Serves until interrupted.
pub(crate) async fn run(listen: SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error} (choose another address with --listen)"))?;
    let address = listener.local_addr()?;
    println!("Peerline is at http://{address}/");
    println!("Open it in a browser: the page connects to the echo peer in this process. Ctrl-C ends it.");
    std::io::stdout().flush()?;
    axum::serve(listener, router())
        .with_graceful_shutdown(interrupted())
        .await?;
    Ok(())
}

/// Every interface of the program, as documented in the README.
fn router() -> Router {
    Router::new()
        .route("/", get(|| page::file(page::INDEX, "text/html; charset=utf-8")))
        .route("/style.css", get(|| page::file(page::STYLE, "text/css; charset=utf-8")))
        .route(
            "/app.js",
            get(|| page::file(page::APP, "text/javascript; charset=utf-8")),
        )
        .route("/ws", get(ws::upgrade))
        .merge(whip::router())
        .fallback(|| async { reply::error(axum::http::StatusCode::NOT_FOUND, "no such resource: the page is at /") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a signal handler the server ends with its process.
        std::future::pending::<()>().await;
    }
}

/// The media types that the interfaces speak.
const SDP: &str = "application/sdp";
const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// True if the request's `Content-Type` is `expected`, parameters aside.
fn has_content_type(headers: &header::HeaderMap, expected: &str) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case(expected)
}
