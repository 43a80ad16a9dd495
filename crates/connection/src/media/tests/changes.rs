//! What was agreed on changes under way.

use super::*;
use crate::media::packet::ReceiveMode;
use peerline_rtp::rtcp::{Nack, PictureLossIndication};
use peerline_rtp::{Serial16, Ssrc};

fn path(loses: impl FnMut(u64, Duration, u8) -> bool + 'static) -> Path {
    Path::new(true, Profile::AeadAes128Gcm, loses)
}

fn keyframe_requests(path: &Path) -> usize {
    let events = path.events.iter();
    events
        .filter(|event| matches!(event, Event::KeyframeRequest(..)))
        .count()
}

/// Packets 300 ms after the start are lost, and their retransmissions: a keyframe is missing.
fn leaves_a_gap(_: u64, at: Duration, payload_type: u8) -> bool {
    (300..340).contains(&at.as_millis()) || payload_type == 97
}

#[test]
fn another_mode_leaves_no_timer_behind() {
    for mode in [ReceiveMode::Packets, ReceiveMode::Nothing] {
        let mut path = path(|count, _, _| count == 2);
        path.send(0, picture(0));
        path.run(Duration::from_millis(22));
        path.ends[1].section_of(VIDEO).unwrap().1.receiver.set_mode(mode);
        path.now += Duration::from_secs(5);
        let (now, bob) = (path.now, &mut path.ends[1]);
        bob.handle_timeout(now);
        while bob.poll_transmit(now, &mut Vec::new()).is_some() {}
        assert!(bob.poll_timeout().is_none_or(|due| due > now), "{mode:?}");
    }
}

#[test]
fn frames_go_on_after_a_time_of_packets() {
    let mut path = path(|_, _, _| false);
    path.play(5);
    let receiver = |path: &mut Path, mode| path.ends[1].section_of(VIDEO).unwrap().1.receiver.set_mode(mode);
    receiver(&mut path, ReceiveMode::Nothing);
    path.play(5);
    receiver(&mut path, ReceiveMode::Frames);
    path.frames.clear();
    path.play(5);
    assert_eq!(path.frames.len(), 5);
    assert!(path.frames[0].follows_gap);
    assert!(path.frames.iter().skip(1).all(|frame| !frame.follows_gap));
}

#[test]
fn what_is_not_received_is_not_asked_for() {
    let mut path = path(leaves_a_gap);
    path.play(20);
    assert!(keyframe_requests(&path) > 0);
    path.run(Duration::from_secs(1));
    let mut agreed = video(200, true);
    let receiving = agreed.receive.take();
    path.ends[1].configure(vec![agreed.clone()]);
    path.run(Duration::from_millis(100));
    path.events.clear();
    path.run(Duration::from_secs(5));
    assert_eq!(keyframe_requests(&path), 0);

    // It begins again, with a picture that refers to others.
    agreed.receive = receiving;
    path.ends[1].configure(vec![agreed]);
    path.frames.clear();
    for number in 20..50 {
        path.send(number, picture(number));
        path.run(Duration::from_millis(33));
    }
    path.run(Duration::from_millis(100));
    assert!(keyframe_requests(&path) > 0);
    assert!(path.frames.len() >= 28 && path.frames[0].follows_gap);
}

#[test]
fn a_silent_sender_is_not_asked_for_ever() {
    let mut path = path(leaves_a_gap);
    path.play(20);
    path.run(Duration::from_secs(12));
    path.events.clear();
    path.run(Duration::from_secs(30));
    assert_eq!(keyframe_requests(&path), 0);
    // But when the application wants to.
    let receiver = &mut path.ends[1].section_of(VIDEO).unwrap().1.receiver;
    receiver.streams[0].want_keyframe();
    receiver.streams[0].keyframe_request.insists = true;
    path.run(Duration::from_secs(5));
    assert_eq!(keyframe_requests(&path), 1);
}

#[test]
fn what_has_stopped_is_silent() {
    let mut path = path(|_, _, _| false);
    path.play(3);
    let mut agreed = video(100, true);
    path.send(3, picture(3));
    let number = path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0].take_number(None);
    let sending = agreed.send.take();
    path.ends[0].configure(vec![agreed.clone()]);
    assert_eq!((path.ends[0].line.len(), path.ends[0].line.bytes()), (0, 0));

    path.events.clear();
    let (sender, media) = (Ssrc(200), Ssrc(100));
    let mut request = Vec::new();
    Nack::write(
        &mut request,
        sender,
        media,
        (1..40).map(|back| number.unwrap().sub(back)),
    );
    PictureLossIndication { sender, media }.write(&mut request);
    path.ends[1].control.push_back(request);
    path.run(Duration::from_secs(1));
    assert_eq!(keyframe_requests(&path), 0);
    let stream = &path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0];
    assert_eq!(stream.sent.retransmitted_packets, 0);

    // Its numbers go on, and it says again whose it is.
    agreed.send = sending;
    path.ends[0].configure(vec![agreed]);
    let stream = &mut path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0];
    assert!(!stream.is_known);
    assert_eq!(stream.take_number(None), number.map(Serial16::next));
    path.frames.clear();
    path.play(3);
    assert_eq!(path.frames.len(), 3);
}

#[test]
fn keys_end_with_the_sound() {
    let mut path = path(|_, _, _| false);
    let mut agreed = audio(100);
    path.ends[0].configure(vec![agreed.clone()]);
    let millis = Duration::from_millis;
    let (now, section) = (path.now, path.ends[0].section_of(VIDEO).unwrap().1);
    section.sender.insert_dtmf(now, "123", millis(100), millis(70)).unwrap();
    path.run(millis(50));
    let sending = agreed.send.take();
    path.ends[0].configure(vec![agreed.clone()]);
    path.events.clear();
    path.run(Duration::from_secs(2));
    path.events
        .retain(|event| !matches!(event, Event::BandwidthEstimate(_)));
    assert_eq!(path.events, []);
    // Nor under a number that means nothing any more.
    agreed.send = sending;
    path.ends[0].configure(vec![agreed.clone()]);
    let (now, section) = (path.now, path.ends[0].section_of(VIDEO).unwrap().1);
    section.sender.insert_dtmf(now, "123", millis(100), millis(70)).unwrap();
    agreed.send.as_mut().unwrap().codecs.pop();
    path.ends[0].configure(vec![agreed]);
    path.run(Duration::from_secs(2));
    assert_eq!(path.events, []);
}

#[test]
fn a_layer_that_comes_back_goes_on() {
    let mut path = path(|_, _, _| false);
    path.play(3);
    let numbers = |path: &mut Path| {
        let stream = &mut path.ends[0].section_of(VIDEO).unwrap().1.sender.streams[0];
        (stream.take_number(None).unwrap(), stream.next_rtx)
    };
    let (number, rtx) = numbers(&mut path);
    path.ends[0].configure(vec![video(300, true)]);
    path.play(3);
    path.ends[0].configure(vec![video(100, true)]);
    assert_eq!(numbers(&mut path), (number.next(), rtx));
    path.frames.clear();
    path.play(3);
    assert_eq!(path.frames.len(), 3);
}

#[test]
fn the_place_of_a_section_that_has_ended_is_empty() {
    let mut path = path(|_, _, _| false);
    let mut agreed = video(200, true);
    agreed.receive.as_mut().unwrap().streams = vec![(777, None)];
    path.ends[1].configure(vec![agreed.clone()]);
    agreed.receive.as_mut().unwrap().streams.clear();
    let others = [2, 3].map(|id| Agreed {
        transceiver: TransceiverId(id),
        mid: id.to_string(),
        ..agreed.clone()
    });
    path.ends[1].configure(others.into());
    let mut packet = vec![0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 3, 9, 0x10, 0, 0, 0];
    let srtp = path.ends[0].srtp.as_mut().unwrap();
    srtp.outbound.protect_rtp(&mut packet, 0).unwrap();
    path.ends[1].handle_rtp(path.now, packet.as_slice().into());
    assert_eq!(path.ends[1].counters.unknown_streams, 1);
}

/// As browsers do for an offer that is rolled back, and with layers that are not active for a while.
#[test]
fn a_stream_goes_on_after_its_goodbye() {
    for (named, layer) in [(false, false), (true, false), (false, true)] {
        let mut path = path(|_, _, _| false);
        if layer {
            let mut agreed = video(100, true);
            agreed.send.as_mut().unwrap().encodings[0].rid = Some("h".into());
            path.ends[0].configure(vec![agreed]);
        }
        // By payload types alone Bob cannot tell the sections apart.
        let [mut first, mut second] = [video(200, true), video(300, true)];
        second.mid = "1".into();
        second.transceiver = TransceiverId(2);
        let receiving = first.receive.as_mut().unwrap();
        receiving.streams.extend(named.then_some((100, Some(101))));
        receiving.rids.extend(layer.then(|| "h".to_owned()));
        path.ends[1].configure(vec![first, second]);
        // Bob reports of the stream, and Alice's packets do not say any more whose they are.
        path.play(30);
        assert_eq!(path.frames.len(), 30);
        for _ in 0..2 {
            path.ends[0].say_goodbye(&[100, 101]);
            path.run(Duration::from_millis(50));
            assert!(path.ends[1].section_of(VIDEO).unwrap().1.receiver.streams.is_empty());
        }
        path.frames.clear();
        path.play(10);
        assert_eq!(path.frames.len(), 10, "named: {named}, layer: {layer}");
        let rid = layer.then_some("h");
        assert!(path.frames.iter().all(|frame| frame.rid.as_deref() == rid));
        assert_eq!(path.ends[1].counters.unknown_streams, 0);
    }
}

#[test]
fn streams_that_have_ended_are_not_known_for_ever() {
    let mut path = path(|_, _, _| false);
    path.play(1);
    let routes = &mut path.ends[1].routes;
    for ssrc in 1000..3000 {
        routes.learn(ssrc, 0, false, |_, _| false);
        routes.end(ssrc, None, None);
    }
    assert!(routes.of(1000).is_none() && routes.of(2999).is_some() && routes.of(100).is_some());
}
