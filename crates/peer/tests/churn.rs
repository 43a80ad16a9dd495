//! Connections that come and go on one endpoint, on several threads, while others carry data and strangers knock.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Pair, configuration, noise, pair_with, soon};
use peerline::{Configuration, DataChannelInit, Endpoint, Message, OfferOptions, PeerConnection};
use peerline_stun::attribute::{IceControlling, Priority, UseCandidate, Username};
use peerline_stun::{Key, MessageBuilder, Method, TransactionId};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

fn bind() -> Endpoint {
    Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap()
}

fn at(endpoint: &Endpoint, ice_lite: bool) -> Configuration {
    Configuration {
        endpoint: Some(endpoint.clone()),
        ice_lite,
        ..configuration()
    }
}

fn address(endpoint: &Endpoint) -> SocketAddr {
    endpoint.local_addrs().next().unwrap()
}

/// What somebody who has read this peer's description can send: checks that are right, all but right, and cut short.
fn knocks(peer: &PeerConnection, number: u32) -> Vec<Vec<u8>> {
    let sdp = peer.local_description().unwrap().sdp;
    let value = |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let (ufrag, pwd) = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
    let check = |pwd: &str, nominates: bool| {
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&number.to_be_bytes());
        let (mut out, name) = (Vec::new(), format!("{ufrag}:whoever"));
        let mut builder = MessageBuilder::request(&mut out, Method::BINDING, TransactionId(transaction));
        builder
            .attribute(Username(&name))
            .attribute(Priority(1))
            .attribute(IceControlling(1));
        if nominates {
            builder.attribute(UseCandidate);
        }
        builder.integrity(&Key::short_term(pwd)).fingerprint();
        out
    };
    let (right, wrong) = (check(&pwd, false), check("not its password at all", true));
    let half = right[..right.len() / 2].to_vec();
    vec![right, wrong, half, vec![22, 254, 253, 0, 0], Vec::new()]
}

/// Sends knocks at a resting connection until told to stop.
fn knock(peer: PeerConnection, at: SocketAddr, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<u32> {
    std::thread::spawn(move || {
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            for knock in knocks(&peer, count) {
                let _ = stranger.send_to(&knock, at);
            }
            count += 1;
            std::thread::yield_now();
        }
        count
    })
}

async fn carry(pair: &Pair, seed: u64) {
    let bytes = noise(100_000, seed);
    let (there, back) = tokio::join!(
        async {
            pair.a.send(bytes.clone()).await.unwrap();
            soon("what bob sent", pair.a.recv()).await
        },
        async {
            pair.b.send(bytes.clone()).await.unwrap();
            soon("what alice sent", pair.b.recv()).await
        }
    );
    assert_eq!(
        (there, back),
        (Some(Message::from(bytes.clone())), Some(Message::from(bytes)))
    );
}

/// A restart whose answer may never be used: connections end in the middle of it.
fn begin_restart(pair: &Pair) {
    let offer = pair
        .alice
        .create_offer_with(OfferOptions { ice_restart: true })
        .unwrap();
    pair.alice.set_local_description(offer).unwrap();
    pair.bob
        .set_remote_description(pair.alice.local_description().unwrap())
        .unwrap();
    pair.bob.set_local_description(None).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_come_and_go_among_strangers_and_leave_nothing() {
    const WORKERS: u64 = 24;
    const LIVES: u64 = 12;
    let before = Handle::current().metrics().num_alive_tasks();
    let server = bind();

    let resting = pair_with(configuration(), at(&server, false), DataChannelInit::default()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let knocking = knock(resting.bob.clone(), address(&server), Arc::clone(&stop));

    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        // A quarter have sockets of their own, the others a port of their own.
        let own = move || match worker % 4 {
            0 => configuration(),
            _ => at(&bind(), false),
        };
        let server = server.clone();
        workers.spawn(async move {
            for life in 0..LIVES {
                let pair = pair_with(own(), at(&server, life % 2 == 1), DataChannelInit::default()).await;
                carry(&pair, worker * LIVES + life).await;
                match (worker + life) % 4 {
                    0 => pair.alice.close(),
                    1 => begin_restart(&pair),
                    2 => pair.a.send(noise(200_000, life)).await.unwrap(),
                    _ => {}
                }
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    carry(&resting, 1_000).await;
    stop.store(true, Ordering::Relaxed);
    assert!(knocking.join().unwrap() > 0);
    carry(&resting, 1_001).await;

    drop(resting);
    soon("all connections end", async {
        while server.stats().connections > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    drop(server);
    soon("all tasks end", async {
        while Handle::current().metrics().num_alive_tasks() > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
