//! `peerline loopback`: two peers in this process connect over real UDP sockets, and say how.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use peerline::{
    CandidateStats, Configuration, ConnectionState, DataChannel, DataChannelInit, IceCandidate, MediaFrame, MediaKind,
    Message, PeerConnection, PeerEvent, StatsKind, TrackSource,
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::host::now;
use crate::insight;
use crate::progress::say;

/// How long the peers may take to connect before the run counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// The messages of the throughput measurement, in bytes.
const BULK_MESSAGE: usize = 64 * 1024;
/// How long audio and video flow before they are counted.
const MEDIA: Duration = Duration::from_millis(500);
/// Round trips measured.
const PINGS: usize = 1_000;

type Failure = Box<dyn std::error::Error>;

/// Connects, exchanges messages, measures for `seconds`, and prints what happened.
pub(crate) async fn run(seconds: f64, insight: insight::Options) -> Result<(), Failure> {
    if !(seconds.is_finite() && (0.1..=600.0).contains(&seconds)) {
        return Err("--seconds takes a number from 0.1 to 600".into());
    }
    let insight = insight.open()?;
    let trace = Trace { started: now() };
    let configuration = || Configuration {
        loopback: true,
        ..insight.configuration()
    };
    let offerer = PeerConnection::new(configuration()).await?;
    let answerer = PeerConnection::new(configuration()).await?;
    let channel = offerer.create_data_channel("loopback", DataChannelInit::default())?;

    let films = [Film::start(&offerer)?, Film::start(&answerer)?];

    let offer = offerer.create_offer()?;
    trace.line("offerer", &format!("offer created ({} bytes)", offer.sdp.len()));
    offerer.set_local_description(offer.clone())?;
    answerer.set_remote_description(offer)?;
    let answer = answerer.create_answer()?;
    trace.line("answerer", &format!("answer created ({} bytes)", answer.sdp.len()));
    answerer.set_local_description(answer.clone())?;
    offerer.set_remote_description(answer)?;

    let (to_answerer, from_offerer) = mpsc::unbounded_channel();
    let (to_offerer, from_answerer) = mpsc::unbounded_channel();
    let (incoming_tx, mut incoming) = mpsc::unbounded_channel();
    let sides = [
        tokio::spawn(attend(
            trace,
            "offerer",
            offerer.clone(),
            to_answerer,
            from_answerer,
            incoming_tx.clone(),
        )),
        tokio::spawn(attend(
            trace,
            "answerer",
            answerer.clone(),
            to_offerer,
            from_offerer,
            incoming_tx,
        )),
    ];

    let connected = async {
        channel.opened().await?;
        trace.line(
            "offerer",
            &format!("SCTP connected: data channel {:?} open", channel.label()),
        );
        incoming
            .recv()
            .await
            .ok_or_else(|| Failure::from("the answering peer closed"))
    };
    let remote = tokio::time::timeout(PATIENCE, connected)
        .await
        .map_err(|_| format!("the peers did not connect within {} s", PATIENCE.as_secs()))??;
    let set_up = trace.started.elapsed();

    channel.send("hello from the offerer").await?;
    trace.line("answerer", &format!("received {}", describe(remote.recv().await)));
    remote.send(vec![1, 2, 3]).await?;
    trace.line("offerer", &format!("received {}", describe(channel.recv().await)));

    tokio::time::sleep(MEDIA).await;
    say("");
    say("  media, 30 pictures and 50 packets of sound a second   packets       bytes   lost");
    media_table("offerer", &offerer);
    media_table("answerer", &answerer);
    say(&describe_bandwidth("offerer", &offerer));
    say(&describe_bandwidth("answerer", &answerer));
    drop(films);

    let round_trips = ping(&channel, &remote).await?;
    let throughput = bulk(&channel, &remote, Duration::from_secs_f64(seconds)).await?;

    let percentile = |percent: usize| round_trips[PINGS * percent / 100].as_secs_f64() * 1e3;
    say("");
    for (what, figure, unit) in [
        ("set-up, until the channel is open", set_up.as_secs_f64() * 1e3, "ms"),
        ("round trip of 64 bytes, median", percentile(50), "ms"),
        ("round trip of 64 bytes, 99 %", percentile(99), "ms"),
        ("throughput, messages of 64 KiB", throughput / 1e6, "Mbit/s"),
    ] {
        say(&format!("  {what:<34} {figure:>10.3} {unit}"));
    }

    offerer.close();
    answerer.close();
    for side in sides {
        side.await?;
    }
    offerer.closed().await;
    answerer.closed().await;
    Ok(())
}

/// A synthetic source: pictures in the shape of VP8, and packets of what could be Opus. Dropping it ends it.
struct Film(tokio::task::JoinHandle<()>);

impl Film {
    fn start(pc: &PeerConnection) -> Result<Self, Failure> {
        let video = TrackSource::new(MediaKind::Video).with_mime_type("video/VP8");
        let audio = TrackSource::new(MediaKind::Audio).with_mime_type("audio/opus");
        pc.add_track(&audio.track(), &["film"])?;
        pc.add_track(&video.track(), &["film"])?;
        Ok(Self(tokio::spawn(async move {
            let mut sound = tokio::time::interval(Duration::from_millis(20));
            let mut pictures = tokio::time::interval(Duration::from_millis(33));
            let mut keyframe = true;
            loop {
                tokio::select! {
                    _ = sound.tick() => {
                        audio.write_frame(&MediaFrame::new(vec![0xf8; 80]));
                    }
                    _ = pictures.tick() => {
                        // RFC 6386 §9.1: a keyframe of 64 by 64.
                        let mut picture = vec![u8::from(!keyframe) | 0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0];
                        picture.resize(4000, 0);
                        keyframe &= video.write_frame(&MediaFrame::new(picture)) == 0;
                    }
                }
            }
        })))
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a peer has received, by its statistics.
fn media_table(name: &str, pc: &PeerConnection) {
    let stats = serde_json::to_value(pc.stats()).unwrap_or_default();
    let inbound = |one: &&Value| one["type"] == "inbound-rtp";
    for one in stats.as_array().into_iter().flatten().filter(inbound) {
        let number = |key: &str| one[key].as_i64().unwrap_or_default();
        say(&format!(
            "  {:<52} {:>8} {:>11} {:>6}",
            format!("{name} received {}", text(&one["kind"])),
            number("packetsReceived"),
            number("bytesReceived"),
            number("packetsLost"),
        ));
    }
}

/// What a peer believes that its path takes.
fn describe_bandwidth(name: &str, pc: &PeerConnection) -> String {
    let stats = pc.stats();
    let pair = stats.selected_candidate_pair();
    let bits = pair.and_then(|pair| pair.available_outgoing_bitrate);
    let estimate = bits.map_or("anything, until the other side has told".to_owned(), |bits| {
        format!("{:.1} Mbit/s of media so far: more is tried as they flow", bits / 1e6)
    });
    format!("  {name} believes that the path takes {estimate}")
}

/// Prints a peer's events and carries its candidates to the other, until it closes.
async fn attend(
    trace: Trace,
    name: &'static str,
    pc: PeerConnection,
    candidates: mpsc::UnboundedSender<Option<IceCandidate>>,
    mut remote_candidates: mpsc::UnboundedReceiver<Option<IceCandidate>>,
    incoming: mpsc::UnboundedSender<DataChannel>,
) {
    loop {
        tokio::select! {
            event = pc.next_event() => match event {
                None | Some(PeerEvent::ConnectionState(ConnectionState::Closed)) => return,
                Some(PeerEvent::IceCandidate(candidate)) => {
                    match &candidate {
                        Some(candidate) => trace.line(name, &candidate.candidate),
                        None => trace.line(name, "end of candidates"),
                    }
                    // The other side may have ended first.
                    let _ = candidates.send(candidate);
                }
                Some(PeerEvent::DataChannel(channel)) => {
                    let text = format!("SCTP connected: data channel {:?} from the other side", channel.label());
                    trace.line(name, &text);
                    let _ = incoming.send(channel);
                }
                Some(PeerEvent::IceConnectionState(state)) => trace.line(name, &format!("ICE {state}")),
                Some(PeerEvent::IceGatheringState(state)) => trace.line(name, &format!("gathering {state}")),
                Some(PeerEvent::SignalingState(state)) => trace.line(name, &format!("signaling {state}")),
                Some(PeerEvent::ConnectionState(state)) => {
                    if state == ConnectionState::Connected {
                        trace.line(name, &describe_dtls(&pc));
                    }
                    trace.line(name, &format!("connection {state}"));
                }
                Some(PeerEvent::DtlsTransportState(state)) => trace.line(name, &format!("DTLS {state}")),
                Some(PeerEvent::DtlsTransportError(reason)) => trace.line(name, &format!("DTLS: {reason}")),
                Some(PeerEvent::SctpTransportState(state)) => trace.line(name, &format!("SCTP {state}")),
                Some(PeerEvent::SelectedCandidatePair) => {
                    if let Some(path) = describe_path(&pc) {
                        trace.line(name, &path);
                    }
                }
                // Many times a second: the latest is told in the end.
                Some(PeerEvent::BandwidthEstimate(_)) => {}
                Some(PeerEvent::NegotiationNeeded) => trace.line(name, "negotiation needed"),
                Some(PeerEvent::Track(track)) => {
                    let mid = track.transceiver.mid().unwrap_or_default();
                    trace.line(name, &format!("{} track from the other side, section {mid}", track.receiver.kind()));
                }
                Some(
                    event @ (PeerEvent::TrackRemoved { .. }
                    | PeerEvent::TrackMuted(_)
                    | PeerEvent::TrackUnmuted(_)
                    | PeerEvent::TrackEnded(_)
                    | PeerEvent::DtmfTone { .. }
                    | PeerEvent::IceCandidateError(_)),
                ) => trace.line(name, &format!("{event:?}")),
            },
            Some(candidate) = remote_candidates.recv() => {
                if let Err(error) = pc.add_ice_candidate(candidate) {
                    trace.line(name, &format!("a candidate was refused: {error}"));
                }
            }
        }
    }
}

/// The pair that ICE selected: over what it goes, and what its ends are.
fn describe_path(pc: &PeerConnection) -> Option<String> {
    let stats = pc.stats();
    let pair = stats.selected_candidate_pair()?;
    let candidate = |id: &str| match &stats.get(id)?.kind {
        StatsKind::LocalCandidate(candidate) | StatsKind::RemoteCandidate(candidate) => Some(candidate.clone()),
        _ => None,
    };
    let (local, remote) = (
        candidate(&pair.local_candidate_id)?,
        candidate(&pair.remote_candidate_id)?,
    );
    Some(format!(
        "path: {} from {} to {}",
        local.protocol.to_uppercase(),
        describe_end(&local),
        describe_end(&remote)
    ))
}

/// A candidate by its type's short name, and in words (RFC 8445 §5.1.1).
fn describe_end(candidate: &CandidateStats) -> String {
    let meaning = match candidate.candidate_type {
        "host" => "its own address",
        "srflx" => "its address behind a translator, as a STUN server sees it",
        "prflx" => "its address as a check has shown it",
        "relay" => "an address at a TURN server, which relays",
        _ => "an address",
    };
    let address = candidate.address.as_deref().unwrap_or("a hidden address");
    format!(
        "{address} port {} ({}: {meaning})",
        candidate.port, candidate.candidate_type
    )
}

/// What DTLS negotiated, by the W3C's names.
fn describe_dtls(pc: &PeerConnection) -> String {
    let stats = serde_json::to_value(pc.stats()).unwrap_or_default();
    let transport = stats
        .as_array()
        .into_iter()
        .flatten()
        .find(|object| object["type"] == "transport");
    let transport = transport.unwrap_or(&Value::Null);
    format!(
        "DTLS connected: {}, {}",
        text(&transport["dtlsRole"]),
        text(&transport["dtlsCipher"])
    )
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Round trips of 64 bytes, sorted.
async fn ping(near: &DataChannel, far: &DataChannel) -> Result<Vec<Duration>, Failure> {
    let echo = tokio::spawn({
        let far = far.clone();
        async move {
            for _ in 0..PINGS {
                let Some(message) = far.recv().await else { return };
                if far.send(message).await.is_err() {
                    return;
                }
            }
        }
    });
    let mut round_trips = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let sent = now();
        near.send(vec![0; 64]).await?;
        near.recv().await.ok_or("the channel closed while pinging")?;
        round_trips.push(sent.elapsed());
    }
    echo.await?;
    round_trips.sort_unstable();
    Ok(round_trips)
}

/// Bits a second that arrive in messages of 64 KiB.
async fn bulk(near: &DataChannel, far: &DataChannel, duration: Duration) -> Result<f64, Failure> {
    let end = now() + duration;
    let sender = tokio::spawn({
        let near = near.clone();
        async move {
            let payload = bytes::Bytes::from(vec![0x5a; BULK_MESSAGE]);
            let mut sent = 0;
            while now() < end && near.send(payload.clone()).await.is_ok() {
                sent += 1;
            }
            // An empty message marks the end.
            let _ = near.send("").await;
            sent
        }
    });
    let begun = now();
    let mut received = 0;
    while let Some(message) = far.recv().await {
        match message {
            Message::Binary(payload) => received += payload.len(),
            Message::Text(_) => break,
        }
    }
    let elapsed = begun.elapsed();
    if sender.await? * BULK_MESSAGE != received {
        return Err(format!("only {received} bytes of the throughput measurement arrived").into());
    }
    Ok(received as f64 * 8.0 / elapsed.as_secs_f64())
}

fn describe(message: Option<Message>) -> String {
    match message {
        Some(Message::Text(text)) => format!("text {text:?}"),
        Some(Message::Binary(payload)) => format!("{} binary bytes", payload.len()),
        None => "nothing: the channel closed".into(),
    }
}

/// Prints lines with the milliseconds since the start.
#[derive(Clone, Copy)]
struct Trace {
    started: Instant,
}

impl Trace {
    fn line(&self, side: &str, text: &str) {
        // Two tasks tell: who looks at the time is who writes next.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let milliseconds = self.started.elapsed().as_secs_f64() * 1e3;
        say(&format!("{milliseconds:>9.2} ms  {side:<8}  {text}"));
    }
}
