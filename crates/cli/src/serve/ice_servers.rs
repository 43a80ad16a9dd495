//! `GET /ice-servers`: the STUN and TURN servers for browsers that meet here, as `RTCConfiguration.iceServers` takes them.

use axum::http::header;
use axum::routing::get;
use axum::{Json, Router};
use peerline::IceServer;

/// None are known to the program.
pub(crate) fn router() -> Router {
    let servers = || async { ([(header::CACHE_CONTROL, "no-store")], Json(Vec::<IceServer>::new())) };
    Router::new().route("/ice-servers", get(servers))
}
