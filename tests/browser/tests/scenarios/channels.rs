//! Channels of every kind, seen alike from both sides.

use crate::session::{Session, Side, opened, receive};
use peerline::{DataChannel, DataChannelInit, Message};
use peerline_browser_tests::Browser;
use serde_json::json;
use std::collections::BTreeSet;
use std::ops::Range;

crate::scenarios! {
    ordered
    unordered
    max_retransmits
    max_packet_life_time
    negotiated_ids
    labels_and_protocols_beyond_ascii
    a_hundred_channels_at_once
}

const COUNT: usize = 200;

async fn ordered(browser: Browser) {
    kind(browser, &DataChannelInit::default()).await;
}

async fn unordered(browser: Browser) {
    kind(
        browser,
        &DataChannelInit {
            ordered: false,
            ..DataChannelInit::default()
        },
    )
    .await;
}

async fn max_retransmits(browser: Browser) {
    let init = DataChannelInit {
        max_retransmits: Some(3),
        ..DataChannelInit::default()
    };
    kind(browser, &init).await;
}

async fn max_packet_life_time(browser: Browser) {
    let init = DataChannelInit {
        ordered: false,
        max_packet_life_time: Some(5000),
        ..DataChannelInit::default()
    };
    kind(browser, &init).await;
}

/// Nothing announces these: both sides know.
async fn negotiated_ids(browser: Browser) {
    let mut session = Session::open(browser, "channels.html").await;
    let mut channels = Vec::new();
    for id in [0, 7, 1022] {
        let init = DataChannelInit {
            negotiated: true,
            id: Some(id),
            ..DataChannelInit::default()
        };
        let label = format!("agreed {id}");
        session.create(Side::Page, &label, init.clone());
        channels.push(session.create(Side::Rust, &label, init).expect("Rust has it at once"));
    }
    session.connect(Side::Page).await;
    for channel in &channels {
        opened(channel).await;
        let described = session.page.call("describe", &[json!(channel.label())]);
        assert_eq!(described["id"], json!(channel.id()));
        assert_eq!(described["negotiated"], true);
        exchange(&session, channel).await;
    }
}

async fn labels_and_protocols_beyond_ascii(browser: Browser) {
    let mut session = Session::open(browser, "channels.html").await;
    let long = "долгий ".repeat(80);
    let names = [
        ("канал 🦀", "протокол/é"),
        ("", ""),
        (long.as_str(), "p"),
        ("nul \u{0} in it", ""),
    ];
    session.create(Side::Page, "first", DataChannelInit::default());
    session.connect(Side::Page).await;
    for side in [Side::Page, Side::Rust] {
        for (label, protocol) in names {
            let label = format!("{label}{side:?}");
            let init = DataChannelInit {
                protocol: protocol.to_owned(),
                ..DataChannelInit::default()
            };
            let channel = match session.create(side, &label, init) {
                Some(channel) => channel,
                None => session.channel(&label).await,
            };
            opened(&channel).await;
            assert_eq!((channel.label(), channel.protocol()), (label.as_str(), protocol));
            same_on_both_sides(&session, &channel);
        }
    }
}

/// A hundred from each side, and each carries what is its own.
async fn a_hundred_channels_at_once(browser: Browser) {
    let mut session = Session::open(browser, "many.html").await;
    session.page.eval("createMany('page', 100)");
    let mut channels = many_from_rust(&session, 0..50);
    session.connect(Side::Page).await;
    channels.extend(many_from_rust(&session, 50..100));
    for i in 0..100 {
        channels.push(session.channel(&format!("page {i}")).await);
    }

    let ids: BTreeSet<u16> = channels.iter().filter_map(DataChannel::id).collect();
    assert_eq!(ids.len(), 200, "each channel has an id of its own");
    for channel in &channels {
        opened(channel).await;
        channel
            .send(format!("to {}", channel.label()))
            .await
            .expect("it is open");
    }
    for prefix in ["page", "rust"] {
        let heard = session.page.call("talk", &[json!(prefix), json!(100)]);
        for (i, heard) in heard.as_array().expect("a list").iter().enumerate() {
            let label = format!("{prefix} {i}");
            let id = channels
                .iter()
                .find(|channel| channel.label() == label)
                .and_then(DataChannel::id);
            assert_eq!(*heard, json!([label, format!("to {label}"), id]));
        }
    }
    for channel in &channels {
        assert_eq!(receive(channel).await, Message::from(channel.label()));
    }
}

fn many_from_rust(session: &Session, numbers: Range<usize>) -> Vec<DataChannel> {
    let create = |i| session.create(Side::Rust, &format!("rust {i}"), DataChannelInit::default());
    numbers.map(|i| create(i).expect("Rust has it at once")).collect()
}

/// Created from either side, it is the same on both, and carries messages both ways.
async fn kind(browser: Browser, init: &DataChannelInit) {
    let mut session = Session::open(browser, "channels.html").await;
    session.create(Side::Page, "by the page", init.clone());
    let by_rust = session
        .create(Side::Rust, "by Rust", init.clone())
        .expect("Rust has it at once");
    session.connect(Side::Page).await;
    let by_page = session.channel("by the page").await;
    for channel in [by_page, by_rust] {
        opened(&channel).await;
        assert_eq!(channel.ordered(), init.ordered);
        assert_eq!(channel.max_retransmits(), init.max_retransmits);
        assert_eq!(channel.max_packet_life_time(), init.max_packet_life_time);
        same_on_both_sides(&session, &channel);
        exchange(&session, &channel).await;
    }
}

fn same_on_both_sides(session: &Session, channel: &DataChannel) {
    let described = session.page.call("describe", &[json!(channel.label())]);
    let ours = json!({
        "label": channel.label(),
        "protocol": channel.protocol(),
        "id": channel.id(),
        "ordered": channel.ordered(),
        "maxRetransmits": channel.max_retransmits(),
        "maxPacketLifeTime": channel.max_packet_life_time(),
        "negotiated": channel.negotiated(),
    });
    assert_eq!(described, ours);
}

/// Numbered messages both ways. Loopback loses nothing so small, so even an unreliable channel delivers all.
async fn exchange(session: &Session, channel: &DataChannel) {
    let numbers: Vec<String> = (0..COUNT).map(|i| i.to_string()).collect();
    for number in &numbers {
        channel.send(number.as_str()).await.expect("it is open");
    }
    let heard = session.page.call("listen", &[json!(channel.label()), json!(COUNT)]);
    let heard: Vec<String> = heard
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|text| Some(text.as_str()?.to_owned()))
        .collect();
    same_numbers(channel, heard, &numbers);

    session.page.call("count", &[json!(channel.label()), json!(COUNT)]);
    let mut heard = Vec::new();
    while heard.len() < COUNT {
        match receive(channel).await {
            Message::Text(text) => heard.push(text),
            Message::Binary(bytes) => panic!("text became binary: {bytes:?}"),
        }
    }
    same_numbers(channel, heard, &numbers);
}

fn same_numbers(channel: &DataChannel, mut heard: Vec<String>, numbers: &[String]) {
    if !channel.ordered() {
        heard.sort_by_key(|number| number.parse::<usize>().ok());
    }
    assert_eq!(heard, numbers);
}
