//! Files of encoded audio and video: a [`Recorder`] writes what tracks of a connection bring, a [`Player`] reads what they
//! shall send. Nothing is encoded or decoded, and nothing here has a clock: times are passed in and given out.
//!
//! ```
//! use peerline_recorder::{Codec, Frame, Recorder, RecorderOptions, Track};
//! use peerline_recorder::{Player, PlayerOptions};
//! use std::time::Duration;
//!
//! let folder = std::env::temp_dir().join(format!("peerline-recorder-example-{}", std::process::id()));
//! let mut recorder = Recorder::new(&folder, RecorderOptions::default())?;
//! let voice = recorder.add("alice", &[Track::new("voice", Codec::Pcmu)])[0];
//! let (time, data) = (Duration::from_millis(80), b"\xff\xff"[..].into());
//! recorder.write(voice, Frame { timestamp: 4711, keyframe: true, time, sampled: None, data })?;
//! let reports = recorder.finish()?;
//!
//! let path = reports[0].path.as_deref().expect("a frame has come");
//! assert!(path.ends_with("voice.wav"));
//! let mut player = Player::open(path, PlayerOptions::default())?;
//! assert_eq!(player.codec(), Codec::Pcmu);
//! assert_eq!(player.next_frame()?.expect("that frame").duration, Duration::from_micros(250));
//! # std::fs::remove_dir_all(folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | idea |
//! |---|---|
//! | [`Recorder`] | which track goes to which file |
//! | `track_file` | one track to one file: IVF, WebM, Ogg, WAV, a byte stream |
//! | `stream_file` | audio and video of one stream to one WebM |
//! | [`webm`] | WebM, over the crate `webm-iterable` |
//! | `timeline` | RTP timestamps to a file's time |
//! | [`Player`] | a file's frames with their times |
//! | [`Codec`] | what the frames are |

mod av1;
mod codec;
#[doc(hidden)]
pub mod fuzzing;
mod g711;
mod name;
mod picture;
mod player;
mod recorder;
mod stream_file;
mod timeline;
mod track_file;
pub mod webm;

pub use codec::{Codec, Kind};
pub use player::{PlayError, PlayedFrame, Player, PlayerOptions};
pub use recorder::{Frame, Recorder, RecorderOptions, Report, Track, TrackId, VideoFile};

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
