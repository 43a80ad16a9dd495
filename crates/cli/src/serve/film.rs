//! `peerline play`: the peer behind the page plays files to whoever connects, each from its beginning.

use std::sync::Arc;

use peerline::{Error, MediaClock, PeerConnection, PeerEvent, TransceiverDirection};

use super::echo::serve_channel;
use super::visitors::Attendant;
use crate::film::{self, Program, Screening};
use crate::progress::say;

/// Plays the program to one visitor.
pub(super) struct FilmPeer {
    program: Arc<Program>,
    /// Which files of the program are being played.
    playing: Vec<usize>,
    clock: MediaClock,
    screening: Screening,
}

impl FilmPeer {
    pub(super) fn new(program: &Arc<Program>) -> Self {
        Self {
            program: Arc::clone(program),
            playing: Vec::new(),
            clock: MediaClock::start(),
            screening: program.screening(),
        }
    }
}

impl Attendant for FilmPeer {
    /// Each file goes to a media section of its kind.
    fn prepare(&mut self, pc: &PeerConnection) -> Result<(), Error> {
        let films = match self.program.open(self.clock) {
            Ok(films) => films,
            Err(error) => {
                tracing::warn!("{error}");
                return Ok(());
            }
        };
        for (index, film) in films.into_iter().enumerate() {
            let track = film.source.track();
            let is_free = |transceiver: &peerline::RtpTransceiver| {
                transceiver.kind() == track.kind() && transceiver.sender().track().is_none()
            };
            if self.playing.contains(&index) {
                continue;
            }
            let Some(transceiver) = pc.transceivers().into_iter().find(is_free) else {
                continue;
            };
            self.playing.push(index);
            transceiver.set_direction(TransceiverDirection::SendOnly)?;
            let sender = transceiver.sender();
            sender.set_streams(&[film::STREAM])?;
            sender.replace_track(Some(&track))?;
            self.screening.announce();
            let played = self.screening.clone().play(pc.clone(), film);
            tokio::spawn(async move {
                if let Err(error) = played.await {
                    say(&error);
                }
            });
        }
        Ok(())
    }

    fn attend(&mut self, pc: &PeerConnection, event: PeerEvent) {
        if let PeerEvent::DataChannel(channel) = event {
            serve_channel(pc, channel);
        }
    }
}
