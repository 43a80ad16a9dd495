//! A connection between the two sides of a transfer, made as often as it takes.
//!
//! Both meet in a room. The receiver asks (`{"ready": attempt}`), the sender offers; descriptions carry the proof that their author
//! knows the code, and the number of the attempt, so that nothing of an earlier one is taken for something of this.

use std::time::Duration;

use peerline::{
    Configuration, ConnectionState, DataChannel, DataChannelInit, IceCandidate, PeerConnection, PeerEvent, SdpType,
    SessionDescription,
};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::code::{Code, Side, hex};
use super::protocol::{Outcome, PROTOCOL};
use super::room::{self, News, Room};
use crate::insight::Insight;
use crate::progress::say;

/// How long a connection may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Attempts in a row without a connection.
const ATTEMPTS: u32 = 3;
/// How long an end may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Where both meet, and who this is there.
pub(super) struct Meeting {
    side: Side,
    code: Code,
    /// `http://host:port`.
    server: String,
    room: Room,
    insight: Insight,
}

/// A connection, or the wish for one.
struct Link {
    attempt: String,
    pc: Option<PeerConnection>,
    work: Option<JoinHandle<Outcome>>,
    /// When it is given up, until it is up for the first time: later interruptions are the connection's business.
    deadline: Option<Instant>,
}

/// What the other side says in the room.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Role {
        role: Side,
    },
    Ready {
        ready: String,
    },
    Description {
        attempt: String,
        description: SessionDescription,
        proof: String,
    },
    Candidate {
        attempt: String,
        candidate: Option<IceCandidate>,
    },
}

/// What happened.
enum Step {
    News(News),
    Event(Option<PeerEvent>),
    Ended(Outcome),
    Late,
}

impl Meeting {
    pub(super) fn new(side: Side, code: Code, server: String, room: Room, insight: Insight) -> Self {
        Self {
            side,
            code,
            server,
            room,
            insight,
        }
    }

    /// Lets `work` have channels until it is done, and says what is to be told then.
    pub(super) async fn run<F>(mut self, work: impl Fn(DataChannel) -> F) -> Result<String, String>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut link: Option<Link> = None;
        let mut failures = 0;
        let mut is_open = true;
        let outcome = loop {
            let step = tokio::select! {
                news = self.room.next(), if is_open => match news {
                    Some(news) => Step::News(news),
                    None => { is_open = false; continue }
                },
                step = progress(&mut link), if link.is_some() => step,
                else => break Err("there is no way to the other side any more".to_owned()),
            };
            let heard = match step {
                Step::News(News::Arrived) => {
                    self.room.say(json!({ "role": self.side }));
                    Ok(())
                }
                Step::News(News::Left) => {
                    if link.as_ref().is_none_or(|link| link.work.is_none()) {
                        say("The other side has gone. Waiting for it to come back…");
                    }
                    Ok(())
                }
                Step::News(News::Refused(why)) => {
                    is_open = false;
                    if link.is_some() { Ok(()) } else { Err(why) }
                }
                Step::News(News::Message(message)) => match serde_json::from_value(message) {
                    Ok(word) => self.hear(word, &mut link, &work).await,
                    Err(_) => Ok(()),
                },
                Step::Event(event) => {
                    if self.on_event(event, &mut link, &work)
                        && let Some(end) = self.renew(&mut link, &mut failures).await
                    {
                        break end;
                    }
                    Ok(())
                }
                Step::Ended(Outcome::Done(text)) => break Ok(text),
                Step::Ended(Outcome::Failed(why)) => break Err(why),
                Step::Ended(Outcome::Lost) | Step::Late => {
                    if let Some(end) = self.renew(&mut link, &mut failures).await {
                        break end;
                    }
                    Ok(())
                }
            };
            if let Err(why) = heard {
                break Err(why);
            }
        };
        // What was said last has to arrive.
        if let Some(pc) = link.take().and_then(|link| link.pc) {
            pc.close();
            let _ = timeout(GOODBYE, pc.closed()).await;
        }
        self.room.leave().await;
        outcome
    }

    /// Ends a connection that is of no use any more, and has another one made; unless what it was doing has come to its end
    /// nevertheless, or too many in a row were never up.
    async fn renew(&self, link: &mut Option<Link>, failures: &mut u32) -> Option<Result<String, String>> {
        let was_up = link.as_ref().is_some_and(|link| link.deadline.is_none());
        match retire(link).await {
            Some(Outcome::Done(text)) => return Some(Ok(text)),
            Some(Outcome::Failed(why)) => return Some(Err(why)),
            Some(Outcome::Lost) | None => {}
        }
        *failures = if was_up { 0 } else { *failures + 1 };
        if *failures >= ATTEMPTS {
            let advice = "`peerline check` says what the network allows";
            return Some(Err(format!("no connection to the other side comes up: {advice}")));
        }
        if was_up {
            say("The connection is lost. Making another one…");
        }
        self.again(link);
        None
    }

    /// The receiver asks for a connection.
    fn again(&self, link: &mut Option<Link>) {
        if self.side == Side::Receiver {
            let attempt = hex(&rand::random::<[u8; 8]>());
            self.room.say(json!({ "ready": attempt }));
            *link = Some(Link::new(attempt));
        }
    }

    async fn hear<F>(&self, word: Word, link: &mut Option<Link>, work: &impl Fn(DataChannel) -> F) -> Result<(), String>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        match word {
            Word::Role { role } if role == self.side => Err(match role {
                Side::Sender => "the other side sends a file as well: one of the two has to receive".into(),
                Side::Receiver => "the other side waits for a file as well: one of the two has to send".into(),
            }),
            Word::Role { .. } => {
                // A connection that is at work needs no other one; one that is not may have been made for somebody who is gone.
                if link.as_ref().is_none_or(|link| link.work.is_none()) {
                    retire(link).await;
                    self.again(link);
                }
                Ok(())
            }
            Word::Ready { ready } if self.side == Side::Sender => {
                retire(link).await;
                *link = Some(self.offer(ready, work).await?);
                Ok(())
            }
            Word::Description {
                attempt,
                description,
                proof,
            } => {
                let Some(link) = link.as_mut().filter(|link| link.attempt == attempt) else {
                    return Ok(());
                };
                let kind = description.kind.to_string();
                if !self
                    .code
                    .is_proved(&proof, self.side.other(), &attempt, &kind, &description.sdp)
                {
                    return Err(
                        "the other side does not know the code, or the server in between has changed what it \
                                said: nothing was sent"
                            .into(),
                    );
                }
                self.describe(link, description)
                    .await
                    .map_err(|error| error.to_string())
            }
            Word::Candidate { attempt, candidate } => {
                let link = link.as_ref().filter(|link| link.attempt == attempt);
                if let Some(pc) = link.and_then(|link| link.pc.as_ref())
                    && let Err(error) = pc.add_ice_candidate(candidate)
                {
                    tracing::debug!("a candidate of no use: {error}");
                }
                Ok(())
            }
            Word::Ready { .. } => Ok(()),
        }
    }

    async fn offer<F>(&self, attempt: String, work: &impl Fn(DataChannel) -> F) -> Result<Link, String>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut link = Link::new(attempt);
        let pc = self.connection().await?;
        let init = DataChannelInit {
            protocol: PROTOCOL.into(),
            ..DataChannelInit::default()
        };
        let offer = || {
            let channel = pc.create_data_channel("file", init)?;
            pc.set_local_description(None)?;
            Ok::<_, peerline::Error>(channel)
        };
        let channel = offer().map_err(|error| error.to_string())?;
        self.say_description(&link.attempt, pc.local_description());
        link.work = Some(tokio::spawn(work(channel)));
        link.pc = Some(pc);
        Ok(link)
    }

    async fn describe(
        &self,
        link: &mut Link,
        description: SessionDescription,
    ) -> Result<(), Box<dyn std::error::Error>> {
        match (self.side, description.kind, &link.pc) {
            (Side::Receiver, SdpType::Offer, None) => {
                let pc = self.connection().await?;
                pc.set_remote_description(description)?;
                pc.set_local_description(None)?;
                self.say_description(&link.attempt, pc.local_description());
                link.pc = Some(pc);
            }
            (Side::Sender, SdpType::Answer, Some(pc)) => pc.set_remote_description(description)?,
            // Said twice.
            _ => {}
        }
        Ok(())
    }

    fn say_description(&self, attempt: &str, description: Option<SessionDescription>) {
        let Some(description) = description else { return };
        let proof = self
            .code
            .prove(self.side, attempt, &description.kind.to_string(), &description.sdp);
        self.room
            .say(json!({ "attempt": attempt, "description": description, "proof": proof }));
    }

    /// A new connection. Loopback addresses are offered too: the other side is often on this machine.
    async fn connection(&self) -> Result<PeerConnection, String> {
        let configuration = Configuration {
            loopback: true,
            ice_servers: room::ice_servers(&self.server).await,
            ..self.insight.configuration()
        };
        PeerConnection::new(configuration)
            .await
            .map_err(|error| error.to_string())
    }

    /// Whether the connection is lost.
    fn on_event<F>(&self, event: Option<PeerEvent>, link: &mut Option<Link>, work: &impl Fn(DataChannel) -> F) -> bool
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let Some(link) = link else { return false };
        match event {
            None | Some(PeerEvent::ConnectionState(ConnectionState::Failed | ConnectionState::Closed)) => return true,
            Some(PeerEvent::ConnectionState(ConnectionState::Connected)) => link.deadline = None,
            Some(PeerEvent::IceCandidate(candidate)) => {
                self.room
                    .say(json!({ "attempt": link.attempt, "candidate": candidate }));
            }
            Some(PeerEvent::DataChannel(channel)) if channel.protocol() == PROTOCOL && link.work.is_none() => {
                link.work = Some(tokio::spawn(work(channel)));
            }
            Some(_) => {}
        }
        false
    }
}

impl Link {
    fn new(attempt: String) -> Self {
        Self {
            attempt,
            pc: None,
            work: None,
            deadline: Some(Instant::now() + PATIENCE),
        }
    }
}

/// What a connection does next.
async fn progress(link: &mut Option<Link>) -> Step {
    let Some(link) = link else {
        return std::future::pending().await;
    };
    let Link { pc, work, deadline, .. } = link;
    tokio::select! {
        event = async { match pc {
            Some(pc) => pc.next_event().await,
            None => std::future::pending().await,
        } } => Step::Event(event),
        outcome = async { match work {
            Some(work) => work.await,
            None => std::future::pending().await,
        } } => {
            *work = None;
            Step::Ended(outcome.unwrap_or_else(|error| Outcome::Failed(error.to_string())))
        }
        () = async { match deadline {
            Some(deadline) => sleep_until(*deadline).await,
            None => std::future::pending().await,
        } } => Step::Late,
    }
}

/// Ends a connection, and waits until its work has let go of the file.
async fn retire(link: &mut Option<Link>) -> Option<Outcome> {
    let link = link.take()?;
    if let Some(pc) = &link.pc {
        pc.close();
    }
    link.work?.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        let word = |value: serde_json::Value| serde_json::from_value::<Word>(value);
        assert!(matches!(
            word(json!({"role": "sender"})),
            Ok(Word::Role { role: Side::Sender })
        ));
        assert!(matches!(word(json!({"ready": "a"})), Ok(Word::Ready { .. })));
        assert!(matches!(
            word(json!({"attempt": "a", "candidate": null})),
            Ok(Word::Candidate { candidate: None, .. })
        ));
        assert!(word(json!({"role": "server"})).is_err());
        assert!(word(json!([])).is_err());
    }
}
