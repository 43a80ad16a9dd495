//! What two peers have to get through, whoever they are. Each takes a connection from its making to its end.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::lab::{Lab, Maker, Way};
use crate::peer::{Channel, ChannelPlan, Message, News};

/// Text, binary, empty and large messages, both ways, in order.
pub fn messages(way: Way, makers: [Maker; 2]) {
    let (mut lab, [zero, one]) = Lab::connected(way, makers);
    for (who, from, to) in [(0, zero, one), (1, one, zero)] {
        let mut sent = vec![
            Message::Text("Grüße, 世界".to_owned()),
            Message::Binary(vec![0, 255, 1, 254]),
            Message::Text("x".repeat(1_000)),
            Message::Binary(vec![1; 1_200]),
            Message::Binary(pattern(1, 64 * 1024)),
            Message::Text("y".repeat(65_537)),
            Message::Binary(pattern(2, 200_000)),
            Message::Binary(pattern(3, 262_144)),
        ];
        if !lab.peer(who).quirks().no_empty_messages {
            sent.extend([Message::Text(String::new()), Message::Binary(Vec::new())]);
        }
        sent.push(Message::Text("end".to_owned()));
        for message in &sent {
            lab.send(who, from, message);
        }
        lab.expect("all messages", |lab| lab.received(1 - who, to).count() >= sent.len());
        assert!(lab.received(1 - who, to).eq(&sent), "{way:?}: not what {who} sent");
    }
}

/// The same messages by DTLS 1.3, where SCTP's handshake was in the descriptions (SNAP).
pub fn dtls13_and_snap(way: Way, makers: [Maker; 2]) {
    let (mut lab, _) = Lab::connected(way, makers);
    let now = lab.now();
    if let Some(agreed) = lab.peer(0).agreed(now) {
        assert_eq!(agreed.tls_version.as_deref(), Some("FEFC"), "{way:?}");
        assert!(agreed.snap, "{way:?}");
    }
    messages(way, makers);
}

/// Channels of every kind, created by either side, are the same for both, and carry messages.
pub fn channel_kinds(way: Way, makers: [Maker; 2]) {
    let (mut lab, _) = Lab::connected(way, makers);
    for who in 0..2 {
        for (ordered, max_retransmits, max_packet_life_time) in [
            (true, None, None),
            (false, None, None),
            (true, Some(3), None),
            (false, Some(0), None),
            (true, None, Some(500)),
            (false, None, Some(50)),
        ] {
            let plan = ChannelPlan {
                protocol: "chat.v1".to_owned(),
                ordered,
                max_retransmits,
                max_packet_life_time,
                ..ChannelPlan::new(&format!(
                    "kind {ordered} {max_retransmits:?} {max_packet_life_time:?} 😀"
                ))
            };
            let channels = lab.open_on_both(who, &plan);
            let mut expected = plan;
            if lab.peer(1 - who).quirks().forgets_reliability {
                (expected.max_retransmits, expected.max_packet_life_time) = (None, None);
            }
            let properties = lab.peer(1 - who).properties(channels[1 - who]);
            assert_eq!(properties, expected, "{way:?}: as {who} created it");
            for from in 0..2 {
                let message = Message::Text(format!("from {from}"));
                lab.send(from, channels[from], &message);
                lab.expect("a message", |lab| {
                    lab.received(1 - from, channels[1 - from]).eq([&message])
                });
            }
        }
    }
}

/// Channels agreed on beforehand, made before and after the connection is.
pub fn negotiated_channels(way: Way, makers: [Maker; 2]) {
    let mut lab = Lab::new(way, makers);
    let plan = |id| ChannelPlan {
        negotiated: Some(id),
        ..ChannelPlan::new("agreed")
    };
    let early = [lab.open(0, &plan(10)), lab.open(1, &plan(10))];
    lab.negotiate();
    lab.expect("the channels made before to open", |lab| {
        (0..2).all(|who| lab.has(who, &News::Open(early[who])))
    });
    let late = [lab.open(0, &plan(21)), lab.open(1, &plan(21))];
    lab.expect("the channels made after to open", |lab| {
        (0..2).all(|who| lab.has(who, &News::Open(late[who])))
    });
    for channels in [early, late] {
        for who in 0..2 {
            let message = Message::Binary(vec![9; 3_000]);
            lab.send(who, channels[who], &message);
            lab.expect("a message", |lab| {
                lab.received(1 - who, channels[1 - who]).eq([&message])
            });
        }
    }
}

/// Without retransmissions messages get lost, never twice and in their order; a reliable channel beside them loses none.
pub fn partial_reliability(way: Way, makers: [Maker; 2]) {
    for who in 0..2 {
        let (mut lab, reliable) = Lab::connected(way, makers);
        let kinds = [true, false].map(|ordered| {
            let plan = ChannelPlan {
                ordered,
                max_retransmits: Some(0),
                ..ChannelPlan::new("lossy")
            };
            (ordered, lab.open_on_both(who, &plan))
        });
        lab.loss = 200;
        const COUNT: u32 = 200;
        for i in 0..COUNT {
            let message = Message::Binary(i.to_be_bytes().to_vec());
            for channels in [reliable, kinds[0].1, kinds[1].1] {
                lab.send(who, channels[who], &message);
            }
            lab.run_for(Duration::from_millis(10));
        }
        // Once the network is well again, what is still missing is sent or given up, and all goes on.
        lab.loss = 0;
        let all = [reliable, kinds[0].1, kinds[1].1];
        let end = Message::Text("well".to_owned());
        all.iter().for_each(|channels| lab.send(who, channels[who], &end));
        lab.expect("the messages after the losses", |lab| {
            all.iter()
                .all(|channels| lab.received(1 - who, channels[1 - who]).any(|message| *message == end))
        });
        let numbers = |channels: [Channel; 2]| -> Vec<u32> {
            lab.received(1 - who, channels[1 - who])
                .filter(|message| **message != end)
                .map(|message| u32::from_be_bytes(message.bytes().try_into().expect("four bytes")))
                .collect()
        };
        assert!(numbers(reliable).into_iter().eq(0..COUNT), "{way:?}, from {who}");
        for (ordered, channels) in kinds {
            let numbers = numbers(channels);
            let came = numbers.len();
            assert!(
                (100..200).contains(&came),
                "{way:?}, ordered {ordered}, from {who}: {came} came"
            );
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), came, "{way:?}: twice");
            assert!(!ordered || sorted == numbers, "{way:?}: out of order");
        }
    }
}

/// Either side closes a channel that either side created; all that was sent before arrives. Others go on, and new ones open.
pub fn closing_channels(way: Way, makers: [Maker; 2]) {
    let (mut lab, first) = Lab::connected(way, makers);
    for creator in 0..2 {
        for closer in 0..2 {
            let channels = lab.open_on_both(creator, &ChannelPlan::new("short-lived"));
            let last = Message::Binary(pattern(5, 20_000));
            lab.send(closer, channels[closer], &last);
            lab.run_for(Duration::from_secs(1));
            lab.close_channel(closer, channels[closer]);
            lab.expect("both to see it closed", |lab| {
                (0..2).all(|who| lab.has(who, &News::ChannelClosed(channels[who])))
            });
            assert!(lab.received(1 - closer, channels[1 - closer]).eq([&last]));
            if (0..2).any(|who| lab.peer(who).quirks().reuses_ids_early) {
                lab.run_for(Duration::from_secs(1));
            }
        }
    }
    for who in 0..2 {
        let message = Message::Text("still here".to_owned());
        lab.send(who, first[who], &message);
        lab.expect("a message", |lab| lab.received(1 - who, first[1 - who]).eq([&message]));
    }
}

/// 8 MiB each way at once, with equal digests.
pub fn bulk(way: Way, makers: [Maker; 2]) {
    transfer(way, makers, 128, 0);
}

/// Half a megabyte each way while one datagram in fifty gets lost.
pub fn bulk_with_losses(way: Way, makers: [Maker; 2]) {
    transfer(way, makers, 8, 20);
}

fn transfer(way: Way, makers: [Maker; 2], count: usize, loss: u64) {
    let (mut lab, channels) = Lab::connected(way, makers);
    lab.loss = loss;
    let chunk = |who: usize, i: usize| Message::Binary(pattern((who << 16 | i) as u64, 64 * 1024));
    let mut sent = [0; 2];
    lab.expect("all chunks", |lab| {
        for who in 0..2 {
            while sent[who] < count && lab.try_send(who, channels[who], &chunk(who, sent[who])) {
                sent[who] += 1;
            }
        }
        (0..2).all(|who| lab.received(who, channels[who]).count() == count)
    });
    for who in 0..2 {
        let mut digests = [Sha256::new(), Sha256::new()];
        (0..count).for_each(|i| digests[0].update(chunk(who, i).bytes()));
        lab.received(1 - who, channels[1 - who])
            .for_each(|message| digests[1].update(message.bytes()));
        let [sent, received] = digests.map(Digest::finalize);
        assert_eq!(sent, received, "{way:?}: what {who} sent");
    }
}

/// Either side closes the connection, and the other hears of it at once.
pub fn closing_the_connection(way: Way, makers: [Maker; 2]) {
    for who in 0..2 {
        let (mut lab, channels) = Lab::connected(way, makers);
        lab.run_for(Duration::from_secs(1));
        lab.close(who);
        lab.run_for(Duration::from_secs(2));
        let other = 1 - who;
        let mut expected = vec![News::ChannelClosed(channels[other]), News::Closed];
        expected.retain(|news| match news {
            News::Closed => !lab.peer(other).quirks().no_news_of_closing,
            _ => !lab.peer(other).quirks().closes_channels_silently,
        });
        let heard = expected.iter().all(|news| lab.has(other, news));
        assert!(heard, "{way:?}: {who} closed, and the other saw {:?}", lab.news[other]);
    }
}

/// Bytes that are unlike those for another seed.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A test for each scenario: first what the stack gets through with itself, where it does, then with us in all four ways.
#[macro_export]
macro_rules! scenarios {
    ($make:expr) => {
        $crate::scenarios! { $make,
            messages_of_every_kind: $crate::scenarios::messages,
            channels_of_every_kind: $crate::scenarios::channel_kinds,
            channels_agreed_on_beforehand: $crate::scenarios::negotiated_channels,
            losses_without_retransmissions: $crate::scenarios::partial_reliability,
            channels_close_from_either_side: $crate::scenarios::closing_channels,
            eight_mebibytes_each_way: $crate::scenarios::bulk,
            much_on_a_lossy_path: $crate::scenarios::bulk_with_losses,
            the_connection_closes_from_either_side: $crate::scenarios::closing_the_connection,
            calls_with_sound_and_pictures: $crate::calls::both_ways,
            sound_of_every_codec: $crate::calls::sounds,
            calls_one_way: $crate::calls::one_way,
            a_codec_order_and_numbers_of_its_own: $crate::calls::other_numbers,
            every_profile_of_srtp: $crate::calls::srtp_profiles,
            pictures_on_a_lossy_path: $crate::calls::losses,
            keyframes_are_asked_for: $crate::calls::keyframe_requests,
            layers_of_simulcast: $crate::calls::simulcast,
            renegotiation_in_mid_call: $crate::calls::renegotiation,
            statistics_of_both_ends: $crate::calls::statistics,
            a_data_channel_beside_media: $crate::calls::data_beside_media,
            either_side_hangs_up: $crate::calls::hanging_up,
        }
    };
    ($make:expr, $($name:ident: $scenario:path,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::scenarios::run($scenario, $make);
            }
        )*
    };
}

/// Runs a scenario as the control, another stack with itself, and with us in all four ways.
pub fn run(scenario: fn(Way, [Maker; 2]), other: Maker) {
    println!("with itself");
    scenario(Way::ALL[0], [other, other]);
    println!("with us");
    Way::ALL
        .into_iter()
        .for_each(|way| scenario(way, [crate::ours::Ours::make, other]));
}
