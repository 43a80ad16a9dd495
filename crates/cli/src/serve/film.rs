//! `peerline play`: the peer behind the page plays files to whoever connects, each from its beginning.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use peerline::{
    ConnectionState, Error, MediaClock, MediaFrame, MediaKind, PeerConnection, PeerEvent, TrackSource,
    TransceiverDirection,
};
use peerline_recorder::{Kind, PlayError, Player, PlayerOptions};

use super::echo::serve_channel;
use super::forward::now;
use super::visitors::Attendant;

/// Files that are played together: one with sound, one with pictures, or one of them.
pub(crate) struct Program {
    files: Vec<PathBuf>,
    options: PlayerOptions,
}

impl Program {
    /// Files that can be played, checked by opening them.
    pub(crate) fn new(files: Vec<PathBuf>, repeat: bool) -> Result<Self, String> {
        let options = PlayerOptions {
            repeat,
            ..PlayerOptions::default()
        };
        let mut kinds = Vec::new();
        for file in &files {
            let player = Player::open(file, options).map_err(|error| format!("{}: {error}", file.display()))?;
            if kinds.contains(&player.codec().kind()) {
                return Err("play one file with sound and one with pictures, or one of them".into());
            }
            kinds.push(player.codec().kind());
        }
        Ok(Self { files, options })
    }
}

/// Plays the program to one visitor.
pub(super) struct FilmPeer {
    program: Arc<Program>,
    /// The files that are being played.
    playing: Vec<PathBuf>,
    clock: MediaClock,
    /// When the visitor could first see or hear something, by the clock: all files begin there.
    begun: Arc<OnceLock<Duration>>,
}

impl FilmPeer {
    pub(super) fn new(program: &Arc<Program>) -> Self {
        Self {
            program: Arc::clone(program),
            playing: Vec::new(),
            clock: MediaClock::start(),
            begun: Arc::default(),
        }
    }
}

impl Attendant for FilmPeer {
    /// Each file goes to a media section of its kind.
    fn prepare(&mut self, pc: &PeerConnection) -> Result<(), Error> {
        for file in &self.program.files {
            let Ok(player) = Player::open(file, self.program.options) else {
                continue;
            };
            let (kind, top) = match player.codec().kind() {
                Kind::Audio => (MediaKind::Audio, "audio"),
                Kind::Video => (MediaKind::Video, "video"),
            };
            let is_free = |transceiver: &peerline::RtpTransceiver| {
                transceiver.kind() == kind && transceiver.sender().track().is_none()
            };
            if self.playing.contains(file) {
                continue;
            }
            let Some(transceiver) = pc.transceivers().into_iter().find(is_free) else {
                continue;
            };
            self.playing.push(file.clone());
            let source = TrackSource::new(kind)
                .with_mime_type(&format!("{top}/{}", player.codec().encoding_name()))
                .with_clock(self.clock);
            transceiver.set_direction(TransceiverDirection::SendOnly)?;
            let sender = transceiver.sender();
            sender.set_streams(&["film"])?;
            sender.replace_track(Some(&source.track()))?;
            let name = file.display().to_string();
            let task = play(pc.clone(), player, source, Arc::clone(&self.begun));
            tokio::spawn(async move {
                match task.await {
                    Ok(frames) => say(&format!("played {frames} frames of {name}")),
                    Err(error) => say(&format!("{name}: {error}")),
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

/// Sends the frames of a file, each when it is due; how many.
async fn play(
    pc: PeerConnection,
    mut player: Player,
    source: TrackSource,
    begun: Arc<OnceLock<Duration>>,
) -> Result<u64, PlayError> {
    while pc.connection_state() != ConnectionState::Connected || source.demand().senders == 0 {
        if pc.connection_state() == ConnectionState::Closed {
            return Ok(0);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = *begun.get_or_init(|| source.clock().elapsed());
    let mut frames = 0;
    while let Some(frame) = player.next_frame()? {
        let time = begun + frame.time;
        let due: Instant = source.clock().instant_of(time);
        if due > now() {
            tokio::time::sleep_until(due.into()).await;
        }
        if pc.connection_state() == ConnectionState::Closed {
            break;
        }
        source.write_frame(&MediaFrame::at(time, frame.data));
        frames += 1;
        if frames % 250 == 0 {
            tracing::info!("{:.0} s played", frame.time.as_secs_f64());
        }
    }
    // The track goes on, silently: the other side sees the last picture.
    pc.closed().await;
    Ok(frames)
}

/// Prints a line. Whoever reads may stop reading: no reason to fail.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
