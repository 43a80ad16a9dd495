//! Errors as every interface gives them: a status that says whose fault it is, and JSON that says what was wrong.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// `{"error": …}`, the one shape of all errors.
pub(super) fn error_json(text: impl ToString) -> String {
    serde_json::json!({ "error": text.to_string() }).to_string()
}

/// An error response.
pub(super) fn error(status: StatusCode, text: impl ToString) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], error_json(text)).into_response()
}
