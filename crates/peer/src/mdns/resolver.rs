//! Names in `.local`, by which browsers hide addresses from pages (draft-ietf-mmusic-mdns-ice-candidates), resolved by
//! multicast DNS (RFC 6762).
//!
//! One daemon a process, with one thread, started by the first name. Searches for the same name share one query.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mdns_sd::{HostnameResolutionEvent, ServiceDaemon};
use tokio::sync::watch;

/// How long an answer may take. It comes within milliseconds or, with a lost packet, after the second query a second later.
const PATIENCE: Duration = Duration::from_secs(4);

static RESOLVER: OnceLock<Option<Resolver>> = OnceLock::new();

struct Resolver {
    daemon: ServiceDaemon,
    /// Searches under way; the receiver sees the result, or the end of the search without one.
    searches: Mutex<HashMap<String, watch::Receiver<Option<Answer>>>>,
}

type Answer = Option<IpAddr>;

/// The address of a `.local` name; `None` if nobody answers, or multicast is not possible here.
pub(crate) async fn resolve(name: &str) -> Answer {
    let resolver = RESOLVER.get_or_init(Resolver::start).as_ref()?;
    let name = format!("{}.", name.trim_end_matches('.').to_ascii_lowercase());
    loop {
        match resolver.join_or_lead(&name) {
            Role::Follow(mut search) => {
                if let Ok(answer) = search.wait_for(Option::is_some).await {
                    return (*answer).flatten();
                }
                // Who led the search gave up with its connection; somebody else has to.
            }
            Role::Lead(lead) => {
                let answer = tokio::time::timeout(PATIENCE, lead.search()).await.ok().flatten();
                lead.result.send_replace(Some(answer));
                return answer;
            }
        }
    }
}

enum Role {
    Follow(watch::Receiver<Option<Answer>>),
    Lead(Lead),
}

/// Whoever searches first. When it is dropped, the search ends.
struct Lead {
    resolver: &'static Resolver,
    name: String,
    result: watch::Sender<Option<Answer>>,
}

impl Resolver {
    fn start() -> Option<Self> {
        Some(Self {
            daemon: ServiceDaemon::new().ok()?,
            searches: Mutex::default(),
        })
    }

    fn join_or_lead(&'static self, name: &str) -> Role {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(search) = searches.get(name) {
            return Role::Follow(search.clone());
        }
        let (result, search) = watch::channel(None);
        searches.insert(name.to_owned(), search);
        Role::Lead(Lead {
            resolver: self,
            name: name.to_owned(),
            result,
        })
    }
}

impl Lead {
    async fn search(&self) -> Answer {
        let events = self.resolver.daemon.resolve_hostname(&self.name, None).ok()?;
        while let Ok(event) = events.recv_async().await {
            match event {
                HostnameResolutionEvent::AddressesFound(_, addresses) => {
                    // IPv4 first: a link-local IPv6 address without its scope leads nowhere.
                    let mut addresses: Vec<IpAddr> = addresses.iter().map(|address| address.to_ip_addr()).collect();
                    addresses.sort();
                    return addresses.first().copied();
                }
                HostnameResolutionEvent::SearchTimeout(_) | HostnameResolutionEvent::SearchStopped(_) => return None,
                _ => {}
            }
        }
        None
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut searches = self.resolver.searches.lock().unwrap_or_else(PoisonError::into_inner);
        // Within the lock: whoever leads next must not have their search stopped.
        let _ = self.resolver.daemon.stop_resolve_hostname(&self.name);
        searches.remove(&self.name);
    }
}

#[cfg(test)]
#[path = "../../tests/common/announcer.rs"]
mod announcer;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::announcer::Announcer;
    use super::*;

    fn unique() -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        format!(
            "peerline-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        )
    }

    fn searches() -> usize {
        let resolver = RESOLVER.get().and_then(Option::as_ref).expect("it was started");
        resolver.searches.lock().unwrap().len()
    }

    #[tokio::test]
    async fn names_are_found_once_shared_and_given_up() {
        let (name, address) = (unique(), "192.0.2.55".parse().unwrap());
        let _announcer = Announcer::start(&name, address);

        // Several connections search for it at once, in any case and form; one gives up.
        let given_up = tokio::spawn({
            let name = name.clone();
            async move { resolve(&format!("{name}.local")).await }
        });
        tokio::task::yield_now().await;
        given_up.abort();
        let forms = [
            format!("{name}.local"),
            format!("{}.local", name.to_uppercase()),
            format!("{name}.local."),
        ];
        let answers = tokio::join!(resolve(&forms[0]), resolve(&forms[1]), resolve(&forms[2]));
        assert_eq!(answers, (Some(address), Some(address), Some(address)));

        // Nobody has this one; these are not such names at all.
        assert_eq!(resolve(&format!("{}.local", unique())).await, None);
        assert_eq!(resolve("example.com").await, None);
        assert_eq!(resolve(".local").await, None);
        assert_eq!(searches(), 0, "no search is left");
    }
}
