//! Streams: one publisher, many viewers, and packets forwarded from the one to the others.
//!
//! A [`Stream`] is kept by its [`Publisher`](publisher::Publisher) and its [`Viewer`](viewer::Viewer)s, so that viewers stay
//! when a publisher goes and another comes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use peerline::{MediaKind, PeerConnection, ReceiveMode, RtpCodec, RtpReceiver, RtpSender};

use super::forward::{Intake, Outlet};
use super::reply::Refused;
use crate::host::now;

pub(super) mod publisher;
pub(super) mod viewer;

/// Streams that have a publisher or a viewer.
const MAX_STREAMS: usize = 200;
const MAX_NAME: usize = 64;
/// A publisher who sends nothing for so long gives way to another.
const SILENCE: Duration = Duration::from_secs(3);
/// How soon a viewer may ask again for what nobody publishes yet, and a publisher for a name that is taken, in seconds.
const RETRY: u32 = 2;

/// All streams, by their names.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<String, Weak<Stream>>>>);

impl Streams {
    /// The stream of this name, which need not have been there.
    fn open(&self, name: &str) -> Result<Arc<Stream>, Refused> {
        check_name(name)?;
        let mut streams = lock(&self.0);
        if let Some(stream) = streams.get(name).and_then(Weak::upgrade) {
            return Ok(stream);
        }
        streams.retain(|_, stream| stream.strong_count() > 0);
        if streams.len() >= MAX_STREAMS {
            let text = format!("{MAX_STREAMS} streams are under way already: try again later");
            return Err(Refused::unavailable(text));
        }
        let stream = Arc::new(Stream::new(name));
        streams.insert(name.to_owned(), Arc::downgrade(&stream));
        Ok(stream)
    }

    /// The stream of this name, if it is being published.
    fn live(&self, name: &str) -> Result<Arc<Stream>, Refused> {
        check_name(name)?;
        let stream = lock(&self.0).get(name).and_then(Weak::upgrade);
        // "return a 409 Conflict response … with a Retry-After header" (WHEP draft, session management).
        stream.filter(|stream| stream.is_live()).ok_or_else(|| {
            let text = format!("nobody publishes {name:?} now: publish it with POST /whip/{name}, or try again");
            Refused::new(StatusCode::CONFLICT, text).retry_after(RETRY)
        })
    }
}

fn check_name(name: &str) -> Result<(), Refused> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_fit) {
        return Ok(());
    }
    let text = format!("a stream's name has 1 to {MAX_NAME} letters, digits and -_.~");
    Err(Refused::new(StatusCode::BAD_REQUEST, text))
}

/// A number for each publisher and viewer.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(super) struct Stream {
    name: String,
    publisher: Mutex<Option<Present>>,
    audio: Mutex<Relay>,
    video: Mutex<Relay>,
}

/// Who publishes now.
struct Present {
    id: u64,
    pc: PeerConnection,
    since: Instant,
}

/// One kind of media: from whom, and to whom.
#[derive(Default)]
struct Relay {
    source: Option<Source>,
    outlets: Vec<(u64, Outlet)>,
}

struct Source {
    publisher: u64,
    receiver: RtpReceiver,
    intake: Intake,
}

impl Stream {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            publisher: Mutex::default(),
            audio: Mutex::default(),
            video: Mutex::default(),
        }
    }

    fn relay(&self, kind: MediaKind) -> MutexGuard<'_, Relay> {
        lock(match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video => &self.video,
        })
    }

    fn relays(&self) -> [&Mutex<Relay>; 2] {
        [&self.audio, &self.video]
    }

    fn is_live(&self) -> bool {
        lock(&self.publisher).is_some()
    }

    // --- publishing

    /// An error while somebody else publishes and is heard.
    fn ensure_free(&self) -> Result<(), Refused> {
        let now = now();
        let heard = |relay: &Mutex<Relay>| lock(relay).source.as_ref().and_then(|source| source.intake.latest);
        let latest = self.relays().into_iter().filter_map(heard).max();
        let active = |present: &Present| {
            let latest = latest.unwrap_or(present.since).max(present.since);
            now.saturating_duration_since(latest) < SILENCE
        };
        if lock(&self.publisher).as_ref().is_some_and(active) {
            let text = format!("somebody publishes {:?} already", self.name);
            return Err(Refused::new(StatusCode::CONFLICT, text).retry_after(RETRY));
        }
        Ok(())
    }

    /// Publishes from now on; who did before is sent away.
    fn take_over(&self, id: u64, pc: PeerConnection) -> Result<(), Refused> {
        self.ensure_free()?;
        let since = now();
        let former = lock(&self.publisher).replace(Present { id, pc, since });
        if let Some(former) = former {
            former.pc.close();
        }
        Ok(())
    }

    /// This publisher has gone. Viewers stay, for another.
    fn leave(&self, id: u64) {
        for relay in self.relays() {
            let is_ours = |source: &mut Source| source.publisher == id;
            let gone = lock(relay).source.take_if(is_ours);
            drop(gone);
        }
        let gone = lock(&self.publisher).take_if(|present| present.id == id);
        drop(gone);
    }

    /// A publisher's track: it goes to all viewers from now on.
    fn begin(self: &Arc<Self>, id: u64, receiver: RtpReceiver) {
        receiver.set_mode(ReceiveMode::Packets);
        let kind = receiver.kind();
        let mut relay = self.relay(kind);
        let former = relay.source.replace(Source {
            publisher: id,
            receiver: receiver.clone(),
            intake: Intake::new(&receiver),
        });
        for (_, outlet) in &mut relay.outlets {
            outlet.restart();
        }
        drop(relay);
        drop(former);
        let stream = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut packets = Vec::new();
            while receiver.recv_packets(&mut packets).await > 0 {
                let Some(stream) = stream.upgrade() else { return };
                if !stream.forward(id, kind, &packets) {
                    return;
                }
                packets.clear();
            }
        });
    }

    /// Sends packets on; false if they are not this publisher's any more.
    fn forward(&self, id: u64, kind: MediaKind, packets: &[peerline::IncomingPacket]) -> bool {
        let mut relay = self.relay(kind);
        let Relay { source, outlets } = &mut *relay;
        let Some(source) = source.as_mut().filter(|source| source.publisher == id) else {
            return false;
        };
        let now = now();
        source.intake.receive(now, packets);
        let mut wishes = Vec::new();
        for (_, outlet) in outlets {
            let wish = outlet.forward(now, &source.intake, packets);
            // Many viewers' wish for one layer is one.
            wishes.extend(wish.filter(|wish| !wishes.contains(wish)));
        }
        for wish in wishes {
            source.receiver.request_keyframe(wish.rid.as_deref());
        }
        true
    }

    // --- viewing

    /// The codec of what is published, of each kind.
    fn codec(&self, kind: MediaKind) -> Option<RtpCodec> {
        self.relay(kind).source.as_ref()?.intake.codec().cloned()
    }

    /// Sends to a viewer as well.
    fn add_outlet(&self, id: u64, pc: &PeerConnection, sender: RtpSender, layer: Option<Arc<str>>) {
        let mut relay = self.relay(sender.kind());
        let mut outlet = Outlet::new(pc, sender);
        outlet.want(layer);
        relay.outlets.push((id, outlet));
    }

    fn remove_viewer(&self, id: u64) {
        for relay in self.relays() {
            lock(relay).outlets.retain(|(other, _)| *other != id);
        }
    }

    /// True if a viewer takes something of what is published, or it is not known yet what that is.
    fn is_taken_by(&self, id: u64) -> bool {
        let is_known = |relay: &Mutex<Relay>| lock(relay).source.is_some();
        let mut relays = self.relays().into_iter();
        !relays.clone().any(is_known)
            || relays.any(|relay| {
                let relay = lock(relay);
                let outlet = relay.outlets.iter().find(|(other, _)| *other == id);
                outlet
                    .zip(relay.source.as_ref())
                    .is_some_and(|((_, outlet), source)| outlet.takes(&source.intake))
            })
    }

    /// A viewer cannot go on without a keyframe: the engine makes one of many requests.
    fn request_keyframe(&self, id: u64, kind: MediaKind) {
        let relay = self.relay(kind);
        let outlet = relay.outlets.iter().find(|(other, _)| *other == id);
        if let (Some(source), Some((_, outlet))) = (&relay.source, outlet) {
            source.receiver.request_keyframe(outlet.rid());
        }
    }

    /// Chooses the layer of simulcast for a viewer; `None` for the best that its path takes.
    fn choose_layer(&self, id: u64, layer: Option<&str>) -> Result<(), Refused> {
        let mut relay = self.relay(MediaKind::Video);
        let Relay { source, outlets } = &mut *relay;
        let rids = source.as_ref().map(|source| source.intake.rids()).unwrap_or_default();
        if let Some(layer) = layer.filter(|layer| !rids.iter().any(|rid| **rid == **layer)) {
            let text = format!("there is no layer {layer:?} now: those that come are {rids:?}, the best first");
            return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text));
        }
        for (_, outlet) in outlets.iter_mut().filter(|(other, _)| *other == id) {
            outlet.want(layer.map(Arc::from));
        }
        Ok(())
    }

    /// The layers that come, the best first, and the one that this viewer gets.
    fn layers(&self, id: u64) -> (Vec<Arc<str>>, Option<String>) {
        let relay = self.relay(MediaKind::Video);
        let rids = relay.source.as_ref().map(|source| source.intake.rids());
        let outlet = relay.outlets.iter().find(|(other, _)| *other == id);
        let present = outlet.and_then(|(_, outlet)| outlet.rid()).map(str::to_owned);
        (rids.unwrap_or_default(), present)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
