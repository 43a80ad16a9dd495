//! A place in a room of a server, by long polling: no more than HTTP is needed, which gets through everywhere.
//!
//! Requests block, so each direction has a thread. They end with the program, or soon after [`Room`] is dropped.

use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// A request waits for up to 20 seconds to be answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between attempts to come back.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is tried to get in where two are already: one of them may be gone, and the server not have noticed yet.
const ATTEMPTS: u32 = 20;
/// Events are half a megabyte at most.
const MAX_BODY: u64 = 2 * 1024 * 1024;
/// How long leaving may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What happens in a room.
#[derive(Debug)]
pub(super) enum News {
    /// There is another one.
    Arrived,
    /// It has gone.
    Left,
    Message(Value),
    /// There is no way back into the room.
    Refused(String),
}

/// A place in a room. Dropping it gives it up, and the server notices; [`leave`](Self::leave) tells it.
pub(super) struct Room {
    news: mpsc::Receiver<News>,
    words: blocking::Sender<Word>,
}

enum Word {
    Say(Value),
    Leave(oneshot::Sender<()>),
}

impl Room {
    /// Joins; `create` makes the room if nobody is in it. `server` is `http://host:port`.
    pub(super) async fn join(server: &str, name: &str, create: bool) -> Result<Self, String> {
        let place = Arc::new(Place::new(server, name, create));
        let (told, news) = mpsc::channel(16);
        let (words, said) = blocking::channel();
        let (joined, is_joined) = oneshot::channel();
        let listener = Arc::clone(&place);
        thread::spawn(move || {
            let outcome = listener.join();
            let failed = outcome.is_err();
            if joined.send(outcome).is_err() || failed {
                return;
            }
            listener.listen(&told);
        });
        is_joined.await.map_err(|_| "the program ends".to_owned())??;
        thread::spawn(move || place.speak(&said));
        Ok(Self { news, words })
    }

    /// The next news; `None` when there will be none.
    pub(super) async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// Says something to the other one, in order. What cannot be said is lost.
    pub(super) fn say(&self, message: Value) {
        let _ = self.words.send(Word::Say(message));
    }

    /// Gives the place up, and waits until the server knows, though not for long.
    pub(super) async fn leave(self) {
        let (told, is_told) = oneshot::channel();
        let _ = self.words.send(Word::Leave(told));
        let _ = tokio::time::timeout(GOODBYE, is_told).await;
    }
}

struct Place {
    agent: ureq::Agent,
    room: String,
    create: bool,
    session: Mutex<Option<String>>,
}

/// Why a request came to nothing.
enum Failure {
    /// The server says so.
    Refused(u16, String),
    Unreachable(String),
}

#[derive(Deserialize)]
struct Event {
    number: u64,
    event: String,
    #[serde(default)]
    message: Value,
}

impl Place {
    fn new(server: &str, name: &str, create: bool) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("peerline/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            agent,
            room: format!("{server}/rooms/{name}"),
            create,
            session: Mutex::new(None),
        }
    }

    /// Gets in, patiently if the room is full.
    fn join(&self) -> Result<(), String> {
        for attempt in 1.. {
            match self.ask("POST", &self.room, Some(&json!({ "create": self.create }))) {
                Ok(reply) => {
                    let session = reply["session"].as_str().map(str::to_owned);
                    *self.session() = Some(session.ok_or("the server speaks another language: is it peerline?")?);
                    return Ok(());
                }
                Err(Failure::Refused(409, _)) if attempt < ATTEMPTS => pause(),
                Err(Failure::Refused(404, _)) if !self.create => {
                    return Err(
                        "nobody is there with this code: is the other side running, and is the code right?".into(),
                    );
                }
                Err(Failure::Refused(_, why)) => return Err(why),
                Err(Failure::Unreachable(why)) => return Err(format!("{} cannot be reached: {why}", self.room)),
            }
        }
        Ok(())
    }

    /// Listens until nobody wants to hear any more; comes back into the room if that is needed.
    fn listen(&self, told: &mpsc::Sender<News>) {
        let mut after = 0;
        let mut failures = 0;
        while !told.is_closed() {
            let Some(url) = self.url(&format!("/messages?after={after}")) else {
                return;
            };
            let events = match self.ask("GET", &url, None) {
                Ok(events) => events,
                Err(Failure::Refused(404, _)) => {
                    // The server has started anew, or did not hear us for too long.
                    match self.join() {
                        Ok(()) => after = 0,
                        Err(why) if failures >= ATTEMPTS => {
                            let _ = told.blocking_send(News::Refused(why));
                            return;
                        }
                        Err(_) => {
                            failures += 1;
                            pause();
                        }
                    }
                    continue;
                }
                Err(Failure::Refused(..) | Failure::Unreachable(_)) => {
                    // It may come back; meanwhile the connection does not need it.
                    pause();
                    continue;
                }
            };
            failures = 0;
            let events: Vec<Event> = serde_json::from_value(events).unwrap_or_default();
            for event in events {
                after = after.max(event.number);
                let news = match event.event.as_str() {
                    "arrived" => News::Arrived,
                    "left" | "lost" => News::Left,
                    "message" => News::Message(event.message),
                    _ => continue,
                };
                if told.blocking_send(news).is_err() {
                    return;
                }
            }
        }
    }

    fn speak(&self, said: &blocking::Receiver<Word>) {
        while let Ok(word) = said.recv() {
            match word {
                Word::Say(message) => {
                    let Some(url) = self.url("/messages") else { continue };
                    if let Err(Failure::Refused(_, why) | Failure::Unreachable(why)) =
                        self.ask("POST", &url, Some(&json!([message])))
                    {
                        tracing::debug!("not said: {why}");
                    }
                }
                Word::Leave(told) => {
                    if let Some(url) = self.url("") {
                        let _ = self.ask("DELETE", &url, None);
                    }
                    let _ = told.send(());
                    return;
                }
            }
        }
    }

    fn url(&self, rest: &str) -> Option<String> {
        self.session()
            .as_ref()
            .map(|session| format!("{}/{session}{rest}", self.room))
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, method: &str, url: &str, body: Option<&Value>) -> Result<Value, Failure> {
        ask(&self.agent, method, url, body)
    }
}

fn ask(agent: &ureq::Agent, method: &str, url: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let unreachable = |error: ureq::Error| Failure::Unreachable(error.to_string());
    let request = ureq::http::Request::builder().method(method).uri(url);
    let response = match body {
        Some(body) => {
            let request = request
                .header("content-type", "application/json")
                .body(body.to_string());
            agent.run(request.map_err(|error| Failure::Unreachable(error.to_string()))?)
        }
        None => agent.run(
            request
                .body(())
                .map_err(|error| Failure::Unreachable(error.to_string()))?,
        ),
    };
    let mut response = response.map_err(unreachable)?;
    let status = response.status();
    let body = response.body_mut().with_config().limit(MAX_BODY).lossy_utf8(true);
    let text = body.read_to_string().map_err(unreachable)?;
    let reply: Value = serde_json::from_str(&text).unwrap_or_default();
    if status.is_success() {
        return Ok(reply);
    }
    let why = reply["error"]
        .as_str()
        .map_or_else(|| status.to_string(), str::to_owned);
    Err(Failure::Refused(status.as_u16(), why))
}

/// The STUN and TURN servers that a server names, as it names them to browsers; none where it does not.
pub(super) async fn ice_servers(server: &str) -> Vec<peerline::IceServer> {
    let (agent, url) = (Place::new(server, "", false).agent, format!("{server}/ice-servers"));
    let asked = tokio::task::spawn_blocking(move || ask(&agent, "GET", &url, None)).await;
    let Ok(Ok(servers)) = asked else { return Vec::new() };
    serde_json::from_value(servers).unwrap_or_default()
}

/// These threads wait for the network all the time.
#[allow(clippy::disallowed_methods)]
fn pause() {
    thread::sleep(PAUSE);
}
