//! A client of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): a [`Session`] begins with an offer by `POST`, trickles by `PATCH`, and
//! ends with a `DELETE`.

use std::fmt;
use std::time::Duration;

use peerline::{ConnectionState, IceCandidate, PeerConnection, PeerEvent, SessionDescription};
use peerline_sdp::Fragment;
use tokio::sync::mpsc;
use tokio::time::timeout;
use ureq::http::{Method, StatusCode, Uri};

use http::{Ask, Http, HttpError};

mod address;
mod http;
pub(crate) mod publish;
pub(crate) mod watch;

/// How long an offer waits for candidates: not all servers take those that trickle.
const GATHERING: Duration = Duration::from_secs(1);
/// How long the goodbye to the other peer may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Where to publish or to play, and with which right.
pub(crate) struct Endpoint {
    url: Uri,
    http: Http,
}

impl Endpoint {
    /// `token` is what `Authorization: Bearer` is to have, if anything.
    pub(crate) fn new(url: &str, token: Option<String>) -> Result<Self, String> {
        Ok(Self {
            url: address::parse(url)?,
            http: Http::new(token),
        })
    }

    /// Whether the server is on this machine, so that loopback addresses are of use.
    fn is_local(&self) -> bool {
        let host = self.url.host().unwrap_or_default();
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    }

    fn ask<'a>(&self, method: Method, to: &Uri) -> Ask<'a> {
        Ask {
            method,
            to: to.clone(),
            content_type: None,
            if_match: None,
            body: String::new(),
        }
    }
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum Error {
    Http(HttpError),
    /// The server does not want it; perhaps it does in so many seconds.
    Refused {
        by: Uri,
        complaint: String,
        retry_after: Option<u64>,
    },
    /// The server does not do as the standard says.
    Unfit {
        by: Uri,
        why: String,
    },
    Peer(peerline::Error),
    /// No datagram of the two ends reaches the other.
    Failed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(error) => write!(f, "{error}"),
            Self::Refused { by, complaint, .. } => write!(f, "{by} refuses: {complaint}"),
            Self::Unfit { by, why } => write!(f, "{by} {why}"),
            Self::Peer(error) => write!(f, "{error}"),
            Self::Failed => f.write_str("the connection failed: no datagram of its two ends reaches the other"),
        }
    }
}

impl std::error::Error for Error {}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

impl From<peerline::Error> for Error {
    fn from(error: peerline::Error) -> Self {
        Self::Peer(error)
    }
}

/// A session with a server, until [`end`](Self::end).
pub(crate) struct Session<'a> {
    endpoint: &'a Endpoint,
    location: Uri,
    pc: PeerConnection,
    /// To the task that trickles.
    candidates: mpsc::UnboundedSender<Option<IceCandidate>>,
}

impl<'a> Session<'a> {
    /// Offers what `pc` is prepared for, and applies the answer.
    pub(crate) async fn begin(endpoint: &'a Endpoint, pc: &PeerConnection) -> Result<Self, Error> {
        Self::begin_after(endpoint, pc, GATHERING).await
    }

    /// The same, with what was gathered in a time of its own.
    async fn begin_after(endpoint: &'a Endpoint, pc: &PeerConnection, gathering: Duration) -> Result<Self, Error> {
        pc.set_local_description(None)?;
        if !gathering.is_zero() {
            let _ = timeout(gathering, pc.gathering_complete()).await;
        }
        let Some(offer) = pc.local_description() else {
            return Err(Error::Failed);
        };
        let reply = endpoint
            .http
            .ask(Ask {
                content_type: Some("application/sdp"),
                body: offer.sdp.clone(),
                ..endpoint.ask(Method::POST, &endpoint.url)
            })
            .await?;
        let by = reply.from.clone();
        if reply.status != StatusCode::CREATED {
            let complaint = match reply.status {
                StatusCode::NOT_ACCEPTABLE => {
                    "it would make an offer itself, which peerline does not take up: give it what it can answer".into()
                }
                _ => reply.complaint(),
            };
            return Err(Error::Refused {
                by,
                complaint,
                retry_after: reply.retry_after,
            });
        }
        let location = reply.location.as_deref();
        let Some(location) = location.and_then(|location| address::resolve(&by, location)) else {
            let why = "began a session, but its 201 has no Location, without which that cannot be ended".into();
            return Err(Error::Unfit { by, why });
        };
        tracing::info!("session {location}");
        let (candidates, trickled) = mpsc::unbounded_channel();
        let session = Self {
            endpoint,
            location: location.clone(),
            pc: pc.clone(),
            candidates,
        };
        if let Err(error) = pc.set_remote_description(SessionDescription::answer(reply.body)) {
            session.end().await;
            let why = format!("answers what cannot be used: {error}");
            return Err(Error::Unfit { by, why });
        }
        let trickle = Trickle {
            http: endpoint.http.clone(),
            location,
            etag: reply.etag,
            offer: offer.sdp,
        };
        tokio::spawn(trickle.run(trickled));
        Ok(session)
    }

    /// The next event of the connection that is not about signalling; `None` once the other side has ended it.
    pub(crate) async fn next_event(&self) -> Result<Option<PeerEvent>, Error> {
        loop {
            match self.pc.next_event().await {
                None | Some(PeerEvent::ConnectionState(ConnectionState::Closed)) => return Ok(None),
                Some(PeerEvent::ConnectionState(ConnectionState::Failed)) => return Err(Error::Failed),
                Some(PeerEvent::IceCandidate(candidate)) => {
                    // Its task ends with the session, or when the server takes none.
                    let _ = self.candidates.send(candidate);
                }
                Some(event) => return Ok(Some(event)),
            }
        }
    }

    /// "To explicitly terminate a WHIP session, the WHIP client MUST perform an HTTP DELETE request to the WHIP session URL" (RFC 9725
    /// §4.2).
    pub(crate) async fn end(self) {
        let ask = self.endpoint.ask(Method::DELETE, &self.location);
        match self.endpoint.http.ask(ask).await {
            Ok(reply) if reply.status.is_success() || reply.status == StatusCode::NOT_FOUND => {}
            Ok(reply) => tracing::warn!("{} was not ended: {}", self.location, reply.complaint()),
            Err(error) => tracing::warn!("{} was not ended: {error}", self.location),
        }
        self.pc.close();
        let _ = timeout(GOODBYE, self.pc.closed()).await;
    }
}

/// What has to be told of candidates that are found after the offer (RFC 9725 §4.3.2).
struct Trickle {
    http: Http,
    location: Uri,
    etag: Option<String>,
    offer: String,
}

impl Trickle {
    /// Tells of them as they come, many at once if they do, until the session ends or the server wants none.
    async fn run(self, mut candidates: mpsc::UnboundedReceiver<Option<IceCandidate>>) {
        let mut batch = Vec::new();
        while candidates.recv_many(&mut batch, 64).await > 0 {
            let Some(body) = self.fragment(&batch) else {
                batch.clear();
                continue;
            };
            batch.clear();
            let ask = Ask {
                method: Method::PATCH,
                to: self.location.clone(),
                content_type: Some(Fragment::CONTENT_TYPE),
                if_match: self.etag.as_deref(),
                body,
            };
            match self.http.ask(ask).await {
                Ok(reply) if reply.status.is_success() => {}
                Ok(reply) => {
                    // The server's checks, or those of what was offered, may do without.
                    tracing::info!("candidates are not taken: {}", reply.complaint());
                    return;
                }
                Err(error) => tracing::warn!("candidates were not told: {error}"),
            }
        }
    }

    /// Those that the offer has not; `None` if there is nothing to tell.
    fn fragment(&self, candidates: &[Option<IceCandidate>]) -> Option<String> {
        let mut news = String::new();
        for candidate in candidates {
            match candidate {
                Some(candidate) => {
                    // Foundation, component, transport, priority, address and port; what follows may be said otherwise.
                    let words = candidate.candidate.splitn(7, ' ').take(6).collect::<Vec<_>>();
                    if !self.offer.contains(&format!("a={} ", words.join(" "))) {
                        news.push_str(&format!("a={}\r\n", candidate.candidate));
                    }
                }
                None if !self.offer.contains("a=end-of-candidates") => news.push_str("a=end-of-candidates\r\n"),
                None => {}
            }
        }
        let offer = peerline_sdp::SessionDescription::parse(&self.offer).ok()?;
        let media = offer.media.first()?;
        (!news.is_empty()).then(|| format!("{}{news}", Fragment::about(&offer, media)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use peerline::{Configuration, DataChannelInit};

    use super::*;

    /// A server whose answer has no candidates: none of the two finds the other before the `PATCH`.
    #[tokio::test]
    async fn candidates_are_trickled() {
        let configuration = Configuration {
            loopback: true,
            ..Configuration::default()
        };
        let [near, far] = [(); 2].map(|()| PeerConnection::new(configuration.clone()));
        let (near, far) = (near.await.unwrap(), far.await.unwrap());
        let channel = near.create_data_channel("chat", DataChannelInit::default()).unwrap();
        let patches = Arc::<Mutex<Vec<String>>>::default();
        let server = {
            let (answerer, taker, patches) = (far.clone(), far.clone(), Arc::clone(&patches));
            let answer = move |offer: String| async move {
                assert!(!offer.contains("a=candidate"), "{offer}");
                answerer
                    .set_remote_description(SessionDescription::offer(offer))
                    .unwrap();
                let answer = answerer.create_answer().unwrap();
                answerer.set_local_description(answer.clone()).unwrap();
                let headers = [("location", "/session"), ("etag", "\"tag\"")];
                (axum::http::StatusCode::CREATED, headers, answer.sdp)
            };
            let patch = move |headers: HeaderMap, body: String| async move {
                assert_eq!(headers["if-match"], "\"tag\"");
                assert_eq!(headers["content-type"], Fragment::CONTENT_TYPE);
                let fragment = Fragment::parse(&body).unwrap();
                for (mid, candidate) in fragment.candidates() {
                    assert_eq!(mid, Some("0"));
                    let candidate = IceCandidate {
                        candidate: format!("candidate:{}", candidate.unwrap()),
                        sdp_mid: mid.map(str::to_owned),
                        ..IceCandidate::default()
                    };
                    taker.add_ice_candidate(candidate).unwrap();
                }
                patches.lock().unwrap().push(body);
                axum::http::StatusCode::NO_CONTENT
            };
            let session = axum::routing::patch(patch).delete(|| async {});
            Router::new().route("/whip", post(answer)).route("/session", session)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/whip", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, server).await });

        let endpoint = Endpoint::new(&url, None).unwrap();
        let session = Session::begin_after(&endpoint, &near, Duration::ZERO).await.unwrap();
        let trickled = async { while let Ok(Some(_)) = session.next_event().await {} };
        tokio::select! {
            opened = timeout(Duration::from_secs(20), channel.opened()) => opened.expect("it connects").unwrap(),
            () = trickled => panic!("the connection ended"),
        }
        session.end().await;
        let patches = patches.lock().unwrap();
        assert!(patches.iter().any(|body| body.contains("a=candidate:")), "{patches:?}");
        assert!(patches.iter().any(|body| body.contains("a=ice-ufrag:")), "{patches:?}");
        assert!(
            patches.last().unwrap().ends_with("a=end-of-candidates\r\n"),
            "{patches:?}"
        );
    }
}
