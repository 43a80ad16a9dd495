//! The page, embedded in the program: no build step, nothing to install beside it.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

static FILES: [(&str, &str, &str); 7] = [
    ("/", HTML, include_str!("../page/index.html")),
    ("/style.css", CSS, include_str!("../page/style.css")),
    ("/app.js", JAVASCRIPT, include_str!("../page/app.js")),
    ("/media.js", JAVASCRIPT, include_str!("../page/media.js")),
    ("/plot.js", JAVASCRIPT, include_str!("../page/plot.js")),
    ("/sha256.js", JAVASCRIPT, include_str!("../page/sha256.js")),
    ("/signalling.js", JAVASCRIPT, include_str!("../page/signalling.js")),
];

/// The page's files, and `/about.json`, which says what the peer behind it does.
pub(super) fn router(role: &'static str, text: &str) -> Router {
    let about = serde_json::json!({ "role": role, "text": text }).to_string();
    let router = Router::new().route(
        "/about.json",
        get(move || async move { reply(about.clone(), "application/json") }),
    );
    router.merge(files(&FILES))
}

const ROOM: &str = include_str!("../page/room.html");
static ROOM_FILES: [(&str, &str, &str); 3] = [
    ("/room.css", CSS, include_str!("../page/room.css")),
    ("/room.js", JAVASCRIPT, include_str!("../page/room.js")),
    ("/call.js", JAVASCRIPT, include_str!("../page/call.js")),
];

/// `/r/NAME`, where two browsers meet, and `/r/`, which finds a name.
pub(super) fn rooms() -> Router {
    let page = || get(|| async { reply(ROOM, HTML) });
    files(&ROOM_FILES).route("/r/", page()).route("/r/{name}", page())
}

const TRANSFER: &str = include_str!("../page/transfer.html");
static TRANSFER_FILES: [(&str, &str, &str); 3] = [
    ("/transfer.css", CSS, include_str!("../page/transfer.css")),
    ("/transfer.js", JAVASCRIPT, include_str!("../page/transfer.js")),
    (
        "/transfer-page.js",
        JAVASCRIPT,
        include_str!("../page/transfer-page.js"),
    ),
];

/// `/send` and `/receive`: files from and to browsers.
pub(super) fn transfer_pages() -> Router {
    let page = || get(|| async { reply(TRANSFER, HTML) });
    files(&TRANSFER_FILES).route("/send", page()).route("/receive", page())
}

/// The same, with all that they share with other pages.
pub(super) fn transfer() -> Router {
    let needed = FILES
        .iter()
        .filter(|(path, ..)| ["/style.css", "/sha256.js", "/signalling.js"].contains(path));
    needed.fold(transfer_pages(), |router, (path, content_type, content)| {
        router.route(path, get(move || async move { reply(*content, content_type) }))
    })
}

fn files(files: &'static [(&str, &str, &str)]) -> Router {
    files
        .iter()
        .fold(Router::new(), |router, (path, content_type, content)| {
            router.route(path, get(move || async move { reply(*content, content_type) }))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A module whose import is not there runs nothing at all: the main page is served without rooms, too.
    #[test]
    fn each_page_has_what_it_imports() {
        let main: Vec<_> = FILES.iter().collect();
        let with = |more: &'static [(&str, &str, &str)]| FILES.iter().chain(more).collect::<Vec<_>>();
        for files in [main, with(&ROOM_FILES), with(&TRANSFER_FILES)] {
            for (path, _, content) in &files {
                for (_, import) in content.lines().filter_map(|line| line.split_once(" from '.")) {
                    let import = import.trim_end_matches("';");
                    assert!(
                        files.iter().any(|(other, ..)| *other == import),
                        "{path} imports {import}"
                    );
                }
            }
        }
    }
}
