//! HTTP as WHIP clients need it: the token, redirections that repeat the request, and errors that people can read.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Method, Request, StatusCode, Uri, header};

use super::address;

/// How long a request may take, its body and that of the response included.
const PATIENCE: Duration = Duration::from_secs(15);
/// Redirections in a row.
const MAX_REDIRECTS: usize = 5;
/// What is read of a response: descriptions are a tenth of this.
const MAX_BODY: u64 = 256 * 1024;

/// Sends requests. Clones share their connections.
#[derive(Clone)]
pub(super) struct Http {
    agent: ureq::Agent,
    token: Option<String>,
}

/// What is asked for.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) to: Uri,
    pub(super) content_type: Option<&'a str>,
    pub(super) if_match: Option<&'a str>,
    pub(super) body: String,
}

/// A response.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// Who answered, after all redirections.
    pub(super) from: Uri,
    pub(super) location: Option<String>,
    pub(super) etag: Option<String>,
    /// When to try again, in seconds.
    pub(super) retry_after: Option<u64>,
    pub(super) body: String,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum HttpError {
    Unreachable { to: Uri, why: String },
    Redirected { from: Uri, why: &'static str },
    Unfit(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { to, why } => write!(f, "{to} cannot be reached: {why}"),
            Self::Redirected { from, why } => write!(f, "{from} sends us elsewhere, {why}"),
            Self::Unfit(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HttpError {}

impl Http {
    pub(super) fn new(token: Option<String>) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // It would not repeat a body.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("peerline/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, token }
    }

    /// Asks, and again where the answer says so: "WHIP clients SHALL support HTTP redirections" (RFC 9725 §4.5), of which 307 and
    /// 308 repeat the method and the body.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Reply, HttpError> {
        let Ask {
            method,
            mut to,
            content_type,
            if_match,
            body,
        } = ask;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::builder().method(&method).uri(&to);
            for (name, value) in [(header::CONTENT_TYPE, content_type), (header::IF_MATCH, if_match)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            // "send the HTTP Authorization header field in all HTTP requests sent to either the WHIP endpoint or session" (§4.7.1),
            // wherever the endpoint says that these are.
            if let Some(token) = &self.token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let request = request.body(body.clone()).map_err(|error| {
                let token = "a token has visible ASCII characters only";
                HttpError::Unfit(format!("this cannot be asked by HTTP: {error} ({token})"))
            })?;
            let reply = self.exchange(request, to.clone()).await?;
            let redirected = matches!(
                reply.status,
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
            );
            if !redirected {
                return Ok(reply);
            }
            let from = reply.from;
            let Some(next) = reply.location.and_then(|location| address::resolve(&from, &location)) else {
                let why = "but does not say where";
                return Err(HttpError::Redirected { from, why });
            };
            if address::is_downgrade(&from, &next) {
                let why = "from https to http, where everybody can read the token and the fingerprints";
                return Err(HttpError::Redirected { from, why });
            }
            tracing::info!("{from} sends us to {next}");
            to = next;
        }
        let why = "again and again";
        Err(HttpError::Redirected { from: to, why })
    }

    async fn exchange(&self, request: Request<String>, from: Uri) -> Result<Reply, HttpError> {
        let agent = self.agent.clone();
        let to = from.clone();
        let unreachable = |error: ureq::Error| HttpError::Unreachable {
            to,
            why: error.to_string(),
        };
        let exchange = move || {
            let mut response = agent.run(request)?;
            let text = |name| {
                let value = response.headers().get(name)?;
                value.to_str().ok().map(str::to_owned)
            };
            let (location, etag) = (text(header::LOCATION), text(header::ETAG));
            let retry_after = text(header::RETRY_AFTER).and_then(|value| value.trim().parse().ok());
            let status = response.status();
            let body = response.body_mut().with_config().limit(MAX_BODY).lossy_utf8(true);
            Ok(Reply {
                status,
                from,
                location,
                etag,
                retry_after,
                body: body.read_to_string()?,
            })
        };
        match tokio::task::spawn_blocking(exchange).await {
            Ok(outcome) => outcome.map_err(unreachable),
            Err(error) => Err(HttpError::Unfit(format!("the request was not finished: {error}"))),
        }
    }
}

impl Reply {
    /// What a refusal says, for a person: a member of its JSON (as here, or RFC 9457), or its first line of text.
    pub(super) fn complaint(&self) -> String {
        let json: Option<Value> = serde_json::from_str(&self.body).ok();
        let member = |name: &str| json.as_ref()?[name].as_str().map(str::to_owned);
        let told = ["error", "detail", "title"].into_iter().find_map(member);
        let line = || {
            let line = self.body.lines().find(|line| !line.trim().is_empty())?;
            (!line.trim_start().starts_with('<')).then(|| line.trim().to_owned())
        };
        let told: String = told.or_else(line).unwrap_or_default().chars().take(300).collect();
        let status = self.status;
        if told.is_empty() {
            status.to_string()
        } else {
            format!("{status}: {told}")
        }
    }
}
