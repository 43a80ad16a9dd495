//! How connections end: told to the other side, and nothing left behind.

mod common;

use common::{Pair, negotiate, pair, peer, soon};
use peerline::{ConnectionState, DataChannelInit, PeerConnection, PeerEvent, SignalingState};
use tokio::runtime::{Builder, Handle};

/// All that happens until the connection has ended.
async fn last_events(peer: &PeerConnection) -> Vec<PeerEvent> {
    let mut seen = Vec::new();
    while let Some(event) = soon("the end", peer.next_event()).await {
        seen.push(event);
    }
    seen
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Waits until only `count` tasks are left.
async fn tasks_left(count: usize) {
    soon("tasks end", async {
        while tasks() > count {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn closing_ends_both_sides() {
    let Pair { alice, bob, a, b } = pair().await;
    let waiting = tokio::spawn({
        let (alice, a) = (alice.clone(), a.clone());
        async move {
            a.closed().await;
            alice.closed().await;
            a.recv().await
        }
    });
    alice.close();
    assert_eq!(alice.signaling_state(), SignalingState::Closed);
    assert_eq!(alice.connection_state(), ConnectionState::Closed);
    soon("bob hears of it", b.closed()).await;
    assert_eq!(soon("the end", b.recv()).await, None);
    soon("bob's side ends", bob.closed()).await;
    assert_eq!(bob.connection_state(), ConnectionState::Closed);
    let seen = last_events(&bob).await;
    assert!(
        matches!(seen.last(), Some(PeerEvent::ConnectionState(ConnectionState::Closed))),
        "the last thing bob hears: {seen:?}"
    );
    assert_eq!(soon("whoever waits is told", waiting).await.unwrap(), None);
    last_events(&alice).await;
    // Handles of a connection that has ended still answer.
    alice.close();
    assert_eq!(a.send("late").await.unwrap_err().name(), "InvalidStateError");
    assert_eq!(alice.create_offer().unwrap_err().name(), "InvalidStateError");
    assert_eq!(
        (a.buffered_amount(), alice.stats().data_channels().count()),
        (0, alice.stats().data_channels().count())
    );
}

#[tokio::test]
async fn dropping_all_handles_closes() {
    let before = tasks();
    let Pair { alice, bob, a, b } = pair().await;
    assert_eq!(tasks(), before + 2, "one task a connection");
    drop((alice, a));
    soon("bob hears of it", b.closed()).await;
    soon("bob's side ends", bob.closed()).await;
    drop((bob, b));
    tasks_left(before).await;
}

#[tokio::test]
async fn dropping_before_connecting_leaves_nothing() {
    let before = tasks();
    drop(peer().await);
    let alice = peer().await;
    let channel = alice.create_data_channel("never", DataChannelInit::default()).unwrap();
    alice.set_local_description(None).unwrap();
    alice.gathering_complete().await;
    drop(alice);
    drop(channel);
    // An event that holds a channel is no handle: it does not keep its own connection alive.
    let (alice, bob) = (peer().await, peer().await);
    let channel = alice.create_data_channel("unread", DataChannelInit::default()).unwrap();
    negotiate(&alice, &bob).await;
    soon("it opens", channel.opened()).await.unwrap();
    drop(bob);
    soon("the other side is told", channel.closed()).await;
    drop((alice, channel));
    tasks_left(before).await;
}

#[test]
fn when_the_runtime_goes_everybody_is_told() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let Pair { alice, bob, a, b } = runtime.block_on(pair());
    drop(runtime);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        soon("alice has ended", alice.closed()).await;
        soon("bob has ended", bob.closed()).await;
        assert_eq!((soon("a", a.recv()).await, soon("b", b.recv()).await), (None, None));
        assert!(a.send("?").await.is_err());
    });
}

#[test]
fn a_runtime_that_goes_at_once_ends_what_has_hardly_begun() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (alice, channel) = runtime.block_on(async {
        let alice = peer().await;
        let channel = alice.create_data_channel("never", DataChannelInit::default()).unwrap();
        (alice, channel)
    });
    drop(runtime);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        soon("alice has ended", alice.closed()).await;
        soon("the channel has ended", channel.closed()).await;
        last_events(&alice).await;
    });
}
