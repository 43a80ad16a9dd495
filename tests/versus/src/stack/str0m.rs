//! `str0m`: no I/O of its own, so this is its documented run loop over a tokio socket, in the task that sends and receives.
//!
//! Its contract is one change at a time, each followed by `poll_output` until it returns a timeout. A loop in a task of its
//! own would cost queues between it and the application, which `str0m` does not need.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Once;
use std::time::Instant;

use bytes::Bytes;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::crypto::from_feature_flags;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;

use super::{Channel, MediaStack, PacketReceiver, PacketSender, Pair, Stack};
use crate::Result;
use crate::process::now;
use crate::rtp::Protection;

pub(crate) struct Str0m;

impl Stack for Str0m {
    type Channel = End;

    async fn connect(send_buffer: usize) -> Result<Pair<End>> {
        let config = || RtcConfig::new().set_sctp_max_buffered_amount(send_buffer);
        let (mut offerer, mut answerer) = (End::new(config()).await?, End::new(config()).await?);
        let mut change = offerer.rtc.sdp_api();
        change.add_channel("bench".to_owned());
        let offer = change.apply().ok_or("nothing to offer")?;
        negotiate(&mut offerer, &mut answerer, offer).await?;

        // Two peers, two tasks.
        let is_open = |end: &End| end.channel.is_some();
        let (offerer, answerer) = (
            tokio::spawn(offerer.run_until(is_open)),
            tokio::spawn(answerer.run_until(is_open)),
        );
        Ok(Pair {
            offerer: offerer.await??,
            answerer: answerer.await??,
        })
    }
}

impl MediaStack for Str0m {
    type Sender = End;
    type Receiver = End;

    /// It offers AES-GCM of both lengths before AES-CM, and has no way to say otherwise.
    async fn connect_media(_: Protection) -> Result<(End, End)> {
        let config = || RtcConfig::new().set_rtp_mode(true);
        let (mut offerer, mut answerer) = (End::new(config()).await?, End::new(config()).await?);
        let mut change = offerer.rtc.sdp_api();
        let mid = change.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
        let offer = change.apply().ok_or("nothing to offer")?;
        negotiate(&mut offerer, &mut answerer, offer).await?;
        let media = offerer.rtc.media(mid).ok_or("no media")?;
        offerer.media = media.remote_pts().first().map(|payload_type| (mid, *payload_type));

        let is_connected = |end: &End| end.rtc.is_connected();
        let (offerer, answerer) = (
            tokio::spawn(offerer.run_until(is_connected)),
            tokio::spawn(answerer.run_until(is_connected)),
        );
        Ok((offerer.await??, answerer.await??))
    }
}

async fn negotiate(offerer: &mut End, answerer: &mut End, (offer, pending): (SdpOffer, SdpPendingOffer)) -> Result<()> {
    offerer.drain().await?;
    let offer = SdpOffer::from_sdp_string(&offer.to_sdp_string())?;
    let answer = answerer.rtc.sdp_api().accept_offer(offer)?;
    answerer.drain().await?;

    let answer = SdpAnswer::from_sdp_string(&answer.to_sdp_string())?;
    offerer.rtc.sdp_api().accept_answer(pending, answer)?;
    offerer.drain().await
}

/// Once a process.
pub(crate) fn install_provider() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| from_feature_flags().install_process_default());
}

pub(crate) struct End {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    /// When `rtc` wants to be told the time.
    deadline: Instant,
    /// One datagram as it arrives: 2,000 bytes in all of their examples.
    datagram: Vec<u8>,
    /// Once it is open.
    channel: Option<ChannelId>,
    received: VecDeque<Vec<u8>>,
    /// What is sent as packets, if anything is, and the number of the latest.
    media: Option<(Mid, Pt)>,
    number: u64,
    packets: usize,
}

impl End {
    async fn new(config: RtcConfig) -> Result<Self> {
        let socket = socket()?;
        let address = socket.local_addr()?;
        let deadline = now();
        let mut end = Self {
            rtc: config.build(deadline),
            socket,
            address,
            deadline,
            datagram: vec![0; 2000],
            channel: None,
            received: VecDeque::new(),
            media: None,
            number: 1,
            packets: 0,
        };
        end.rtc.add_local_candidate(Candidate::host(address, "udp")?);
        end.drain().await?;
        Ok(end)
    }

    async fn run_until(mut self, is_so: impl Fn(&Self) -> bool) -> Result<Self> {
        while !is_so(&self) {
            self.step().await?;
        }
        Ok(self)
    }

    /// Waits for a datagram or the timeout and handles it.
    async fn step(&mut self) -> Result<()> {
        if self.deadline <= now() {
            return self.handle_timeout().await;
        }
        // In this order: while datagrams wait, no timer is set.
        tokio::select! {
            biased;
            received = self.socket.recv_from(&mut self.datagram) => {
                let (len, source) = received?;
                self.handle_datagram(len, source).await
            }
            () = tokio::time::sleep_until(self.deadline.into()) => self.handle_timeout().await,
        }
    }

    /// Handles what has arrived, without waiting.
    async fn catch_up(&mut self) -> Result<()> {
        while let Ok((len, source)) = self.socket.try_recv_from(&mut self.datagram) {
            self.handle_datagram(len, source).await?;
        }
        Ok(())
    }

    async fn handle_datagram(&mut self, len: usize, source: SocketAddr) -> Result<()> {
        let datagram = Receive {
            proto: Protocol::Udp,
            source,
            destination: self.address,
            contents: self.datagram.get(..len).unwrap_or_default().try_into()?,
        };
        self.rtc.handle_input(Input::Receive(now(), datagram))?;
        self.drain().await
    }

    async fn handle_timeout(&mut self) -> Result<()> {
        self.rtc.handle_input(Input::Timeout(now()))?;
        self.drain().await
    }

    /// Carries out all that `rtc` has to say after a change.
    async fn drain(&mut self) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return Ok(());
                }
                Output::Transmit(transmit) => {
                    self.socket.send_to(&transmit.contents, transmit.destination).await?;
                }
                Output::Event(Event::ChannelOpen(id, _)) => self.channel = Some(id),
                Output::Event(Event::ChannelData(data)) => self.received.push_back(data.data),
                Output::Event(Event::RtpPacket(_)) => self.packets += 1,
                Output::Event(Event::ChannelClose(_)) => return Err("closed".into()),
                Output::Event(_) => {}
            }
        }
    }
}

/// A socket with large buffers, since it is the application's to choose them: a message of `str0m` is a datagram at least,
/// and a full send buffer of small ones is more than the default of 208 KiB holds.
fn socket() -> Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let options = socket2::SockRef::from(&socket);
    options.set_recv_buffer_size(SOCKET_BUFFER)?;
    options.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from_std(socket)?)
}

/// What Peerline asks for, too.
const SOCKET_BUFFER: usize = 4 << 20;

impl Channel for End {
    async fn send(&mut self, payload: &Bytes) -> Result<()> {
        let id = self.channel.ok_or("not open")?;
        // Acknowledgements first: with less under way, `str0m` has less to search.
        self.catch_up().await?;
        while !self.rtc.channel(id).ok_or("closed")?.write(true, payload)? {
            self.drain().await?;
            self.step().await?;
        }
        self.drain().await
    }

    async fn recv(&mut self) -> Result<usize> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Ok(message.len());
            }
            self.step().await?;
        }
    }

    async fn close(mut self) {
        self.rtc.disconnect();
    }
}

impl PacketSender for End {
    async fn send(&mut self, payload: &Bytes, count: usize) -> Result<()> {
        self.catch_up().await?;
        let (mid, payload_type) = self.media.ok_or("not negotiated")?;
        let timestamp = (self.number as u32).wrapping_mul(3000);
        let now = now();
        for packet in 1..=count {
            self.number += 1;
            let write = RtpWrite::new(payload_type, self.number.into(), timestamp, now, &payload[..])
                .marker(packet == count)
                .nackable(true);
            let mut api = self.rtc.direct_api();
            api.stream_tx_by_mid(mid, None).ok_or("no stream")?.write_rtp(write);
            self.drain().await?;
        }
        Ok(())
    }

    async fn attend(&mut self) -> Result<Infallible> {
        loop {
            self.step().await?;
        }
    }
}

impl PacketReceiver for End {
    async fn recv(&mut self) -> Result<usize> {
        while self.packets == 0 {
            self.step().await?;
            self.catch_up().await?;
        }
        Ok(std::mem::take(&mut self.packets))
    }
}
