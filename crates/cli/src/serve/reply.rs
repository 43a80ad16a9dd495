//! Errors as every interface gives them: a status that says whose fault it is, and JSON that says what was wrong.

use axum::extract::rejection::StringRejection;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::MAX_BODY;

/// `{"error": …}`, the one shape of all errors.
pub(super) fn error_json(text: &str) -> Value {
    json!({ "error": text })
}

/// Why a request was refused.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    text: String,
    /// When to try again, in seconds.
    retry_after: Option<u32>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            status,
            text,
            retry_after: None,
        }
    }

    /// Says when to try again, in seconds.
    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// `413`: more than anybody needs.
    pub(super) fn too_large() -> Self {
        let text = format!("the body is larger than {MAX_BODY} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    }

    /// `503`: the server's trouble, which may pass.
    pub(super) fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text).retry_after(30)
    }

    /// A body that is no text, or was not read.
    pub(super) fn body(rejection: &StringRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(),
            status => Self::new(status, rejection.body_text()),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let headers = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (self.status, headers, error_json(&self.text).to_string()).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// `404` for whatever is not in the router.
pub(super) async fn not_found(uri: Uri) -> Refused {
    let text = format!("there is no {}: the page is at /", uri.path());
    Refused::new(StatusCode::NOT_FOUND, text)
}

/// `405`; axum adds `Allow`.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Refused {
    let text = format!(
        "{} does not take {method}: the header Allow has what it takes",
        uri.path()
    );
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, text)
}
