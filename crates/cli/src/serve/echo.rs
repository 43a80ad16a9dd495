//! The echo peer: sends back each message on its channel with the same type, and each track on its transceiver.

use std::collections::HashSet;
use std::time::Duration;

use peerline::{
    DataChannel, Error, PeerConnection, PeerEvent, ReceiveMode, SenderEvent, TrackEvent, TransceiverDirection,
    TransceiverId,
};

use super::forward::{Intake, Outlet};
use super::visitors::Attendant;
use crate::host::now;

/// The protocol of a channel for statistics.
const STATS: &str = "stats";
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// What one visitor is echoed.
#[derive(Default)]
pub(super) struct EchoPeer {
    /// Tracks are told of again when they come back: one task each is enough.
    echoed: HashSet<TransceiverId>,
}

impl Attendant for EchoPeer {
    /// What is offered to be sent is sent back: both directions are wanted.
    fn prepare(&mut self, pc: &PeerConnection) -> Result<(), Error> {
        for transceiver in pc.transceivers() {
            if transceiver.direction() == TransceiverDirection::RecvOnly {
                transceiver.set_direction(TransceiverDirection::SendRecv)?;
                let streams = transceiver.receiver().track().streams();
                let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
                transceiver.sender().set_streams(&streams)?;
            }
        }
        Ok(())
    }

    fn attend(&mut self, pc: &PeerConnection, event: PeerEvent) {
        match event {
            PeerEvent::DataChannel(channel) => serve_channel(pc, channel),
            PeerEvent::Track(track) if self.echoed.insert(track.transceiver.id()) => {
                tokio::spawn(echo_track(pc.clone(), track));
            }
            _ => {}
        }
    }
}

/// Echoes a channel; one with the protocol `stats` gets our statistics instead.
pub(super) fn serve_channel(pc: &PeerConnection, channel: DataChannel) {
    if channel.protocol() == STATS {
        tokio::spawn(tell_statistics(pc.clone(), channel));
    } else {
        tokio::spawn(echo_messages(channel));
    }
}

/// Sends our statistics once a second, as JSON, until the channel closes.
async fn tell_statistics(pc: PeerConnection, channel: DataChannel) {
    loop {
        let Ok(report) = serde_json::to_string(&pc.stats()) else {
            return;
        };
        if channel.send(report).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(STATS_INTERVAL) => {}
            // Whatever is said there is not listened to.
            message = channel.recv() => if message.is_none() { return },
        }
    }
}

/// Sends back what comes until the channel closes. Not reading while a send waits is the back-pressure.
async fn echo_messages(channel: DataChannel) {
    while let Some(message) = channel.recv().await {
        if let Err(error) = channel.send(message).await {
            tracing::debug!("channel {:?} is echoed no more: {error}", channel.label());
            return;
        }
    }
}

/// Sends back the packets that come until the track ends; of simulcast the highest layer. Who sees the echo asks its own sender
/// for keyframes, by way of us.
async fn echo_track(pc: PeerConnection, track: TrackEvent) {
    let TrackEvent {
        transceiver, receiver, ..
    } = track;
    receiver.set_mode(ReceiveMode::Packets);
    let sender = transceiver.sender();
    let mut intake = Intake::new(&receiver);
    let mut outlet = Outlet::new(&pc, sender.clone());
    let mut packets = Vec::new();
    loop {
        tokio::select! {
            received = receiver.recv_packets(&mut packets) => {
                if received == 0 {
                    return;
                }
                let now = now();
                intake.receive(now, &packets);
                if let Some(wish) = outlet.forward(now, &intake, &packets) {
                    receiver.request_keyframe(wish.rid.as_deref());
                }
                packets.clear();
            }
            event = sender.next_event() => match event {
                Some(SenderEvent::KeyframeRequest { .. }) => receiver.request_keyframe(outlet.rid()),
                None => return,
            },
        }
    }
}
