//! `str0m`: no I/O of its own, so this is its documented run loop over a tokio socket, in the task that sends and receives.
//!
//! Its contract is one change at a time, each followed by `poll_output` until it returns a timeout. A loop in a task of its
//! own would cost queues between it and the application, which `str0m` does not need.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Once;
use std::time::Instant;

use bytes::Bytes;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::ChannelId;
use str0m::crypto::from_feature_flags;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;

use super::{Channel, Pair, Stack};
use crate::Result;
use crate::process::now;

pub(crate) struct Str0m;

impl Stack for Str0m {
    type Channel = End;

    async fn connect(send_buffer: usize) -> Result<Pair<End>> {
        install_provider();
        let (mut offerer, mut answerer) = (End::new(send_buffer).await?, End::new(send_buffer).await?);
        let mut change = offerer.rtc.sdp_api();
        change.add_channel("bench".to_owned());
        let (offer, pending) = change.apply().ok_or("nothing to offer")?;
        offerer.drain().await?;

        let offer = SdpOffer::from_sdp_string(&offer.to_sdp_string())?;
        let answer = answerer.rtc.sdp_api().accept_offer(offer)?;
        answerer.drain().await?;

        let answer = SdpAnswer::from_sdp_string(&answer.to_sdp_string())?;
        offerer.rtc.sdp_api().accept_answer(pending, answer)?;
        offerer.drain().await?;

        // Two peers, two tasks.
        let (offerer, answerer) = (tokio::spawn(offerer.opened()), tokio::spawn(answerer.opened()));
        Ok(Pair {
            offerer: offerer.await??,
            answerer: answerer.await??,
        })
    }
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
}

impl End {
    async fn new(send_buffer: usize) -> Result<Self> {
        let socket = socket()?;
        let address = socket.local_addr()?;
        let deadline = now();
        let mut end = Self {
            rtc: RtcConfig::new()
                .set_sctp_max_buffered_amount(send_buffer)
                .build(deadline),
            socket,
            address,
            deadline,
            datagram: vec![0; 2000],
            channel: None,
            received: VecDeque::new(),
        };
        end.rtc.add_local_candidate(Candidate::host(address, "udp")?);
        end.drain().await?;
        Ok(end)
    }

    async fn opened(mut self) -> Result<Self> {
        while self.channel.is_none() {
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
