//! What STUN servers say to the sockets of an endpoint: asked for all its connections, told to each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerline_connection::CandidateError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::dial::race;
use super::{EndpointSockets, Named};
use crate::bindings::Answer;
use crate::driver;
use crate::endpoint::Hub;
use crate::shared::Shared;

/// How long an address of a server may be silent until the next one is asked beside it: as long as ICE waits.
const ATTEMPT_DELAY: Duration = Duration::from_millis(1500);

/// What a server has said to a socket of an endpoint, and may say otherwise.
pub(super) struct Heard {
    base: SocketAddr,
    server: SocketAddr,
    answer: watch::Receiver<Answer>,
}

/// Asks a server from each socket, one of its addresses after the other until one answers; what it says goes to `follower`.
pub(super) async fn ask(
    shared: &Arc<Shared>,
    server: &Named,
    (hub, bases): EndpointSockets,
    addresses: &[SocketAddr],
    follower: &mpsc::UnboundedSender<Heard>,
) {
    let mut answers = JoinSet::new();
    for base in bases {
        let (shared, hub, server) = (Arc::clone(shared), Arc::clone(&hub), server.clone());
        let fits = |address: &SocketAddr| address.is_ipv4() == base.is_ipv4();
        let addresses: Vec<SocketAddr> = addresses.iter().copied().filter(fits).collect();
        let follower = follower.clone();
        answers.spawn(async move {
            let attempt = |address| ask_one(Arc::clone(&hub), server.clone(), base, address);
            match race(addresses, ATTEMPT_DELAY, attempt).await {
                Some(Ok((heard, mapped))) => {
                    shared.update(|state, now| {
                        state.connection.add_reflexive_address(now, base, heard.server, mapped);
                    });
                    // The connection is gone otherwise.
                    let _ = follower.send(heard);
                }
                // Another connection may have another name for it.
                Some(Err(Some(error))) => shared.update(|state, now| {
                    let url = server.text.clone();
                    state.connection.candidate_failed(now, CandidateError { url, ..error });
                }),
                // No datagram gets from one to the other.
                Some(Err(None)) | None => {}
            }
        });
    }
    while answers.join_next().await.is_some() {}
}

async fn ask_one(
    hub: Arc<Hub>,
    server: Named,
    base: SocketAddr,
    address: SocketAddr,
) -> Result<(Heard, SocketAddr), Option<CandidateError>> {
    let mut answer = hub.bindings.ask(driver::now(), base, server.at(address)).ok_or(None)?;
    let said = answer.wait_for(Option::is_some).await;
    let said = said.ok().and_then(|said| said.clone());
    let mapped = said.unwrap_or_else(|| {
        Err(CandidateError {
            address: None,
            url: server.text.clone(),
            code: CandidateError::UNREACHABLE,
            text: "the endpoint's socket is gone".to_owned(),
        })
    })?;
    let heard = Heard {
        base,
        server: address,
        answer,
    };
    Ok((heard, mapped))
}

/// The endpoint asks on, so that translators keep what they have: where one does not, since it was started anew, for one, the
/// connection has another candidate. What is heard again, after interfaces have changed, is not followed twice.
pub(super) async fn follow_all(shared: Arc<Shared>, heard: mpsc::UnboundedReceiver<Heard>) {
    follow_each(heard, move |base, server, mapped| {
        shared.update(|state, now| state.connection.add_reflexive_address(now, base, server, mapped));
    })
    .await;
}

async fn follow_each(
    mut heard: mpsc::UnboundedReceiver<Heard>,
    tell: impl Fn(SocketAddr, SocketAddr, SocketAddr) + Clone + Send + 'static,
) {
    let mut following = JoinSet::new();
    let mut known = HashMap::new();
    loop {
        tokio::select! {
            new = heard.recv() => {
                let Some(Heard { base, server, answer }) = new else { return };
                let tell = tell.clone();
                let task = following.spawn(async move {
                    follow(answer, move |mapped| tell(base, server, mapped)).await;
                    (base, server)
                });
                // What was heard before may have ended with the socket that was there.
                let before: Option<tokio::task::AbortHandle> = known.insert((base, server), task);
                before.iter().for_each(tokio::task::AbortHandle::abort);
            }
            Some(ended) = following.join_next() => {
                if let Ok(key) = ended
                    && known.get(&key).is_some_and(tokio::task::AbortHandle::is_finished)
                {
                    known.remove(&key);
                }
            }
        }
    }
}

/// Tells each address that is heard from now on, until there will be none.
async fn follow(mut answer: watch::Receiver<Answer>, tell: impl Fn(SocketAddr)) {
    while answer.changed().await.is_ok() {
        let answer = answer.borrow_and_update().clone();
        if let Some(Ok(mapped)) = answer {
            tell(mapped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn another_mapping_is_told_once_and_no_answer_is_not() {
        let (sender, receiver) = watch::channel(Some(Ok("203.0.113.7:1".parse().unwrap())));
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = {
            let told = Arc::clone(&told);
            move |_: SocketAddr, _: SocketAddr, mapped: SocketAddr| told.lock().unwrap().push(mapped.port())
        };
        let (follower, heard) = mpsc::unbounded_channel();
        let following = tokio::spawn(follow_each(heard, tell));
        // The same is heard whenever an interface comes or goes.
        for _ in 0..10 {
            let _ = follower.send(Heard {
                base: "192.0.2.1:1".parse().unwrap(),
                server: "192.0.2.9:3478".parse().unwrap(),
                answer: receiver.clone(),
            });
        }
        drop(receiver);
        while sender.receiver_count() != 1 {
            tokio::task::yield_now().await;
        }
        for (answer, count) in [(Some(2), 1), (None, 1), (Some(3), 2)] {
            tokio::task::yield_now().await;
            sender.send_replace(answer.map(|port| Ok(SocketAddr::from(([203, 0, 113, 7], port)))));
            while told.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        }
        drop(follower);
        following.await.unwrap();
        assert_eq!(*told.lock().unwrap(), [2, 3]);
        assert_eq!(sender.receiver_count(), 0, "nothing is left behind");
    }
}
