//! Bodies of the fuzz targets.

use crate::av1::{self, Container};
use crate::track_file::{stored, video_track};
use crate::{Codec, Player, PlayerOptions, picture};
use bytes::Bytes;

/// A frame that a remote peer sent, whatever its codec: what is read of it is within it, and AV1 that is written again is
/// the same.
pub fn frame(bytes: &[u8]) {
    for codec in Codec::ALL {
        let keyframe = picture::is_keyframe(codec, bytes);
        let track = video_track(codec, bytes);
        assert!(keyframe || track.is_none(), "{codec:?}");
    }
    let frame = Bytes::copy_from_slice(bytes);
    let Some(ivf) = stored(Codec::Av1, Container::Ivf, &frame) else {
        return;
    };
    let webm = stored(Codec::Av1, Container::WebM, &frame).expect("the same without a delimiter");
    assert_eq!(ivf[2..], webm);
    let mut again = Vec::new();
    assert_eq!(av1::write(&webm, Container::WebM, &mut again), Some(()));
    assert_eq!(again, webm);
    assert_eq!(av1::sequence_header(&webm), av1::sequence_header(bytes));
}

/// Any file: its times grow, frames follow one another, and repeating it gives the same frames.
pub fn player(bytes: &[u8]) {
    let file: Bytes = Bytes::copy_from_slice(bytes);
    let open = |options| {
        let file = file.clone();
        Player::with(move || Ok(Box::new(std::io::Cursor::new(file.clone()))), options)
    };
    let Ok(mut once) = open(PlayerOptions::default()) else {
        return;
    };
    let frames: Vec<_> = std::iter::from_fn(|| once.next_frame().ok().flatten())
        .take(1000)
        .collect();
    let mut repeated = open(PlayerOptions {
        repeat: true,
        ..PlayerOptions::default()
    })
    .expect("it was opened before");
    for frame in &frames {
        assert_eq!(repeated.next_frame().expect("it was read before").as_ref(), Some(frame));
    }
    if let Ok(Some(next)) = repeated.next_frame()
        && frames.len() < 1000
    {
        assert_eq!(next.data, frames[0].data);
        assert!(frames.iter().all(|frame| frame.time <= next.time));
    }
}
