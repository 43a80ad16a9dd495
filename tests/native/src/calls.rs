//! Calls that two peers have to get through, whoever they are.

use std::time::Duration;

use crate::lab::{Lab, Maker, Way};
use crate::media::{Codec, Direction, Frame, MediaPlan, Settings};
use crate::peer::{Message, News};

/// Sound and pictures of every codec, both ways at once: each frame arrives as it was sent, in order.
pub fn both_ways(way: Way, makers: [Maker; 2]) {
    every_codec(way, makers, [Settings::default(); 2]);
}

/// Sound of every codec, both ways at once.
pub fn sounds(way: Way, makers: [Maker; 2]) {
    for sound in Codec::AUDIO {
        let mut lab = Lab::new(way, makers);
        let mut show = Show::with_sound(&mut lab, sound, Codec::Vp8);
        show.play(&mut lab, 30);
        show.assert_all_came(&lab);
    }
}

/// Each side prefers other codecs under other numbers, and some numbers stand for something else on the other side.
pub fn other_numbers(way: Way, makers: [Maker; 2]) {
    every_codec(way, makers, [Settings::default(), Settings::renumbered()]);
}

fn every_codec(way: Way, makers: [Maker; 2], settings: [Settings; 2]) {
    let codecs = Lab::new(way, makers).peer(1).quirks().video_codecs();
    for &codec in &codecs {
        let mut lab = Lab::with(way, makers, settings);
        let mut show = Show::new(&mut lab, codec);
        show.play(&mut lab, 60);
        if !lab.peer(1).quirks().one_codec_a_track {
            // Others can follow in the same stream.
            for &codec in &codecs {
                show.codec = codec;
                show.play(&mut lab, 30);
            }
        }
        show.assert_all_came(&lab);
    }
}

/// One side sends, the other receives: the offerer, and then the answerer.
pub fn one_way(way: Way, makers: [Maker; 2]) {
    for sender in [way.offerer, 1 - way.offerer] {
        let mut lab = Lab::new(way, makers);
        let direction = if sender == way.offerer {
            Direction::SendOnly
        } else {
            Direction::RecvOnly
        };
        for plan in [MediaPlan::AUDIO, MediaPlan::VIDEO] {
            lab.add_media(way.offerer, &plan.with(direction));
            if sender != way.offerer {
                lab.add_media(sender, &plan);
            }
        }
        lab.call();
        assert_directions(&mut lab, sender, &[Direction::SendOnly; 2]);
        let mut show = Show::of([vec![0, 1], vec![]], vec![0]);
        if sender == 1 {
            show.sections.reverse();
        }
        show.play(&mut lab, 60);
        show.assert_all_came(&lab);
    }
}

/// Every profile of SRTP that the other stack has.
pub fn srtp_profiles(way: Way, makers: [Maker; 2]) {
    let profiles = Lab::new(way, makers).peer(1).quirks().srtp_profiles();
    for profile in profiles {
        let only = Settings {
            srtp: Some(profile),
            ..Settings::default()
        };
        let mut lab = Lab::with(way, makers, [only; 2]);
        let mut show = Show::new(&mut lab, Codec::Vp8);
        show.play(&mut lab, 30);
        show.assert_all_came(&lab);
        let now = lab.now();
        if let Some(agreed) = lab.peer(0).agreed(now) {
            assert_eq!(agreed.srtp, Some(profile), "{way:?}");
        }
    }
}

/// Of one datagram in twenty nothing is seen: lost packets are asked for and come again, so that no picture is missing.
pub fn losses(way: Way, makers: [Maker; 2]) {
    let mut lab = Lab::new(way, makers);
    let mut show = Show::new(&mut lab, Codec::Vp8);
    show.play(&mut lab, 10);
    lab.loss = 50;
    show.play(&mut lab, 300);
    lab.loss = 0;
    // What is lost last is missed only when something follows.
    show.play(&mut lab, 30);
    for who in 0..2 {
        show.assert_came(&lab, who, 1);
        // Lost sound stays lost; what comes is in order.
        let mut sent = show.sent[who][0].iter();
        let came: Vec<_> = lab.frames(1 - who, 0).collect();
        assert!(
            came.len() * 100 >= show.sent[who][0].len() * 85,
            "{way:?}: {}",
            came.len()
        );
        assert!(
            came.iter().all(|frame| sent.any(|sent| sent.data == frame.data)),
            "{way:?}: sound out of order"
        );
        let mid = lab.mids[1].clone();
        let now = lab.now();
        let counts = lab.peer(who).counts(now, &mid);
        assert!(counts.nacks_received > 0, "{way:?}: at {who}: {counts:?}");
    }
}

/// Either side asks for a keyframe, and the source at the other hears of it.
pub fn keyframe_requests(way: Way, makers: [Maker; 2]) {
    let mut lab = Lab::new(way, makers);
    let mut show = Show::new(&mut lab, Codec::Vp8);
    show.play(&mut lab, 10);
    let mid = lab.mids[1].clone();
    for who in 0..2 {
        let now = lab.now();
        lab.news[1 - who].clear();
        lab.peer(who).request_keyframe(now, &mid, None);
        let request = News::KeyframeRequest(mid.clone(), None);
        lab.expect("a request for a keyframe", |lab| lab.has(1 - who, &request));
    }
}

/// Three layers of simulcast from the offerer arrive apart, and a keyframe can be asked for in one of them.
pub fn simulcast(way: Way, makers: [Maker; 2]) {
    const RIDS: [&str; 3] = ["q", "h", "f"];
    let mut lab = Lab::new(way, makers);
    let Way { offerer, .. } = way;
    let plan = MediaPlan {
        rids: &RIDS,
        ..MediaPlan::VIDEO.with(Direction::SendOnly)
    };
    lab.add_media(offerer, &plan);
    lab.call();
    let frame = |number, rid: usize| Frame::new(Codec::Vp8, number, 1000 * (rid + 1)).with_rid(RIDS[rid]);
    for number in 0..91 {
        (0..3).for_each(|rid| lab.send_frame(offerer, 0, &frame(number, rid)));
        lab.run_for(Duration::from_millis(33));
    }
    lab.run_for(Duration::from_millis(500));
    for (rid, name) in RIDS.iter().enumerate() {
        let came: Vec<_> = lab
            .frames(1 - offerer, 0)
            .filter(|frame| frame.rid.as_deref() == Some(name))
            .map(|frame| &frame.data)
            .collect();
        let sent: Vec<_> = (0..90).map(|number| frame(number, rid).data).collect();
        assert!(
            came.iter().copied().take(90).eq(&sent),
            "{way:?}: {} of layer {name}",
            came.len()
        );
    }
    let mid = lab.mids[0].clone();
    let now = lab.now();
    lab.peer(1 - offerer).request_keyframe(now, &mid, Some("h"));
    let request = News::KeyframeRequest(mid, Some("h".to_owned()));
    lab.expect("a request for a keyframe", |lab| lab.has(offerer, &request));
}

/// Tracks are added, turned round, silenced, and given up in mid-call, by either side; sound goes on all the while.
pub fn renegotiation(way: Way, makers: [Maker; 2]) {
    let mut lab = Lab::new(way, makers);
    let Way { offerer, .. } = way;
    let answerer = 1 - offerer;
    (0..2).for_each(|who| lab.add_media(who, &MediaPlan::AUDIO));
    lab.call();
    let mut show = Show::of([vec![0], vec![0]], vec![0]);
    show.play(&mut lab, 20);

    for who in [answerer, offerer] {
        lab.add_media(who, &MediaPlan::VIDEO);
    }
    lab.renegotiate(answerer);
    show.sections = [vec![0, 1], vec![0, 1]];
    show.play(&mut lab, 20);

    // Whoever offers says what it wants from then on.
    let turns = [
        (offerer, Direction::SendOnly),
        (answerer, Direction::SendRecv),
        (offerer, Direction::Inactive),
        (offerer, Direction::SendRecv),
    ];
    for (who, direction) in turns {
        let (mid, now) = (lab.mids[1].clone(), lab.now());
        // The other side wants all that it is asked for.
        lab.peer(who).set_direction(now, &mid, direction);
        lab.peer(1 - who).agree(now, &mid, direction.reversed());
        lab.renegotiate(who);
        assert_directions(&mut lab, who, &[Direction::SendRecv, direction]);
        show.sections = match direction {
            Direction::SendRecv => [vec![0, 1], vec![0, 1]],
            Direction::Inactive => [vec![0], vec![0]],
            Direction::SendOnly if who == 0 => [vec![0, 1], vec![0]],
            Direction::SendOnly => [vec![0], vec![0, 1]],
            Direction::RecvOnly => unreachable!("it is not among them"),
        };
        show.play(&mut lab, 20);
    }
    show.assert_all_came(&lab);

    let (mid, now) = (lab.mids[1].clone(), lab.now());
    lab.peer(offerer).stop(now, &mid);
    let answer = lab.renegotiate(offerer);
    if (0..2).all(|who| !lab.peer(who).quirks().ignores_stops) {
        // "A stream that is offered with a port of zero MUST be marked with port zero in the answer" (RFC 3264 §8.2).
        assert!(answer.contains("m=video 0 "), "{way:?}: {answer}");
        assert_eq!(lab.peer(answerer).direction(&mid), Direction::Inactive, "{way:?}");
    }
    show.sections = [vec![0], vec![0]];
    show.play(&mut lab, 20);
    (0..2).for_each(|who| show.assert_came(&lab, who, 0));
}

/// Both sides count the same packets and measure the path as it is.
pub fn statistics(way: Way, makers: [Maker; 2]) {
    let mut lab = Lab::new(way, makers);
    let mut show = Show::new(&mut lab, Codec::Vp8);
    show.play(&mut lab, 300);
    // The last reports.
    lab.run_for(Duration::from_secs(8));
    let (mid, now) = (lab.mids[1].clone(), lab.now());
    let counts = [0, 1].map(|who| lab.peer(who).counts(now, &mid));
    for who in 0..2 {
        let [own, other] = [counts[who], counts[1 - who]];
        // Three packets a frame, or so.
        assert!((600..2000).contains(&own.sent), "{way:?}: {own:?}");
        assert_eq!(own.sent, other.received, "{way:?}: {counts:?}");
        assert_eq!(own.remote_loss, Some(0.0), "{way:?}: {own:?}");
        if !lab.peer(who).quirks().measures_no_round_trip {
            let round_trip = own.round_trip.expect("reports have come");
            assert!((0.009..0.013).contains(&round_trip), "{way:?}: {own:?}");
        }
    }
}

/// A data channel beside the media loses nothing to it, and takes nothing from it.
pub fn data_beside_media(way: Way, makers: [Maker; 2]) {
    let mut lab = Lab::new(way, makers);
    for who in 0..2 {
        lab.add_media(who, &MediaPlan::AUDIO);
        lab.add_media(who, &MediaPlan::VIDEO);
    }
    let channel = lab.open(way.offerer, &crate::peer::ChannelPlan::new("beside"));
    lab.call();
    lab.expect("the channel to open", |lab| {
        (0..2).all(|who| lab.opened(who) == [channel])
    });
    let mut show = Show::of([vec![0, 1], vec![0, 1]], vec![0]);
    let message = |number: u32| Message::Binary(Frame::new(Codec::Vp8, number, 10_000).data);
    for number in 0..60 {
        (0..2).for_each(|who| lab.send(who, channel, &message(number)));
        show.play_one(&mut lab);
    }
    show.play(&mut lab, 10);
    show.assert_all_came(&lab);
    for who in 0..2 {
        let came: Vec<_> = lab.received(who, channel).collect();
        assert_eq!(came.len(), 60, "{way:?}");
        assert!((0..60).zip(came).all(|(number, came)| *came == message(number)));
    }
}

/// Either side hangs up a call without data channels, and the other hears of it.
pub fn hanging_up(way: Way, makers: [Maker; 2]) {
    for who in 0..2 {
        let mut lab = Lab::new(way, makers);
        let mut show = Show::new(&mut lab, Codec::Vp8);
        show.play(&mut lab, 10);
        lab.close(who);
        lab.run_for(Duration::from_secs(2));
        if !lab.peer(1 - who).quirks().no_news_of_closing {
            assert!(lab.has(1 - who, &News::Closed), "{way:?}: {who} hung up");
        }
    }
}

fn assert_directions(lab: &mut Lab, who: usize, directions: &[Direction]) {
    for (mid, direction) in lab.mids.clone().iter().zip(directions) {
        assert_eq!(lab.peer(who).direction(mid), *direction, "{:?}: {who}", lab.way);
        let reversed = direction.reversed();
        assert_eq!(lab.peer(1 - who).direction(mid), reversed, "{:?}: {}", lab.way, 1 - who);
    }
}

/// Keys that are pressed on either side are heard on the other, between packets of sound, though some get lost.
pub fn keys(way: Way, makers: [Maker; 2]) {
    for loss in [0, 50] {
        let mut lab = Lab::with(way, makers, [Settings::with_extras(); 2]);
        let mut show = Show::new(&mut lab, Codec::Vp8);
        show.play(&mut lab, 10);
        lab.loss = loss;
        for key in "1#*90".chars() {
            for who in 0..2 {
                lab.press(who, 0, key);
            }
            show.play(&mut lab, 10);
        }
        for who in 0..2 {
            let heard = lab.news[who].iter().filter_map(|news| match news {
                News::Key(mid, key) if *mid == lab.mids[0] => Some(*key),
                _ => None,
            });
            assert_eq!(heard.collect::<String>(), "1#*90", "{way:?}: at {who}, {loss} lost");
        }
    }
}

/// Sound in redundant packets: of ten packets one is lost, and of a hundred frames about one.
pub fn redundant_sound(way: Way, makers: [Maker; 2]) {
    let mut lab = Lab::with(way, makers, [Settings::with_extras(); 2]);
    let mut show = Show::new(&mut lab, Codec::Vp8);
    show.play(&mut lab, 10);
    show.assert_all_came(&lab);
    lab.loss = 100;
    show.play(&mut lab, 300);
    lab.loss = 0;
    // The last ones may wait for what is lost before them.
    let last = show.sent.each_ref().map(|sent| sent[0].len());
    show.play(&mut lab, 50);
    for (who, last) in last.into_iter().enumerate() {
        let sent = &show.sent[who][0][..last];
        let came: Vec<&[u8]> = lab.frames(1 - who, 0).map(|frame| &*frame.data).collect();
        let missing = sent.iter().filter(|frame| !came.contains(&&*frame.data)).count();
        assert!(
            missing * 100 <= sent.len() * 4,
            "{way:?}: {missing} of {} from {who}",
            sent.len()
        );
    }
}

/// What is being sent, and what has been.
struct Show {
    /// The sections in which each peer sends, by index.
    sections: [Vec<usize>; 2],
    /// Those with sound; the others have pictures.
    audio: Vec<usize>,
    sound: Codec,
    codec: Codec,
    next: u32,
    /// By peer and section.
    sent: [[Vec<Frame>; 2]; 2],
}

impl Show {
    /// A call with sound and pictures both ways.
    fn new(lab: &mut Lab, codec: Codec) -> Self {
        Self::with_sound(lab, Codec::Opus, codec)
    }

    fn with_sound(lab: &mut Lab, sound: Codec, codec: Codec) -> Self {
        for who in 0..2 {
            lab.add_media(
                who,
                &MediaPlan {
                    codec: sound,
                    ..MediaPlan::AUDIO
                },
            );
            lab.add_media(
                who,
                &MediaPlan {
                    codec,
                    ..MediaPlan::VIDEO
                },
            );
        }
        lab.call();
        Self {
            sound,
            codec,
            ..Self::of([vec![0, 1], vec![0, 1]], vec![0])
        }
    }

    fn of(sections: [Vec<usize>; 2], audio: Vec<usize>) -> Self {
        Self {
            sections,
            audio,
            sound: Codec::Opus,
            codec: Codec::Vp8,
            next: 0,
            sent: Default::default(),
        }
    }

    fn play(&mut self, lab: &mut Lab, count: u32) {
        (0..count).for_each(|_| self.play_one(lab));
        lab.run_for(Duration::from_millis(500));
    }

    /// Sends a frame in each section, and waits until the next is due.
    fn play_one(&mut self, lab: &mut Lab) {
        for who in 0..2 {
            for &section in &self.sections[who] {
                let frame = if self.audio.contains(&section) {
                    Frame::new(self.sound, self.next, 100)
                } else {
                    Frame::new(self.codec, self.next, 3000)
                };
                lab.send_frame(who, section, &frame);
                self.sent[who][section].push(frame);
            }
        }
        self.next += 1;
        lab.run_for(Duration::from_millis(33));
    }

    fn assert_all_came(&self, lab: &Lab) {
        for who in 0..2 {
            (0..2).for_each(|section| self.assert_came(lab, who, section));
        }
    }

    /// All that a peer sent has come, but for the last frame: some wait for what follows.
    fn assert_came(&self, lab: &Lab, who: usize, section: usize) {
        let sent = &self.sent[who][section];
        let Some((first, last)) = sent.first().zip(sent.len().checked_sub(1)) else {
            return;
        };
        let came: Vec<_> = lab.frames(1 - who, section).collect();
        // Some add an offset of their own to all timestamps.
        let offset = came
            .first()
            .map_or(0, |came| came.timestamp.wrapping_sub(first.timestamp));
        for (index, sent) in sent[..last].iter().enumerate() {
            let expected = Frame {
                timestamp: sent.timestamp.wrapping_add(offset),
                ..sent.clone()
            };
            assert!(
                came.get(index).is_some_and(|came| **came == expected),
                "{:?}: {who} sent in section {section} as number {index} {expected:?}, and there came {:?}; in all {} of {}",
                lab.way,
                came.get(index),
                came.len(),
                last + 1
            );
        }
        assert!(came.len() <= last + 1, "{:?}: more came than was sent", lab.way);
    }
}
