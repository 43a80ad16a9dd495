//! Data channels: what arrives is what was sent, and both ends agree when a channel ends.

mod common;

use common::{Pair, configuration, negotiate, next_channel, pair, pair_with, peer, soon};
use peerline::{Bytes, Configuration, DataChannel, DataChannelInit, DataChannelState, Message};

fn echo(channel: DataChannel) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(message) = channel.recv().await {
            if channel.send(message).await.is_err() {
                return;
            }
        }
    })
}

#[tokio::test]
async fn messages_are_echoed_as_they_are() {
    let Pair {
        a,
        b,
        alice: _alice,
        bob: _bob,
    } = pair().await;
    let task = echo(b);
    let messages = [
        Message::from("text"),
        Message::from("日本語 🦀 \0"),
        Message::from(""),
        Message::from(Bytes::new()),
        Message::from(vec![0]),
        Message::from(Bytes::from_static(b"binary")),
        Message::from(common::noise(16 * 1024, 1)),
        Message::from("x".repeat(65_536)),
        Message::from(common::noise(256 * 1024, 2)),
    ];
    for message in &messages {
        a.send(message.clone()).await.unwrap();
    }
    for message in &messages {
        assert!(soon("an echo", a.recv()).await.as_ref() == Some(message));
    }
    a.close();
    soon("the echo ends", task).await.unwrap();
}

#[tokio::test]
async fn both_ends_know_what_was_agreed() {
    let (alice, bob) = (peer().await, peer().await);
    let inits = [
        DataChannelInit::default(),
        DataChannelInit {
            ordered: false,
            protocol: "протокол".into(),
            ..DataChannelInit::default()
        },
        DataChannelInit {
            max_retransmits: Some(3),
            ..DataChannelInit::default()
        },
        DataChannelInit {
            ordered: false,
            max_packet_life_time: Some(250),
            ..DataChannelInit::default()
        },
    ];
    let ours: Vec<_> = inits
        .iter()
        .map(|init| alice.create_data_channel("étiquette 标签", init.clone()).unwrap())
        .collect();
    assert!(
        ours.iter()
            .all(|channel| channel.id().is_none() && !channel.negotiated())
    );
    negotiate(&alice, &bob).await;
    let mut theirs = Vec::new();
    for channel in &ours {
        soon("it opens", channel.opened()).await.unwrap();
        theirs.push(next_channel(&bob).await);
    }
    for ours in &ours {
        let theirs = theirs
            .iter()
            .find(|theirs| theirs.id() == ours.id())
            .expect("the other end");
        let facts = |channel: &DataChannel| {
            (
                (
                    channel.label().to_owned(),
                    channel.protocol().to_owned(),
                    channel.ordered(),
                    channel.negotiated(),
                ),
                (
                    channel.max_retransmits(),
                    channel.max_packet_life_time(),
                    channel.ready_state(),
                ),
            )
        };
        assert_eq!(facts(ours), facts(theirs));
        theirs.send("works").await.unwrap();
        assert_eq!(soon("a message", ours.recv()).await, Some(Message::from("works")));
    }
}

#[tokio::test]
async fn negotiated_channels_need_no_announcement() {
    let (alice, bob) = (peer().await, peer().await);
    let init = || DataChannelInit {
        negotiated: true,
        id: Some(1000),
        ..DataChannelInit::default()
    };
    let (a, b) = (
        alice.create_data_channel("a", init()).unwrap(),
        bob.create_data_channel("b", init()).unwrap(),
    );
    assert_eq!(
        alice.create_data_channel("again", init()).unwrap_err().name(),
        "OperationError"
    );
    negotiate(&alice, &bob).await;
    soon("it opens", a.opened()).await.unwrap();
    soon("it opens", b.opened()).await.unwrap();
    a.send("from a").await.unwrap();
    b.send("from b").await.unwrap();
    assert_eq!(soon("a message", a.recv()).await, Some(Message::from("from b")));
    assert_eq!(soon("a message", b.recv()).await, Some(Message::from("from a")));
    assert_eq!((a.id(), b.label(), b.negotiated()), (Some(1000), "b", true));
}

#[tokio::test]
async fn a_hundred_channels_at_once() {
    let (alice, bob) = (peer().await, peer().await);
    let ours: Vec<_> = (0..100)
        .map(|i| {
            alice
                .create_data_channel(&format!("channel {i}"), DataChannelInit::default())
                .unwrap()
        })
        .collect();
    negotiate(&alice, &bob).await;
    let mut tasks = Vec::new();
    for _ in &ours {
        tasks.push(echo(next_channel(&bob).await));
    }
    let clients: Vec<_> = ours
        .into_iter()
        .map(|channel| {
            tokio::spawn(async move {
                channel.opened().await.unwrap();
                for round in 0..10 {
                    let text = format!("{} round {round}", channel.label());
                    channel.send(text.clone()).await.unwrap();
                    assert_eq!(channel.recv().await, Some(Message::from(text)));
                }
                // Dropped here: it closes, and the other end with it.
            })
        })
        .collect();
    for client in clients {
        soon("ten echoes", client).await.unwrap();
    }
    for task in tasks {
        soon("the other end closes", task).await.unwrap();
    }
    drop(alice);
}

#[tokio::test]
async fn channels_that_come_and_go_leave_nothing_behind() {
    let Pair { alice, bob, a, b } = pair().await;
    for _ in 0..50 {
        let near = alice
            .create_data_channel("passing", DataChannelInit::default())
            .unwrap();
        let far = next_channel(&bob).await;
        near.send("hello").await.unwrap();
        assert_eq!(soon("the message", far.recv()).await, Some(Message::from("hello")));
        near.close();
        soon("closed here", near.closed()).await;
        soon("closed there", far.closed()).await;
    }
    for pc in [&alice, &bob] {
        let labels: Vec<_> = pc
            .stats()
            .data_channels()
            .map(|channel| channel.label.clone())
            .collect();
        assert_eq!(
            labels.iter().filter(|label| *label == "passing").count(),
            0,
            "{labels:?}"
        );
    }
    drop((a, b));
}

#[tokio::test]
async fn either_side_closes_and_nothing_sent_is_lost() {
    let Pair { alice, bob, a, b } = pair().await;
    let second = alice.create_data_channel("second", DataChannelInit::default()).unwrap();
    soon("no negotiation is needed", second.opened()).await.unwrap();
    let second_b = next_channel(&bob).await;
    for (closing, other) in [(a, b), (second_b, second)] {
        let id = closing.id();
        for i in 0..100_u8 {
            closing.send(vec![i; 5000]).await.unwrap();
        }
        closing.close();
        assert_eq!(closing.send("late").await.unwrap_err().name(), "InvalidStateError");
        for i in 0..100_u8 {
            assert_eq!(
                soon("a message sent before", other.recv()).await,
                Some(Message::from(vec![i; 5000]))
            );
        }
        assert_eq!(soon("the end", other.recv()).await, None);
        soon("closed here", closing.closed()).await;
        soon("closed there", other.closed()).await;
        assert_eq!(
            (closing.ready_state(), other.ready_state()),
            (DataChannelState::Closed, DataChannelState::Closed)
        );
        assert_eq!(
            (closing.id(), closing.opened().await.unwrap_err().name()),
            (id, "InvalidStateError")
        );
        soon("nothing to wait for", other.buffered_amount_low()).await;
    }
    // The ids are free again.
    let third = alice.create_data_channel("third", DataChannelInit::default()).unwrap();
    soon("it opens", third.opened()).await.unwrap();
}

#[tokio::test]
async fn dropping_a_channel_closes_it_after_what_was_sent() {
    let Pair {
        alice: _alice,
        bob: _bob,
        a,
        b,
    } = pair().await;
    let clone = a.clone();
    drop(a);
    clone.send("a clone keeps it").await.unwrap();
    clone.send("open").await.unwrap();
    drop(clone);
    assert_eq!(
        soon("a message", b.recv()).await,
        Some(Message::from("a clone keeps it"))
    );
    assert_eq!(soon("a message", b.recv()).await, Some(Message::from("open")));
    assert_eq!(soon("the end", b.recv()).await, None);
    soon("closed", b.closed()).await;
}

#[tokio::test]
async fn channels_outlive_the_handle_of_their_connection() {
    let Pair { alice, bob, a, b } = pair().await;
    drop(alice);
    a.send("still").await.unwrap();
    assert_eq!(soon("a message", b.recv()).await, Some(Message::from("still")));
    // Nobody could ever see a channel that bob opens now, so it is closed.
    let unseen = bob.create_data_channel("unseen", DataChannelInit::default()).unwrap();
    soon("it is closed", unseen.closed()).await;
    drop(a);
    soon("bob hears the connection close", bob.closed()).await;
}

#[tokio::test]
async fn buffered_amount_falls_to_its_threshold() {
    let Pair {
        alice: _alice,
        bob: _bob,
        a,
        b,
    } = pair().await;
    assert_eq!((a.buffered_amount(), a.buffered_amount_low_threshold()), (0, 0));
    soon("it is low already", a.buffered_amount_low()).await;
    a.set_buffered_amount_low_threshold(100_000);
    for _ in 0..32 {
        a.try_send(vec![1; 64 * 1024]).unwrap();
    }
    assert!(a.buffered_amount() > 100_000);
    let reader = tokio::spawn(async move {
        for _ in 0..32 {
            b.recv().await.unwrap();
        }
        b
    });
    soon("it gets low", a.buffered_amount_low()).await;
    assert!(a.buffered_amount() <= 100_000);
    a.set_buffered_amount_low_threshold(0);
    soon("it gets empty", a.buffered_amount_low()).await;
    assert_eq!(a.buffered_amount(), 0);
    soon("all of it arrives", reader).await.unwrap();
}

#[tokio::test]
async fn limits_are_told_not_waited_for() {
    let small = Configuration {
        send_buffer: 100_000,
        max_message_size: 50_000,
        ..configuration()
    };
    let Pair {
        alice: _alice,
        bob: _bob,
        a,
        b,
    } = pair_with(small.clone(), small, DataChannelInit::default()).await;
    assert_eq!(a.try_send(vec![0; 50_001]).unwrap_err().name(), "TypeError");
    let refused = loop {
        if let Err(error) = a.try_send(vec![0; 50_000]) {
            break error;
        }
    };
    assert_eq!(refused.name(), "OperationError");
    assert!(soon("a message", b.recv()).await.is_some());
    soon("there is room again", a.buffered_amount_low()).await;
    a.try_send("short").unwrap();
}

#[tokio::test]
async fn a_channel_that_never_opened_refuses_to_send() {
    let alice = peer().await;
    let channel = alice.create_data_channel("early", DataChannelInit::default()).unwrap();
    assert_eq!(channel.ready_state(), DataChannelState::Connecting);
    assert_eq!(channel.send("early").await.unwrap_err().name(), "InvalidStateError");
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { (channel.opened().await.is_err(), channel.recv().await) }
    });
    tokio::task::yield_now().await;
    alice.close();
    assert_eq!(soon("whoever waits is told", waiting).await.unwrap(), (true, None));
    assert_eq!(
        alice
            .create_data_channel("late", DataChannelInit::default())
            .unwrap_err()
            .name(),
        "InvalidStateError"
    );
}
