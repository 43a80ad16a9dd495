//! Peerline, by its asynchronous API.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use peerline::{
    AddressFilter, Configuration, DataChannel, DataChannelInit, Message, PeerConnection, PeerEvent, SessionDescription,
};

use super::{Channel, Pair, Stack};
use crate::Result;

pub(crate) struct Peerline;

pub(crate) struct End {
    connection: PeerConnection,
    channel: DataChannel,
}

impl Stack for Peerline {
    type Channel = End;

    async fn connect(send_buffer: usize) -> Result<Pair<End>> {
        let (offerer, answerer) = (new_peer(send_buffer).await?, new_peer(send_buffer).await?);
        let channel = offerer.create_data_channel("bench", DataChannelInit::default())?;
        offerer.set_local_description(offerer.create_offer()?)?;
        answerer.set_remote_description(gathered(&offerer).await?)?;
        answerer.set_local_description(answerer.create_answer()?)?;
        offerer.set_remote_description(gathered(&answerer).await?)?;

        channel.opened().await?;
        let accepted = accept(&answerer).await?;
        Ok(Pair {
            offerer: End {
                connection: offerer,
                channel,
            },
            answerer: End {
                connection: answerer,
                channel: accepted,
            },
        })
    }
}

async fn new_peer(send_buffer: usize) -> Result<PeerConnection> {
    let configuration = Configuration {
        loopback: true,
        address_filter: Some(AddressFilter::only([IpAddr::V4(Ipv4Addr::LOCALHOST)])),
        buffered_amount_high_water_mark: send_buffer,
        ..Configuration::default()
    };
    Ok(PeerConnection::new(configuration).await?)
}

async fn gathered(peer: &PeerConnection) -> Result<SessionDescription> {
    peer.gathering_complete().await;
    Ok(peer.local_description().ok_or("no local description")?)
}

async fn accept(peer: &PeerConnection) -> Result<DataChannel> {
    while let Some(event) = peer.next_event().await {
        if let PeerEvent::DataChannel(channel) = event {
            channel.opened().await?;
            return Ok(channel);
        }
    }
    Err("closed before a channel came".into())
}

impl Channel for End {
    async fn send(&mut self, payload: &Bytes) -> Result<()> {
        Ok(self.channel.send(payload.clone()).await?)
    }

    async fn recv(&mut self) -> Result<usize> {
        match self.channel.recv().await {
            Some(Message::Binary(bytes)) => Ok(bytes.len()),
            Some(Message::Text(_)) => Err("text, where binary was sent".into()),
            None => Err("closed".into()),
        }
    }

    async fn close(self) {
        self.connection.close();
    }
}
