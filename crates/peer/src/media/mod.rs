//! Audio and video: what enters by a [`TrackSource`](source::TrackSource) leaves through the [`RtpSender`](sender::RtpSender)s of
//! its track, and what a peer sends comes out of an [`RtpReceiver`](receiver::RtpReceiver).
//!
//! [`slots`] is what a connection keeps for the handles on each transceiver, [`place`] what those hold. Sources know connections
//! only weakly, and connections hold tracks: nothing holds itself.

pub(crate) mod clock;
pub(crate) mod dtmf;
pub(crate) mod methods;
pub(crate) mod place;
pub(crate) mod receiver;
pub(crate) mod sender;
pub(crate) mod slots;
pub(crate) mod source;
mod stats;
pub(crate) mod track;
pub(crate) mod transceiver;
