//! [`Visitors`] admits a limited number of peers; each [`Visitor`] owns one connection and closes it in the end, whatever the
//! end is. What is done for a visitor is its [`Attendant`]'s business.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use peerline::{
    Configuration, ConnectionState, Endpoint, Error, ExternalAddress, PeerConnection, PeerEvent, SessionDescription,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep, timeout};

use super::echo::EchoPeer;
use super::film::FilmPeer;
use super::ice_servers::IceServers;
use super::recording::RecordingPeer;
use crate::film::Program;
use crate::insight::Insight;
use crate::recording::Archive;

/// Visitors served at once: each may have sockets of its own.
const MAX_VISITORS: u32 = 1_000;
/// How long a visitor may be anything but connected, so that abandoned offers and idle signalling cost nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long goodbyes may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What is done for a visitor: that of the echo peer, of a publisher, ….
pub(super) trait Attendant: Send {
    /// Prepares the answer to the offer that was just applied: directions, tracks, codecs.
    fn prepare(&mut self, _pc: &PeerConnection) -> Result<(), Error> {
        Ok(())
    }

    /// Takes what signalling has no use for: channels and tracks that come.
    fn attend(&mut self, pc: &PeerConnection, event: PeerEvent);
}

/// Admits visitors, and sends them all away in the end.
#[derive(Clone)]
pub(super) struct Visitors {
    places: Arc<Semaphore>,
    /// True once the program ends.
    ending: watch::Sender<bool>,
    /// The port for all of them, if there is one.
    endpoint: Option<Endpoint>,
    external_addresses: Vec<ExternalAddress>,
    ice_servers: IceServers,
    insight: Insight,
    role: Role,
}

/// What the peer behind the page does.
#[derive(Clone)]
pub(super) enum Role {
    Echo,
    Play(Arc<Program>),
    Record(Arc<Archive>),
}

impl Role {
    fn attendant(&self) -> Box<dyn Attendant> {
        match self {
            Self::Echo => Box::new(EchoPeer::default()),
            Self::Play(program) => Box::new(FilmPeer::new(program)),
            Self::Record(archive) => Box::new(RecordingPeer::new(archive)),
        }
    }

    /// Its name, and what the page says about it.
    pub(super) fn about(&self) -> (&'static str, &'static str) {
        match self {
            Self::Echo => (
                "echo",
                "Start sends your camera, your screen or a synthetic picture to the Rust peer, which sends it back packet by packet.",
            ),
            Self::Play(_) => ("play", "The Rust peer plays a file to you."),
            Self::Record(_) => (
                "record",
                "Start sends your camera, your screen or a synthetic picture to the Rust peer, which records it.",
            ),
        }
    }

    /// Where the peer is reached by HTTP.
    pub(super) fn path(&self) -> &'static str {
        match self {
            Self::Echo => "/whip/echo",
            Self::Play(_) => "/whep/play",
            Self::Record(_) => "/whip/record",
        }
    }
}

impl Visitors {
    pub(super) fn new(
        endpoint: Option<Endpoint>,
        external_addresses: Vec<ExternalAddress>,
        ice_servers: IceServers,
        insight: Insight,
        role: Role,
    ) -> Self {
        Self {
            endpoint,
            external_addresses,
            ice_servers,
            insight,
            role,
            places: Arc::new(Semaphore::new(MAX_VISITORS as usize)),
            ending: watch::Sender::new(false),
        }
    }

    /// A connection for one more visitor. Loopback addresses are offered too: the visitor is often on this machine.
    pub(super) async fn admit(&self, attendant: Box<dyn Attendant>) -> Result<Visitor, Refusal> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Refusal::Full)?;
        let configuration = Configuration {
            loopback: true,
            endpoint: self.endpoint.clone(),
            external_addresses: self.external_addresses.clone(),
            ice_servers: self.ice_servers.for_peer(),
            ..self.insight.configuration()
        };
        let pc = PeerConnection::new(configuration).await.map_err(Refusal::NoPeer)?;
        Ok(Visitor {
            pc,
            attendant,
            deadline: Box::pin(tokio::time::sleep(PATIENCE)),
            ending: self.ending.subscribe(),
            _place: place,
        })
    }

    /// The attendant of who comes by the page, or as by it.
    pub(super) fn attendant(&self) -> Box<dyn Attendant> {
        self.role.attendant()
    }

    pub(super) fn role(&self) -> &Role {
        &self.role
    }

    /// Says goodbye to everyone, and waits until they are gone.
    pub(super) async fn dismiss(&self) {
        self.ending.send_replace(true);
        let _ = timeout(GOODBYE, self.places.acquire_many(MAX_VISITORS)).await;
    }
}

/// Why nobody could be admitted; neither is the visitor's fault.
#[derive(Debug)]
pub(super) enum Refusal {
    Full,
    NoPeer(Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "{MAX_VISITORS} peers are served already: try again later"),
            Self::NoPeer(error) => write!(f, "no peer could be made: {error}"),
        }
    }
}

/// Why a visitor is served no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Failed,
    NotConnected,
    ProgramEnds,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the connection was closed",
            Self::Failed => "the connection failed: no datagram of its two ends reaches the other",
            Self::NotConnected => "no connection was made for a minute",
            Self::ProgramEnds => "the program ends",
        })
    }
}

/// One peer of ours, for one of theirs, and its place among the visitors.
pub(super) struct Visitor {
    pub(super) pc: PeerConnection,
    attendant: Box<dyn Attendant>,
    deadline: Pin<Box<Sleep>>,
    ending: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Visitor {
    /// Applies an offer and returns the answer to it, with the candidates that are known so far.
    pub(super) fn answer(&mut self, offer: SessionDescription) -> Result<SessionDescription, Error> {
        self.pc.set_remote_description(offer)?;
        self.attendant.prepare(&self.pc)?;
        let answer = self.pc.create_answer()?;
        self.pc.set_local_description(answer.clone())?;
        Ok(self.pc.local_description().unwrap_or(answer))
    }

    /// The next event for signalling; the others are attended to, and the end is noticed. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<PeerEvent, End> {
        loop {
            let event = tokio::select! {
                event = self.pc.next_event() => event.ok_or(End::Closed)?,
                () = wait_until_true(&mut self.ending) => return Err(End::ProgramEnds),
                () = self.deadline.as_mut() => {
                    // Once connected, ICE's consent decides when the other side is gone.
                    if self.pc.connection_state() != ConnectionState::Connected {
                        return Err(End::NotConnected);
                    }
                    self.be_patient();
                    continue;
                }
            };
            match event {
                PeerEvent::ConnectionState(ConnectionState::Failed) => return Err(End::Failed),
                PeerEvent::ConnectionState(ConnectionState::Closed) => return Err(End::Closed),
                PeerEvent::ConnectionState(_) => self.be_patient(),
                PeerEvent::IceCandidate(_) | PeerEvent::NegotiationNeeded => return Ok(event),
                event => self.attendant.attend(&self.pc, event),
            }
        }
    }

    /// Serves a peer whose signalling has ended, until it ends itself.
    pub(super) async fn serve_alone(mut self) {
        while self.next().await.is_ok() {}
        self.leave().await;
    }

    /// Closes the connection, waits until the other side was told, and only then gives the place away.
    pub(super) async fn leave(self) {
        self.pc.close();
        let _ = timeout(GOODBYE, self.pc.closed()).await;
    }

    fn be_patient(&mut self) {
        self.deadline.as_mut().reset(Instant::now() + PATIENCE);
    }
}

impl Drop for Visitor {
    /// The tasks that echo hold the connection as well: it has to be told.
    fn drop(&mut self) {
        self.pc.close();
    }
}

async fn wait_until_true(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|flag| *flag).await.is_err() {
        // Nobody is left who could set it.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time passes as soon as nobody has anything else to do.
    #[tokio::test(start_paused = true)]
    async fn who_never_connects_is_not_waited_for() {
        let visitors = Visitors::new(None, Vec::new(), IceServers::default(), Insight::default(), Role::Echo);
        let mut visitor = visitors.admit(visitors.attendant()).await.unwrap();
        let begun = Instant::now();
        assert!(matches!(visitor.next().await, Err(End::NotConnected)));
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
        visitor.leave().await;
        assert_eq!(visitors.places.available_permits(), MAX_VISITORS as usize);
    }

    #[tokio::test]
    async fn only_so_many_are_admitted() {
        let visitors = Visitors::new(None, Vec::new(), IceServers::default(), Insight::default(), Role::Echo);
        let mut admitted = Vec::new();
        for _ in 0..MAX_VISITORS {
            admitted.push(visitors.admit(visitors.attendant()).await.unwrap());
        }
        assert!(matches!(visitors.admit(visitors.attendant()).await, Err(Refusal::Full)));
        admitted.pop();
        assert!(visitors.admit(visitors.attendant()).await.is_ok());

        // At the end everyone is sent away.
        let everyone = admitted.into_iter().map(|visitor| tokio::spawn(visitor.serve_alone()));
        let everyone: Vec<_> = everyone.collect();
        visitors.dismiss().await;
        assert_eq!(visitors.places.available_permits(), MAX_VISITORS as usize);
        for task in everyone {
            task.await.unwrap();
        }
    }
}
