//! Media files: readers over [`std::io::Read`] and writers over [`std::io::Write`], one file a format, each usable alone.
//!
//! Readers and writers stream: one frame (packet, page) is in memory at a time, and no size that a file claims is
//! allocated before its bytes have come. [`Error`] names the place in the file and what was expected there. A reader makes
//! many small reads, a writer many small writes: give them a [`std::io::BufReader`] or a [`std::io::BufWriter`].
//!
//! Nothing needs [`std::io::Seek`]: where a header holds what only the end tells, a writer's `finish` leaves it open, as
//! a stream has to, and `finish_header` goes back and fills it in.
//!
//! | file | format |
//! |---|---|
//! | [`ivf`] | IVF: VP8, VP9 and AV1 frames with their timestamps |
//! | [`ogg`] | Ogg pages and packets (RFC 3533) |
//! | [`ogg_opus`] | Opus in Ogg (RFC 7845) |
//! | [`opus`] | Opus packets that stand for missing ones (RFC 7845 §4.1) |
//! | [`annex_b`] | H.264 and H.265 byte streams, cut into NAL units and access units |
//! | [`wav`] | WAV: PCM, A-law and µ-law |
//! | [`rtpdump`] | RTP and RTCP packets with their times, as rtptools keep them |
//!
//! ```
//! use peerline_rtp::file::ivf;
//!
//! let header = ivf::Header { codec: ivf::FourCc::VP8, width: 640, height: 480, ..ivf::Header::default() };
//! let mut writer = ivf::Writer::new(Vec::new(), &header)?;
//! writer.write_frame(0, b"a keyframe")?;
//! let file = writer.finish()?;
//!
//! let mut reader = ivf::Reader::new(&file[..])?;
//! let frame = reader.next_frame()?.expect("the frame written above");
//! assert_eq!((frame.timestamp, &frame.data[..]), (0, &b"a keyframe"[..]));
//! # Ok::<(), peerline_rtp::file::Error>(())
//! ```

pub mod annex_b;
mod bits;
mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod ivf;
pub mod ogg;
pub mod ogg_opus;
pub mod opus;
pub mod rtpdump;
mod source;
pub mod wav;

pub use error::Error;

use std::time::Duration;

/// `units × numerator / denominator` seconds; what is too long for a [`Duration`], or divided by zero, is the longest one.
fn time(units: u64, numerator: u32, denominator: u32) -> Duration {
    let nanoseconds = u128::from(units) * u128::from(numerator) * 1_000_000_000;
    let Some(nanoseconds) = nanoseconds.checked_div(u128::from(denominator)) else {
        return Duration::MAX;
    };
    let seconds = u64::try_from(nanoseconds / 1_000_000_000);
    let rest = u32::try_from(nanoseconds % 1_000_000_000).expect("below a milliard");
    seconds.map_or(Duration::MAX, |seconds| Duration::new(seconds, rest))
}
