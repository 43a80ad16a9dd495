//! Two peers in one process, over real sockets on the loopback interface.

#![allow(dead_code, reason = "each test binary uses some of it")]

pub(crate) mod announcer;
pub(crate) mod media;

use std::future::Future;
use std::time::Duration;

use peerline::{AddressFilter, Configuration, DataChannel, DataChannelInit, PeerConnection, PeerEvent};

/// Far more than anything here takes: a test that hangs fails with a name.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// `future`'s output; panics if it does not come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited too long: {what}"))
}

/// One address, so that tests do not depend on the host's network.
pub(crate) fn configuration() -> Configuration {
    Configuration {
        loopback: true,
        address_filter: Some(AddressFilter::only(["127.0.0.1".parse().unwrap()])),
        ..Configuration::default()
    }
}

pub(crate) async fn peer() -> PeerConnection {
    PeerConnection::new(configuration()).await.unwrap()
}

/// An exchange of complete descriptions, as signalling without trickle does it.
pub(crate) async fn negotiate(offerer: &PeerConnection, answerer: &PeerConnection) {
    offerer.set_local_description(offerer.create_offer().unwrap()).unwrap();
    have_answered(offerer, answerer).await;
}

/// The rest of such an exchange, once the offer is set where it was made.
pub(crate) async fn have_answered(offerer: &PeerConnection, answerer: &PeerConnection) {
    soon("the offerer's candidates", offerer.gathering_complete()).await;
    answerer
        .set_remote_description(offerer.local_description().unwrap())
        .unwrap();
    answerer
        .set_local_description(answerer.create_answer().unwrap())
        .unwrap();
    soon("the answerer's candidates", answerer.gathering_complete()).await;
    offerer
        .set_remote_description(answerer.local_description().unwrap())
        .unwrap();
}

/// Two connected peers and both ends of an open channel between them.
pub(crate) struct Pair {
    pub(crate) alice: PeerConnection,
    pub(crate) bob: PeerConnection,
    pub(crate) a: DataChannel,
    pub(crate) b: DataChannel,
}

pub(crate) async fn pair() -> Pair {
    pair_with(configuration(), configuration(), DataChannelInit::default()).await
}

pub(crate) async fn pair_with(alice: Configuration, bob: Configuration, init: DataChannelInit) -> Pair {
    let (alice, bob) = (
        PeerConnection::new(alice).await.unwrap(),
        PeerConnection::new(bob).await.unwrap(),
    );
    let a = alice.create_data_channel("test", init).unwrap();
    negotiate(&alice, &bob).await;
    soon("alice's end opens", a.opened()).await.unwrap();
    let b = next_channel(&bob).await;
    Pair { alice, bob, a, b }
}

/// The next channel that the other peer opens.
pub(crate) async fn next_channel(peer: &PeerConnection) -> DataChannel {
    let channel = async {
        loop {
            match peer.next_event().await.expect("the connection lives") {
                PeerEvent::DataChannel(channel) => return channel,
                _ => continue,
            }
        }
    };
    soon("a channel from the other peer", channel).await
}

/// Bytes without a pattern that could hide a mistake (xorshift).
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes.extend_from_slice(&x.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
