//! [`Upper`]: DTLS, media and data channels, the layers above ICE, and whether they rest.
//!
//! Of a connection that carries nothing, ICE alone has something to do: consent, every few seconds. What is above it is then not
//! asked at all: with thousands of connections none of its memory is in any cache.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use peerline_dtls as dtls;
use peerline_sctp::datachannel::Channels;

use crate::media::Media;

/// The layers above ICE. To borrow them mutably ends their [rest](Self::rests), so what is remembered of it always holds.
pub(crate) struct Upper {
    layers: Layers,
    rest: Option<Rest>,
}

pub(crate) struct Layers {
    pub(crate) dtls: Option<dtls::Connection>,
    /// Sends and receives what was agreed on; none while that is nothing.
    pub(crate) media: Option<Box<Media>>,
    pub(crate) channels: Channels,
}

/// Nothing to send and no news, until a deadline if there is one.
#[derive(Clone, Copy)]
struct Rest {
    deadline: Option<Instant>,
}

impl Upper {
    pub(crate) fn new(channels: Channels) -> Self {
        let layers = Layers {
            dtls: None,
            media: None,
            channels,
        };
        Self { layers, rest: None }
    }

    /// They were just asked for datagrams and for news, and had none: so it stays, until they are touched or time is up.
    pub(crate) fn begin_rest(&mut self) {
        self.rest = Some(Rest {
            deadline: self.layers.poll_timeout(),
        });
    }

    /// True while they have nothing to send, no news, and no timer that is due.
    pub(crate) fn rests(&self, now: Instant) -> bool {
        self.rest
            .is_some_and(|rest| rest.deadline.is_none_or(|deadline| now < deadline))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.rest
            .map_or_else(|| self.layers.poll_timeout(), |rest| rest.deadline)
    }
}

impl Deref for Upper {
    type Target = Layers;

    fn deref(&self) -> &Layers {
        &self.layers
    }
}

impl DerefMut for Upper {
    fn deref_mut(&mut self) -> &mut Layers {
        self.rest = None;
        &mut self.layers
    }
}

impl Layers {
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
        }
        if let Some(media) = &mut self.media {
            media.handle_timeout(now);
        }
        self.channels.handle_timeout(now);
    }

    /// One DTLS record of the handshake, or an alert; one packet of media; or one DTLS record around a packet of SCTP.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let Self { dtls, media, channels } = self;
        let dtls = dtls.as_mut()?;
        dtls.poll_transmit(now, out)
            .or_else(|| media.as_mut()?.poll_transmit(now, out))
            .or_else(|| dtls.enclose(out, |out| channels.poll_transmit(now, out)))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let dtls = self.dtls.as_ref().and_then(dtls::Connection::poll_timeout);
        let media = self.media.as_ref().and_then(|media| media.poll_timeout());
        let both = dtls.into_iter().chain(media);
        both.chain(self.channels.poll_timeout()).min()
    }

    pub(crate) fn shrink_to_fit(&mut self) {
        if let Some(dtls) = &mut self.dtls {
            dtls.shrink_to_fit();
        }
        self.channels.shrink_to_fit();
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a certificate says from when it holds")]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use peerline_sctp::datachannel::{self, ChannelInit};

    use super::*;

    #[test]
    fn rest_ends_with_a_touch_or_with_the_deadline() {
        let now = Instant::now();
        let mut upper = Upper::new(Channels::new(datachannel::Config::default()));
        assert!(!upper.rests(now));
        upper.begin_rest();
        assert!(upper.rests(now + Duration::from_secs(3_600)));
        // To look is not to touch.
        assert_eq!(upper.channels.iter().count(), 0);
        assert!(upper.rests(now));
        upper.channels.open(now, ChannelInit::default()).unwrap();
        assert!(!upper.rests(now));

        let certificate = dtls::Certificate::generate(&dtls::default_provider(), SystemTime::now()).unwrap();
        let config = dtls::Config::new(Arc::new(certificate));
        upper.dtls = Some(dtls::Connection::new(config, dtls::Role::Client));
        upper.handle_timeout(now);
        let mut out = Vec::new();
        while upper.poll_transmit(now, &mut out).is_some() {}
        let deadline = upper.poll_timeout().expect("a ClientHello is repeated");
        upper.begin_rest();
        assert_eq!(upper.poll_timeout(), Some(deadline));
        assert!(upper.rests(deadline - Duration::from_nanos(1)));
        assert!(!upper.rests(deadline));
    }
}
