//! Two peers in one process: they trickle their candidates, open a channel and talk. `cargo run -p peerline --example
//! data_channel`
//!
//! Between two machines, the calls marked "signalling" are messages over whatever you have: a WebSocket, an HTTP request, a
//! sheet of paper.

use peerline::{Configuration, DataChannel, DataChannelInit, Error, Message, PeerConnection, PeerEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let alice = PeerConnection::new(Configuration::default()).await?;
    let bob = PeerConnection::new(Configuration::default()).await?;
    let chat = alice.create_data_channel("chat", DataChannelInit::default())?;

    let offer = alice.create_offer()?;
    alice.set_local_description(offer.clone())?;
    bob.set_remote_description(offer)?; // signalling
    let answer = bob.create_answer()?;
    bob.set_local_description(answer.clone())?;
    alice.set_remote_description(answer)?; // signalling

    let follow_alice = tokio::spawn(follow("alice", alice.clone(), bob.clone()));
    let follow_bob = tokio::spawn(follow("bob", bob, alice.clone()));

    chat.opened().await?;
    for text in ["hello", "how are you?", "goodbye"] {
        chat.send(text).await?;
        println!("alice: {text}");
        if let Some(Message::Text(text)) = chat.recv().await {
            println!("alice hears: {text}");
        }
    }
    alice.close();
    let _ = tokio::join!(follow_alice, follow_bob);
    Ok(())
}

/// Prints what happens to `peer`, passes its candidates on to `other`, and answers on its channels.
async fn follow(name: &'static str, peer: PeerConnection, other: PeerConnection) {
    while let Some(event) = peer.next_event().await {
        match event {
            PeerEvent::IceCandidate(candidate) => drop(other.add_ice_candidate(candidate)), // signalling
            PeerEvent::DataChannel(channel) => drop(tokio::spawn(answer(channel))),
            event => println!("{name}: {event:?}"),
        }
    }
}

async fn answer(channel: DataChannel) {
    while let Some(message) = channel.recv().await {
        let Message::Text(text) = message else { continue };
        if channel.send(format!("you said \"{text}\"")).await.is_err() {
            return;
        }
    }
}
