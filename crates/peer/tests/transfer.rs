//! Bulk: every byte arrives, and nobody buffers what the other side does not read.

mod common;

use std::time::Duration;

use common::{Pair, noise, pair, soon};
use peerline::{DataChannel, Message};
use sha2::{Digest, Sha256};

const TOTAL: usize = 16 << 20;
const CHUNK: usize = 64 * 1024;

async fn send_all(channel: &DataChannel, seed: u64) -> Vec<u8> {
    let mut hash = Sha256::new();
    for chunk in noise(TOTAL, seed).chunks(CHUNK) {
        hash.update(chunk);
        channel.send(chunk.to_vec()).await.unwrap();
    }
    hash.finalize().to_vec()
}

async fn receive_all(channel: &DataChannel) -> Vec<u8> {
    let (mut hash, mut received) = (Sha256::new(), 0);
    while received < TOTAL {
        let Some(Message::Binary(chunk)) = channel.recv().await else {
            panic!("binary was sent")
        };
        hash.update(&chunk);
        received += chunk.len();
    }
    assert_eq!(received, TOTAL);
    hash.finalize().to_vec()
}

async fn both_ways(pair: &Pair) {
    let all = async {
        tokio::join!(
            send_all(&pair.a, 1),
            receive_all(&pair.b),
            send_all(&pair.b, 2),
            receive_all(&pair.a)
        )
    };
    let (sent_by_a, received_by_b, sent_by_b, received_by_a) = soon("16 MiB each way", all).await;
    assert_eq!(sent_by_a, received_by_b);
    assert_eq!(sent_by_b, received_by_a);
}

#[tokio::test]
async fn sixteen_mebibytes_each_way_on_one_thread() {
    both_ways(&pair().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_mebibytes_each_way_on_two_threads() {
    both_ways(&pair().await).await;
}

/// How many chunks `channel` takes before it makes the sender wait for good: two seconds without any room.
async fn fill(channel: &DataChannel) -> usize {
    let mut sent = 0;
    let for_good = Duration::from_secs(2);
    while sent < 400
        && tokio::time::timeout(for_good, channel.send(vec![sent as u8; CHUNK]))
            .await
            .is_ok()
    {
        sent += 1;
    }
    sent
}

#[tokio::test]
async fn who_does_not_receive_makes_the_sender_wait_both_ways() {
    let pair = pair().await;
    let (by_a, by_b) = tokio::join!(fill(&pair.a), fill(&pair.b));
    for sent in [by_a, by_b] {
        // The receive window of 5 MiB, the high-water mark of 1 MiB and a message beyond each.
        assert!(sent * CHUNK <= (6 << 20) + 3 * CHUNK, "{sent} chunks were taken");
    }
    for channel in [&pair.a, &pair.b] {
        // Above half the mark: below, whoever waits is woken.
        assert!(
            channel.buffered_amount() > 512 * 1024,
            "{} bytes are buffered",
            channel.buffered_amount()
        );
    }
    // Receiving some lets it flow again, long before all is received; and all of it is there, in order.
    for (from, to, sent) in [(&pair.a, &pair.b, by_a), (&pair.b, &pair.a, by_b)] {
        let sender = from.clone();
        let mut waiting = Some(tokio::spawn(async move { sender.send("more").await }));
        for i in 0..sent {
            if i == 12 {
                soon("room for more", waiting.take().expect("12 comes once"))
                    .await
                    .unwrap()
                    .unwrap();
                assert!(from.buffered_amount() > 0, "it was not necessary to send all first");
            }
            assert!(soon("what was taken", to.recv()).await == Some(Message::from(vec![i as u8; CHUNK])));
        }
        assert_eq!(soon("more", to.recv()).await, Some(Message::from("more")));
    }
}

#[tokio::test]
async fn several_tasks_send_and_receive_on_one_channel() {
    let pair = pair().await;
    let senders: Vec<_> = (0..4_u8)
        .map(|i| {
            let channel = pair.a.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    channel.send(vec![i; CHUNK]).await.unwrap();
                }
            })
        })
        .collect();
    let receivers: Vec<_> = (0..2)
        .map(|_| {
            let channel = pair.b.clone();
            tokio::spawn(async move {
                let mut counts = [0; 4];
                while let Some(Message::Binary(chunk)) = channel.recv().await {
                    assert!(chunk.len() == CHUNK && chunk.iter().all(|byte| *byte == chunk[0]));
                    counts[usize::from(chunk[0])] += 1;
                }
                counts
            })
        })
        .collect();
    for sender in senders {
        soon("all sent", sender).await.unwrap();
    }
    pair.a.close();
    let mut counts = [0; 4];
    for receiver in receivers {
        let part = soon("all received", receiver).await.unwrap();
        counts.iter_mut().zip(part).for_each(|(count, part)| *count += part);
    }
    assert_eq!(counts, [50; 4]);
}
