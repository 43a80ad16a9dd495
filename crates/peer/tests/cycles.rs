//! A thousand connections come and go, and the process is what it was: no task, socket or memory is left. Alone in its
//! file, since it counts what the whole process has.

mod common;

use common::{Pair, pair, soon};
use peerline::Message;
use peerline_sim::resident_memory;
use tokio::runtime::Handle;

const WARM_UP: usize = 200;
const CYCLES: usize = 1000;

/// What the heap may seem to grow by: the allocator does not give every page back. A leak of 8 KiB a cycle would show, and a
/// connection takes far more.
const TOLERANCE: u64 = 8 << 20;

#[tokio::test]
async fn a_thousand_cycles_leave_nothing_behind() {
    let tasks = Handle::current().metrics().num_alive_tasks();
    for i in 0..WARM_UP {
        cycle(i).await;
    }
    settle(tasks).await;
    let (sockets, threads, memory) = (entries("/proc/self/fd"), entries("/proc/self/task"), resident_memory());
    for i in 0..CYCLES {
        cycle(i).await;
    }
    settle(tasks).await;
    assert_eq!(entries("/proc/self/fd"), sockets, "file descriptors");
    assert_eq!(entries("/proc/self/task"), threads, "threads");
    let grown = resident_memory().saturating_sub(memory);
    println!("resident memory grew by {} KiB in {CYCLES} cycles", grown / 1024);
    assert!(
        grown < TOLERANCE,
        "resident memory grew by {grown} bytes in {CYCLES} cycles"
    );
}

/// Connects, talks, and ends in one of four ways.
async fn cycle(i: usize) {
    let Pair { alice, bob, a, b } = pair().await;
    a.send(vec![1; 10_000]).await.unwrap();
    assert_eq!(soon("a message", b.recv()).await, Some(Message::from(vec![1; 10_000])));
    match i % 4 {
        0 => drop((alice, bob, a, b)),
        1 => {
            alice.close();
            soon("bob's side ends", bob.closed()).await;
        }
        2 => {
            bob.close();
            soon("bob's side ends", bob.closed()).await;
        }
        _ => {
            // With messages unread and unsent.
            for _ in 0..20 {
                a.try_send(vec![2; 50_000]).unwrap();
            }
            drop((b, alice));
        }
    }
}

/// Waits until no connection's task is left.
async fn settle(tasks: usize) {
    soon("tasks end", async {
        while Handle::current().metrics().num_alive_tasks() > tasks {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).unwrap().count()
}
