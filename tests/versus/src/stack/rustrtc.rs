//! `rustrtc`, as its own benchmark uses it: on tokio, with the send-buffer limit that it offers for back-pressure.

use std::sync::Arc;

use bytes::Bytes;
use rustrtc::transports::sctp::DataChannel;
use rustrtc::{DataChannelEvent, PeerConnection, PeerConnectionEvent, RtcConfiguration, SessionDescription};

use super::{Channel, Pair, Stack};
use crate::Result;

pub(crate) struct Rustrtc;

pub(crate) struct End {
    connection: PeerConnection,
    channel: Arc<DataChannel>,
}

impl Stack for Rustrtc {
    type Channel = End;

    async fn connect(send_buffer: usize) -> Result<Pair<End>> {
        let (offerer, answerer) = (new_peer(send_buffer), new_peer(send_buffer));
        let config = rustrtc::transports::sctp::DataChannelConfig {
            ordered: true,
            ..Default::default()
        };
        let channel = offerer.create_data_channel("bench", Some(config))?;
        offerer.set_local_description(offerer.create_offer().await?)?;
        answerer.set_remote_description(gathered(&offerer).await?).await?;
        answerer.set_local_description(answerer.create_answer().await?)?;
        offerer.set_remote_description(gathered(&answerer).await?).await?;

        let accepted = accept(&answerer).await?;
        Ok(Pair {
            offerer: opened(offerer, channel).await?,
            answerer: opened(answerer, accepted).await?,
        })
    }
}

fn new_peer(send_buffer: usize) -> PeerConnection {
    PeerConnection::new(RtcConfiguration {
        bind_ip: Some("127.0.0.1".to_owned()),
        sctp_max_buffered_amount: send_buffer,
        ..RtcConfiguration::default()
    })
}

async fn gathered(peer: &PeerConnection) -> Result<SessionDescription> {
    peer.wait_for_gathering_complete().await;
    Ok(peer.local_description().ok_or("no local description")?)
}

async fn accept(peer: &PeerConnection) -> Result<Arc<DataChannel>> {
    while let Some(event) = peer.recv().await {
        if let PeerConnectionEvent::DataChannel(channel) = event {
            return Ok(channel);
        }
    }
    Err("closed before a channel came".into())
}

async fn opened(connection: PeerConnection, channel: Arc<DataChannel>) -> Result<End> {
    while let Some(event) = channel.recv().await {
        if let DataChannelEvent::Open = event {
            return Ok(End { connection, channel });
        }
    }
    Err("closed before it opened".into())
}

impl Channel for End {
    async fn send(&mut self, payload: &Bytes) -> Result<()> {
        Ok(self.connection.send_data(self.channel.id, payload).await?)
    }

    async fn recv(&mut self) -> Result<usize> {
        loop {
            match self.channel.recv().await {
                Some(DataChannelEvent::Message(message)) => return Ok(message.len()),
                Some(DataChannelEvent::Close) | None => return Err("closed".into()),
                Some(_) => {}
            }
        }
    }

    async fn close(self) {
        self.connection.close();
    }
}
