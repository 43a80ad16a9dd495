//! The page, embedded in the program: no build step, nothing to install beside it.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [(&str, &str, &str); 6] = [
    ("/", HTML, include_str!("../page/index.html")),
    ("/style.css", CSS, include_str!("../page/style.css")),
    ("/app.js", JAVASCRIPT, include_str!("../page/app.js")),
    ("/media.js", JAVASCRIPT, include_str!("../page/media.js")),
    ("/plot.js", JAVASCRIPT, include_str!("../page/plot.js")),
    ("/sha256.js", JAVASCRIPT, include_str!("../page/sha256.js")),
];

/// The page's files, and `/about.json`, which says what the peer behind it does.
pub(super) fn router(role: &'static str, text: &str) -> Router {
    let about = serde_json::json!({ "role": role, "text": text }).to_string();
    let router = Router::new().route(
        "/about.json",
        get(move || async move { reply(about.clone(), "application/json") }),
    );
    FILES.into_iter().fold(router, |router, (path, content_type, content)| {
        router.route(path, get(move || async move { reply(content, content_type) }))
    })
}

/// One file. Browsers ask again each time, so that a new program never meets an old page.
fn reply(content: impl IntoResponse, content_type: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        content,
    )
        .into_response()
}
