//! Errors as every interface gives them: a status that says whose fault it is, and JSON that says what was wrong.

use axum::extract::rejection::StringRejection;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::MAX_BODY;

/// `{"error": …}`, the one shape of all errors.
pub(super) fn error_json(text: impl ToString) -> String {
    serde_json::json!({ "error": text.to_string() }).to_string()
}

/// An error response.
pub(super) fn error(status: StatusCode, text: impl ToString) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], error_json(text)).into_response()
}

/// `503`: the server's trouble, which may pass.
pub(super) fn unavailable(text: impl ToString) -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, text);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, header::HeaderValue::from_static("30"));
    response
}

/// `413`: more than anybody needs.
pub(super) fn too_large() -> Response {
    error(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {MAX_BODY} bytes"),
    )
}

/// A body that is no text, or was not read.
pub(super) fn bad_body(rejection: &StringRejection) -> Response {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        status => error(status, rejection.body_text()),
    }
}

/// `404` for whatever is not in the router.
pub(super) async fn not_found(uri: Uri) -> Response {
    error(
        StatusCode::NOT_FOUND,
        format!("there is no {}: the page is at /", uri.path()),
    )
}

/// `405`; axum adds `Allow`.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{} does not take {method}: the header Allow has what it takes",
            uri.path()
        ),
    )
}
