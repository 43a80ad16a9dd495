//! Much data: files whose hashes agree, and buffers that fill and empty.

use crate::session::{Session, Side, receive, within};
use peerline::{Bytes, DataChannel, Message};
use peerline_browser_tests::Browser;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use tokio::time::timeout;

crate::scenarios! {
    a_file_from_the_page
    a_file_to_the_page
    buffered_amount_of_the_page_returns_to_zero
    buffered_amount_of_rust_returns_to_zero
}

const FILE: usize = 64 << 20;
const CHUNK: usize = 64 * 1024;

/// Enough for ten megabits a second.
const LIMIT: Duration = Duration::from_secs(60);

async fn a_file_from_the_page(browser: Browser) {
    let (session, channel) = Session::connected(browser, "file.html", "file", Side::Page).await;
    let start = Instant::now();
    let receiving = tokio::spawn(async move {
        let mut hash = Sha256::new();
        let mut length = 0;
        while length < FILE {
            let Message::Binary(chunk) = receive(&channel).await else {
                panic!("binary became text")
            };
            hash.update(&chunk);
            length += chunk.len();
        }
        assert_eq!(length, FILE);
        (hexadecimal(&hash.finalize()), channel)
    });
    let sent = session.page.eval_within(LIMIT, &format!("sendFile({FILE})"));
    let (received, _channel) = timeout(LIMIT, receiving)
        .await
        .expect("the file arrives")
        .expect("it is binary");
    report("from the page", start);
    assert_eq!(received, sent);
}

async fn a_file_to_the_page(browser: Browser) {
    let (session, channel) = Session::connected(browser, "file.html", "file", Side::Page).await;
    let start = Instant::now();
    let sending = tokio::spawn(async move {
        let mut hash = Sha256::new();
        let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..FILE / CHUNK {
            let chunk = chunk(&mut noise);
            hash.update(&chunk);
            channel.send(chunk).await.expect("the channel is open");
        }
        (hexadecimal(&hash.finalize()), channel)
    });
    let received = session.page.eval_within(LIMIT, &format!("receiveFile({FILE})"));
    let (sent, _channel) = sending.await.expect("the channel stays open");
    report("to the page", start);
    assert_eq!(received, sent);
}

async fn buffered_amount_of_the_page_returns_to_zero(browser: Browser) {
    const COUNT: usize = 80;
    let (session, channel) = Session::connected(browser, "buffered-amount.html", "buffer", Side::Page).await;
    let receiving = tokio::spawn(async move {
        let mut length = 0;
        while length < COUNT * CHUNK {
            length += receive(&channel).await.len();
        }
        (length, channel)
    });
    let amounts = session
        .page
        .call("fill", &[json!("buffer"), json!(COUNT), json!(CHUNK)]);
    assert!(amounts["most"].as_u64() > Some(1 << 20), "{amounts}");
    assert_eq!(amounts["last"], 0);
    let (length, _channel) = within("all messages", receiving).await.expect("they come");
    assert_eq!(length, COUNT * CHUNK);
}

async fn buffered_amount_of_rust_returns_to_zero(browser: Browser) {
    const COUNT: usize = 80;
    let (session, channel) = Session::connected(browser, "buffered-amount.html", "buffer", Side::Page).await;
    for _ in 0..COUNT {
        channel.try_send(vec![7; CHUNK]).expect("the buffer takes 16 MiB");
    }
    let most = channel.buffered_amount();
    assert!((1 << 20..=COUNT * CHUNK).contains(&most), "{most}");

    channel.set_buffered_amount_low_threshold(1 << 20);
    within("the buffer to run low", channel.buffered_amount_low()).await;
    assert!(channel.buffered_amount() <= 1 << 20);
    channel.set_buffered_amount_low_threshold(0);
    within("the buffer to empty", channel.buffered_amount_low()).await;
    assert_eq!(channel.buffered_amount(), 0);
    assert_eq!(
        session.page.call("drain", &[json!("buffer"), json!(COUNT * CHUNK)]),
        json!(COUNT * CHUNK)
    );
    send_goes_on(&session, &channel).await;
}

async fn send_goes_on(session: &Session, channel: &DataChannel) {
    channel.send(vec![1; 3]).await.expect("the channel is open");
    assert_eq!(session.page.call("drain", &[json!("buffer"), json!(3)]), json!(3));
}

/// Bytes without a pattern that a mix-up of chunks would survive.
fn chunk(noise: &mut u64) -> Bytes {
    let words = (0..CHUNK / 8).flat_map(|_| {
        *noise ^= *noise << 13;
        *noise ^= *noise >> 7;
        *noise ^= *noise << 17;
        noise.to_le_bytes()
    });
    words.collect()
}

fn report(direction: &str, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    eprintln!(
        "64 MiB {direction}: {seconds:.1} s, {:.0} Mbit/s",
        FILE as f64 * 8e-6 / seconds
    );
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
