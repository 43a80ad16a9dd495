//! Answers that were changed on their way, at a connection that is in use.

use std::time::Duration;

use peerline_wire::Reader;

use super::pair::Pair;
use super::{change_media, check_descriptions, visible};
use crate::{SdpType, SessionDescription};

/// Each step is a byte that says what to do, and a vector with its length in 16 bits: calls of the media model at the side that offers, or
/// another offer, and what becomes of its answer's lines.
///
/// What is refused changes nothing, and the genuine answer is taken after it: then all works as before.
pub fn answers(bytes: &[u8]) {
    let mut pair = Pair::in_call();
    let mut genuine_only = true;
    let mut input = Reader::new(bytes);
    for _ in 0..12 {
        let (Ok(kind), Ok(mut step)) = (input.u8(), input.length_u16()) else {
            break;
        };
        let step = step.rest();
        if kind % 4 == 0 {
            change_media(&mut pair.alice, pair.now, step);
            continue;
        }
        let now = pair.now;
        let Some(genuine) = offer(&mut pair) else { return };
        let changed = SessionDescription {
            kind: if kind % 4 == 1 {
                SdpType::Pranswer
            } else {
                SdpType::Answer
            },
            sdp: change(&genuine.sdp, step),
        };
        let is_genuine = changed.sdp == genuine.sdp;
        let is_final = changed.kind == SdpType::Answer;
        let before = visible(&pair.alice);
        let taken = pair.alice.set_remote_description(now, changed);
        if taken.is_err() {
            assert!(!is_genuine, "{taken:?}");
            assert_eq!(visible(&pair.alice), before, "what is refused changes nothing");
        }
        genuine_only &= is_genuine || taken.is_err();
        check_descriptions(&pair.alice);
        pair.bob
            .set_local_description(now, genuine.clone())
            .expect("its own answer");
        if taken.is_err() || !is_final {
            let taken = pair.alice.set_remote_description(now, genuine);
            assert!(taken.is_ok() || !genuine_only, "{taken:?}");
            if taken.is_err() {
                return;
            }
        }
        check_descriptions(&pair.alice);
        for _ in 0..3 {
            pair.exchange();
            pair.advance(Duration::from_millis(20));
        }
    }
    if genuine_only {
        assert!(pair.still_works(), "a message arrives after all that was refused");
    }
}

/// Alice offers, and Bob would answer this.
fn offer(pair: &mut Pair) -> Option<SessionDescription> {
    let now = pair.now;
    pair.alice.set_local_description(now, None).ok()?;
    let offer = pair.alice.local_description()?;
    pair.bob.set_remote_description(now, offer).ok()?;
    pair.bob.create_answer().ok()
}

/// The lines with some of them gone, twice, elsewhere, or with another value: each change is what it does, to which line, and a text.
fn change(sdp: &str, changes: &[u8]) -> String {
    let mut lines: Vec<String> = sdp.lines().map(str::to_owned).collect();
    let mut input = Reader::new(changes);
    while let (Ok(what), Ok(line), Ok(mut text)) = (input.u8(), input.u8(), input.length_u8()) {
        let text = String::from_utf8_lossy(text.rest()).into_owned();
        let place = usize::from(line) % lines.len().max(1);
        let Some(old) = lines.get(place).cloned() else { break };
        match what % 6 {
            0 => drop(lines.remove(place)),
            1 => lines.insert(place, old),
            2 => lines.insert(place, text),
            3 => lines[place] = format!("{}:{text}", old.split(':').next().unwrap_or_default()),
            4 => lines[place] = format!("{old}{text}"),
            _ => {
                let other = usize::from(what) / 6 % lines.len();
                lines.swap(place, other);
            }
        }
    }
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}
