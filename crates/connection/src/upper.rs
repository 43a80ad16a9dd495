//! [`Upper`]: DTLS, media and data channels, the layers above ICE, and which of them rest.
//!
//! Of a connection that carries nothing, ICE alone has something to do: consent, every few seconds. What is above it is then not
//! asked at all: with thousands of connections none of its memory is in any cache. Nor are DTLS and the data channels in it while
//! media alone is carried, as by one who forwards it to many.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use peerline_dtls as dtls;
use peerline_sctp::datachannel::{self, Channels};

use crate::capture::Tap;
use crate::event::Event;
use crate::media::Media;

/// The layers above ICE. To borrow them mutably ends their [rest](Self::rests), so what is remembered of it always holds.
pub(crate) struct Upper {
    layers: Layers,
    /// That of DTLS and of the data channels.
    data_rest: Option<Rest>,
    media_rest: Option<Rest>,
}

pub(crate) struct Layers {
    pub(crate) dtls: Option<dtls::Connection>,
    /// Sends and receives what was agreed on; none while that is nothing.
    pub(crate) media: Option<Box<Media>>,
    pub(crate) channels: Channels,
    /// SCTP's packets.
    pub(crate) tap: Tap,
}

/// What a layer tells.
pub(crate) enum News {
    Dtls(dtls::Event),
    Media(Event),
    Channels(datachannel::Event),
}

impl News {
    /// True if it may change what the connection's states are: messages and media do not.
    pub(crate) fn changes_states(&self) -> bool {
        match self {
            Self::Dtls(event) => !matches!(event, dtls::Event::Readable),
            Self::Media(_) => false,
            Self::Channels(event) => !matches!(
                event,
                datachannel::Event::Readable(_) | datachannel::Event::BufferedAmountLow(_)
            ),
        }
    }
}

/// Nothing to send and no news, until a deadline if there is one.
#[derive(Clone, Copy)]
struct Rest {
    deadline: Option<Instant>,
}

impl Rest {
    fn is_over(self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

impl Upper {
    pub(crate) fn new(channels: Channels, tap: Tap) -> Self {
        let layers = Layers {
            dtls: None,
            media: None,
            channels,
            tap,
        };
        Self {
            layers,
            data_rest: None,
            media_rest: None,
        }
    }

    /// Media alone: the others rest on.
    pub(crate) fn media_mut(&mut self) -> Option<&mut Media> {
        self.media_rest = None;
        self.layers.media.as_deref_mut()
    }

    /// Media, unless they rest.
    pub(crate) fn media_awake(&mut self, now: Instant) -> Option<&mut Media> {
        self.media_rest.take_if(|rest| rest.is_over(now));
        self.layers.media.as_deref_mut().filter(|_| self.media_rest.is_none())
    }

    /// What was seen unprotected.
    pub(crate) fn taps(&mut self) -> impl Iterator<Item = &mut Tap> {
        let Layers { media, tap, .. } = &mut self.layers;
        media.as_mut().map(|media| &mut media.tap).into_iter().chain([tap])
    }

    /// Those that do not rest were just asked for datagrams and for news, and had none: so it stays, until they are touched or time
    /// is up.
    pub(crate) fn begin_rest(&mut self) {
        let Self {
            layers,
            data_rest,
            media_rest,
        } = self;
        data_rest.get_or_insert_with(|| Rest {
            deadline: layers.data_timeout(),
        });
        media_rest.get_or_insert_with(|| Rest {
            deadline: layers.media_timeout(),
        });
    }

    /// True while they have nothing to send, no news, and no timer that is due.
    pub(crate) fn rests(&self, now: Instant) -> bool {
        self.data_rests(now) && self.media_rest.is_some_and(|rest| !rest.is_over(now))
    }

    /// The same for DTLS and the data channels.
    pub(crate) fn data_rests(&self, now: Instant) -> bool {
        self.data_rest.is_some_and(|rest| !rest.is_over(now))
    }

    /// Ends the rest of those whose time is up.
    fn wake(&mut self, now: Instant) {
        self.data_rest.take_if(|rest| rest.is_over(now));
        self.media_rest.take_if(|rest| rest.is_over(now));
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let data = self
            .data_rest
            .map_or_else(|| self.layers.data_timeout(), |rest| rest.deadline);
        let media = self
            .media_rest
            .map_or_else(|| self.layers.media_timeout(), |rest| rest.deadline);
        data.into_iter().chain(media).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.wake(now);
        let Layers {
            dtls, media, channels, ..
        } = &mut self.layers;
        if let Some(media) = media.as_mut().filter(|_| self.media_rest.is_none()) {
            media.handle_timeout(now);
        }
        if self.data_rest.is_none() {
            if let Some(dtls) = dtls {
                dtls.handle_timeout(now);
            }
            channels.handle_timeout(now);
        }
    }

    /// One DTLS record of the handshake, or an alert; one packet of media; or one DTLS record around a packet of SCTP.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        self.wake(now);
        let Layers {
            dtls,
            media,
            channels,
            tap,
        } = &mut self.layers;
        let mut media = media.as_mut().filter(|_| self.media_rest.is_none());
        let Some(dtls) = dtls.as_mut().filter(|_| self.data_rest.is_none()) else {
            return media?.poll_transmit(now, out);
        };
        dtls.poll_transmit(now, out)
            .or_else(|| media.as_mut()?.poll_transmit(now, out))
            .or_else(|| {
                dtls.enclose(out, |out| {
                    let start = out.len();
                    let len = channels.poll_transmit(now, out)?;
                    tap.see(Tap::SCTP, &out[start..]);
                    Some(len)
                })
            })
    }

    pub(crate) fn poll_event(&mut self, now: Instant) -> Option<News> {
        self.wake(now);
        let Layers {
            dtls, media, channels, ..
        } = &mut self.layers;
        let is_awake = self.data_rest.is_none();
        if let Some(event) = dtls.as_mut().filter(|_| is_awake).and_then(|dtls| dtls.poll_event()) {
            return Some(News::Dtls(event));
        }
        let media = media.as_mut().filter(|_| self.media_rest.is_none());
        if let Some(event) = media.and_then(|media| media.poll_event()) {
            return Some(News::Media(event));
        }
        is_awake.then(|| channels.poll_event())?.map(News::Channels)
    }

    /// Gives back memory that is not needed. Who rests does so after it, too.
    pub(crate) fn shrink_to_fit(&mut self) {
        if let Some(dtls) = &mut self.layers.dtls {
            dtls.shrink_to_fit();
        }
        self.layers.channels.shrink_to_fit();
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
        self.data_rest = None;
        self.media_rest = None;
        &mut self.layers
    }
}

impl Layers {
    fn data_timeout(&self) -> Option<Instant> {
        let dtls = self.dtls.as_ref().and_then(dtls::Connection::poll_timeout);
        dtls.into_iter().chain(self.channels.poll_timeout()).min()
    }

    fn media_timeout(&self) -> Option<Instant> {
        self.media.as_ref()?.poll_timeout()
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
        let mut upper = Upper::new(Channels::new(datachannel::Config::default()), Tap::default());
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

        // Nor does DTLS sleep beyond it because of what media do.
        let media = Media::new(now, &crate::media::tests::config(), [0; 32]);
        upper.media = Some(Box::new(media));
        upper.begin_rest();
        for millis in 1..deadline.duration_since(now).as_millis() as u64 {
            let now = now + Duration::from_millis(millis);
            assert!(upper.rests(now));
            assert!(upper.media_mut().is_some());
            assert!(!upper.rests(now) && upper.data_rests(now));
            upper.handle_timeout(now);
            assert_eq!(upper.poll_transmit(now, &mut out), None);
            assert!(upper.poll_event(now).is_none());
            upper.begin_rest();
            assert_eq!(upper.poll_timeout(), Some(deadline));
        }
        upper.media_mut();
        upper.handle_timeout(deadline);
        assert!(
            upper.poll_transmit(deadline, &mut out).is_some(),
            "the ClientHello again"
        );
    }
}
