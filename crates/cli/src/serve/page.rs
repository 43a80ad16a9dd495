//! The page, embedded in the program: no build step, nothing to install beside it.

use axum::http::header;
use axum::response::{IntoResponse, Response};

pub(super) const INDEX: &str = include_str!("../page/index.html");
pub(super) const STYLE: &str = include_str!("../page/style.css");
pub(super) const APP: &str = include_str!("../page/app.js");
pub(super) const SHA256: &str = include_str!("../page/sha256.js");

/// One embedded file. Browsers ask again each time, so that a new program never meets an old page.
pub(super) async fn file(content: &'static str, content_type: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        content,
    )
        .into_response()
}
