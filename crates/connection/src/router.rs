//! [`Router`]: one UDP port for many connections.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::net::{SocketAddr, SocketAddrV6};

use ahash::{HashMap, HashMapExt};
use peerline_ice as ice;
use peerline_stun::attribute::Username;
use peerline_stun::{Class, Message, TransactionId};
use peerline_wire::FiveTuple;

use crate::Connection;
use crate::demux::{Protocol, demux};

/// How many paths of one connection are known at most: a checklist has a hundred pairs. The least useful goes first.
const MAX_PATHS: usize = 128;

/// How many of a connection's last checks on other connections' paths are remembered.
const MAX_CONTESTED: usize = 16;

/// Tells which connection a datagram on a shared socket is for, in constant time: by its five-tuple, or, for a connectivity
/// check, by the username fragment that it names (RFC 8445 §7.2.2). `T` is whatever stands for a connection.
///
/// - *Membership*: [`insert`](Self::insert), [`remove`](Self::remove); [`refresh`](Self::refresh) whenever the connection may have
///   begun or ended an ICE session ([`IceConnectionStateChange`](crate::Event::IceConnectionStateChange), a local description).
/// - *For each datagram that comes*: [`route`](Self::route), then the connection's
///   [`handle_datagram`](Connection::handle_datagram), then [`learn`](Self::learn) if it was STUN ([`may_teach`]).
/// - *For each datagram that leaves*: [`on_transmit`](Self::on_transmit) if it is STUN.
///
/// # Who owns a five-tuple
/// Checks and handshakes can be forged or misdirected, by strangers and by peers of other connections on the same port, who
/// may name anybody's address as their candidate. So a claim to a path has one of three degrees: the connection has *sent* a
/// check there; it has *heard* an authenticated check from there; it has *proved* the path, since a check of its own was
/// answered from there, which only who receives at that address can do. A path is the connection's with the higher claim, and
/// among equals that one's which had it first; but a new proof beats any claim: a client that comes back from the same port is
/// a new connection at once. ICE-lite agents send no checks: to them each authenticated check is a new proof.
///
/// What a connection sends on a path that another one owns is remembered by its transaction, so that its answers
/// arrive and it can prove itself. Two connections between the same two ports cannot be told apart once both carry data: the
/// newer one has it.
///
/// ```
/// use peerline_connection::{Connection, Router, may_teach};
/// use peerline_wire::Datagram;
/// # use std::time::Instant;
///
/// fn on_datagram(router: &mut Router<usize>, connections: &mut [Connection], now: Instant, datagram: Datagram) {
///     let Some((id, &index)) = router.route(&datagram.five_tuple, &datagram.payload) else { return };
///     let (path, teaches) = (datagram.five_tuple, may_teach(&datagram.payload));
///     connections[index].handle_datagram(now, datagram);
///     if teaches {
///         router.learn(id, &connections[index], &path);
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Router<T> {
    slots: Vec<Option<Slot<T>>>,
    free: Vec<usize>,
    /// Counts insertions, so that an old id means nobody.
    inserted: u64,
    ufrags: HashMap<Name, usize>,
    paths: HashMap<FiveTuple, usize>,
    /// Checks sent on paths that are others'.
    contested: HashMap<TransactionId, usize>,
    drops: RouterDrops,
}

/// Names a connection in a [`Router`], and after its removal nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId {
    slot: usize,
    number: u64,
}

/// What a [`Router`] knew no connection for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterDrops {
    /// Checks that name no connection's username fragment, or are malformed.
    pub unknown_ufrags: u64,
    /// Other datagrams on paths that are no connection's.
    pub unknown_paths: u64,
}

/// How well a connection's claim to a path is founded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It has sent a check there.
    Sent,
    /// An authenticated check has come from there.
    Heard,
    /// A check of its own was answered from there.
    Proved,
}

/// A username fragment, in the table itself if it is as short as ours are: of thousands, none is in a cache.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Short(u8, [u8; 15]),
    Long(Box<[u8]>),
}

impl Name {
    fn new(ufrag: &str) -> Self {
        let mut bytes = [0; 15];
        match bytes.get_mut(..ufrag.len()) {
            Some(place) => {
                place.copy_from_slice(ufrag.as_bytes());
                Self::Short(ufrag.len() as u8, bytes)
            }
            None => Self::Long(ufrag.as_bytes().into()),
        }
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        match self {
            Self::Short(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Self::Long(bytes) => bytes,
        }
    }
}

impl Hash for Name {
    /// As what it stands for.
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<[u8]>::borrow(self).hash(state);
    }
}

#[derive(Debug)]
struct Slot<T> {
    number: u64,
    value: T,
    known: Box<Known>,
    /// The path that it proved last, for as long as it owns it: of that there is nothing to learn. Consent checks come and go on it
    /// every few seconds, for each connection, and of ten thousand nothing but what is asked for each time is in a cache.
    home: Option<FiveTuple>,
}

/// What leads to a connection, apart from what is asked for with each datagram.
#[derive(Debug, Default)]
struct Known {
    ufrags: Vec<Box<str>>,
    /// Every path it has a claim to, also those that another one owns; oldest first.
    claims: Vec<Claim>,
    /// Its keys in `contested`, oldest first.
    contested: VecDeque<TransactionId>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    path: FiveTuple,
    standing: Standing,
}

/// True for datagrams after which a connection is to be asked what it has [learned](Router::learn): those of STUN.
#[must_use]
pub fn may_teach(payload: &[u8]) -> bool {
    demux(payload) == Some(Protocol::Stun)
}

impl<T> Router<T> {
    /// A router that knows nobody.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            inserted: 0,
            ufrags: HashMap::new(),
            paths: HashMap::new(),
            contested: HashMap::new(),
            drops: RouterDrops::default(),
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// No connection is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was for nobody so far.
    #[must_use]
    pub fn drops(&self) -> RouterDrops {
        self.drops
    }

    /// Every connection.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten().map(|slot| &slot.value)
    }

    // Membership.

    /// Takes a connection, which nothing reaches before [`refresh`](Self::refresh).
    pub fn insert(&mut self, value: T) -> RouteId {
        self.inserted += 1;
        let entry = Some(Slot {
            number: self.inserted,
            value,
            known: Box::default(),
            home: None,
        });
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = entry;
        }
        RouteId {
            slot,
            number: self.inserted,
        }
    }

    /// Forgets a connection and everything that led to it.
    pub fn remove(&mut self, id: RouteId) -> Option<T> {
        find(&mut self.slots, id)?;
        let slot = self.slots.get_mut(id.slot)?.take()?;
        self.free.push(id.slot);
        for ufrag in &slot.known.ufrags {
            remove_own(&mut self.ufrags, ufrag.as_bytes(), id.slot);
        }
        for claim in &slot.known.claims {
            remove_own(&mut self.paths, &claim.path, id.slot);
        }
        for transaction in &slot.known.contested {
            remove_own(&mut self.contested, transaction, id.slot);
        }
        // What a crowd has needed, a few do not.
        if self.is_empty() {
            *self = Self {
                inserted: self.inserted,
                drops: self.drops,
                ..Self::new()
            };
        }
        Some(slot.value)
    }

    /// Takes the username fragments of the connection's ICE sessions, all of which lead to it, and forgets paths on which
    /// it neither checks nor hears any more. A fragment that is another connection's already stays there.
    pub fn refresh(&mut self, id: RouteId, connection: &Connection) {
        self.set_ufrags(id, connection.ice.local_ufrags());
        self.retain_paths(id, |path| {
            let checked = |state| !matches!(state, ice::PairState::Failed);
            connection.ice.accepts(path) || connection.ice.pair_state(path).is_some_and(checked)
        });
    }

    fn set_ufrags<'u>(&mut self, id: RouteId, current: impl Iterator<Item = &'u str> + Clone) {
        let Self { slots, ufrags, .. } = self;
        let Some(slot) = find(slots, id) else { return };
        slot.known.ufrags.retain(|known| {
            let kept = current.clone().any(|ufrag| *ufrag == **known);
            if !kept {
                remove_own(ufrags, known.as_bytes(), id.slot);
            }
            kept
        });
        for ufrag in current {
            if !ufrags.contains_key(ufrag.as_bytes()) {
                ufrags.insert(Name::new(ufrag), id.slot);
                slot.known.ufrags.push(ufrag.into());
            }
        }
    }

    fn retain_paths(&mut self, id: RouteId, mut keep: impl FnMut(&FiveTuple) -> bool) {
        let Self { slots, paths, .. } = self;
        let Some(slot) = find(slots, id) else { return };
        slot.known.claims.retain(|claim| {
            let kept = keep(&claim.path);
            if !kept {
                remove_own(paths, &claim.path, id.slot);
            }
            kept
        });
        slot.known.claims.shrink_to_fit();
        slot.home
            .take_if(|home| !slot.known.claims.iter().any(|claim| claim.path == *home));
    }

    // Datagrams.

    /// Whom a datagram is for; `None`, and counted, if for nobody.
    pub fn route(&mut self, five_tuple: &FiveTuple, payload: &[u8]) -> Option<(RouteId, &T)> {
        let by_path = || self.paths.get(&normal(five_tuple));
        let (slot, drops) = match destination(payload) {
            // The name decides, whatever the path was used for before.
            Destination::Ufrag(ufrag) => (self.ufrags.get(ufrag.as_bytes()), &mut self.drops.unknown_ufrags),
            Destination::Transaction(id) => {
                let slot = self.contested.get(&id).or_else(by_path);
                (slot, &mut self.drops.unknown_paths)
            }
            Destination::Path => (by_path(), &mut self.drops.unknown_paths),
            Destination::Nobody => (None, &mut self.drops.unknown_ufrags),
        };
        let Some(&slot) = slot else {
            *drops += 1;
            return None;
        };
        let Slot { number, value, .. } = self.slots.get(slot)?.as_ref()?;
        Some((RouteId { slot, number: *number }, value))
    }

    /// Asks a connection what its ICE now thinks of the path on which a datagram of STUN has come.
    pub fn learn(&mut self, id: RouteId, connection: &Connection, five_tuple: &FiveTuple) {
        if self.is_home(id, five_tuple) {
            return;
        }
        let lite = connection.config.ice_lite;
        let standing = match (
            connection.ice.accepts(five_tuple),
            connection.ice.pair_state(five_tuple),
        ) {
            (true, _) if lite => Standing::Proved,
            (_, Some(ice::PairState::Succeeded)) => Standing::Proved,
            (true, _) => Standing::Heard,
            (false, _) => return,
        };
        // A proof that is not new is none against a newer one.
        if lite || !self.has_proved(id, five_tuple) {
            self.claim(id, five_tuple, standing);
        }
    }

    /// Whether a connection owns this path since it has proved it.
    fn is_home(&mut self, id: RouteId, five_tuple: &FiveTuple) -> bool {
        find(&mut self.slots, id).is_some_and(|slot| slot.home == Some(normal(five_tuple)))
    }

    /// Whether a connection has proved this path before, and it is somebody's.
    fn has_proved(&mut self, id: RouteId, five_tuple: &FiveTuple) -> bool {
        let path = normal(five_tuple);
        self.paths.contains_key(&path)
            && find(&mut self.slots, id).is_some_and(|slot| slot.standing(&path) == Some(Standing::Proved))
    }

    /// A connection has sent this. A check opens the path for its answer.
    pub fn on_transmit(&mut self, id: RouteId, five_tuple: &FiveTuple, payload: &[u8]) {
        if !may_teach(payload) || self.is_home(id, five_tuple) {
            return;
        }
        let Ok(message) = Message::parse(payload) else { return };
        if message.class() != Class::Request {
            return;
        }
        self.claim(id, five_tuple, Standing::Sent);
        if self.paths.get(&normal(five_tuple)) != Some(&id.slot) {
            self.contest(id, message.transaction_id());
        }
    }

    /// Remembers a check on a path that another connection owns.
    fn contest(&mut self, id: RouteId, transaction: TransactionId) {
        let Self { slots, contested, .. } = self;
        let Some(slot) = find(slots, id) else { return };
        // A check is repeated with the same transaction.
        if contested.insert(transaction, id.slot) == Some(id.slot) {
            return;
        }
        slot.known.contested.push_back(transaction);
        if slot.known.contested.len() > MAX_CONTESTED
            && let Some(oldest) = slot.known.contested.pop_front()
        {
            remove_own(contested, &oldest, id.slot);
        }
    }

    /// Takes a claim, and gives the path to it if it beats the owner's.
    fn claim(&mut self, id: RouteId, five_tuple: &FiveTuple, standing: Standing) {
        let claim = Claim {
            path: normal(five_tuple),
            standing,
        };
        let Some(evicted) = find(&mut self.slots, id).and_then(|slot| slot.note(claim)) else {
            return;
        };
        if let Some(path) = evicted {
            remove_own(&mut self.paths, &path, id.slot);
            self.leave_home(id.slot, &path);
        }
        let owner = self
            .paths
            .get(&claim.path)
            .and_then(|&owner| self.slots.get(owner)?.as_ref());
        let owned = owner.and_then(|owner| owner.standing(&claim.path));
        if standing == Standing::Proved || owned.is_none_or(|owned| standing > owned) {
            let before = self.paths.insert(claim.path, id.slot);
            if let Some(before) = before.filter(|&before| before != id.slot) {
                self.leave_home(before, &claim.path);
            }
            if standing == Standing::Proved
                && let Some(slot) = find(&mut self.slots, id)
            {
                slot.home = Some(claim.path);
            }
        }
    }

    /// A path is not this connection's any more.
    fn leave_home(&mut self, slot: usize, path: &FiveTuple) {
        if let Some(slot) = self.slots.get_mut(slot).and_then(Option::as_mut) {
            slot.home.take_if(|home| home == path);
        }
    }
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slot<T> {
    fn standing(&self, path: &FiveTuple) -> Option<Standing> {
        let claim = self.known.claims.iter().find(|claim| claim.path == *path)?;
        Some(claim.standing)
    }

    /// Writes a claim down. `None` if there is no room, else the path that had to make room, if one had to.
    fn note(&mut self, claim: Claim) -> Option<Option<FiveTuple>> {
        if let Some(known) = self.known.claims.iter_mut().find(|known| known.path == claim.path) {
            known.standing = known.standing.max(claim.standing);
            return Some(None);
        }
        let mut evicted = None;
        if self.known.claims.len() >= MAX_PATHS {
            let (worst, _) = self
                .known
                .claims
                .iter()
                .enumerate()
                .filter(|(_, known)| known.standing <= claim.standing)
                .min_by_key(|(_, known)| known.standing)?;
            evicted = Some(self.known.claims.remove(worst).path);
        }
        self.known.claims.push(claim);
        Some(evicted)
    }
}

/// The connection with this id, if it is still there.
fn find<T>(slots: &mut [Option<Slot<T>>], id: RouteId) -> Option<&mut Slot<T>> {
    slots.get_mut(id.slot)?.as_mut().filter(|slot| slot.number == id.number)
}

/// Removes an entry that is this connection's.
fn remove_own<K: Borrow<Q> + Hash + Eq, Q: Hash + Eq + ?Sized>(map: &mut HashMap<K, usize>, key: &Q, slot: usize) {
    if map.get(key) == Some(&slot) {
        map.remove(key);
    }
}

/// What tells whom a datagram is for.
enum Destination<'a> {
    /// A check, for who has this username fragment.
    Ufrag(&'a str),
    /// An answer to a check.
    Transaction(TransactionId),
    /// Anything else.
    Path,
    Nobody,
}

impl Connection {
    /// True for a connectivity check that names one of this connection's ICE sessions: for who has a stranger's connection over
    /// TCP, and wants to know whether it is for this one.
    #[must_use]
    pub fn is_named_by(&self, check: &[u8]) -> bool {
        match destination(check) {
            Destination::Ufrag(name) => self.ice.local_ufrags().any(|ufrag| ufrag == name),
            Destination::Transaction(_) | Destination::Path | Destination::Nobody => false,
        }
    }
}

fn destination(payload: &[u8]) -> Destination<'_> {
    if !may_teach(payload) {
        return Destination::Path;
    }
    let Ok(message) = Message::parse(payload) else {
        return Destination::Nobody;
    };
    match message.class() {
        // "The username [...] is formed by concatenating the username fragment provided by the peer with the username
        // fragment of the ICE agent sending the request, separated by a colon" (RFC 8445 §7.2.2).
        Class::Request => match message.get::<Username<'_>>() {
            Ok(Some(Username(name))) => name
                .split_once(':')
                .map_or(Destination::Nobody, |(ours, _)| Destination::Ufrag(ours)),
            _ => Destination::Nobody,
        },
        Class::SuccessResponse | Class::ErrorResponse => Destination::Transaction(message.transaction_id()),
        Class::Indication => Destination::Path,
    }
}

/// The five-tuple in one form, whether a socket or a candidate names it: without flow information, and with a scope only where
/// it distinguishes addresses.
fn normal(five_tuple: &FiveTuple) -> FiveTuple {
    let plain = |address: SocketAddr| match address {
        SocketAddr::V6(v6) => {
            let scope = if v6.ip().is_unicast_link_local() {
                v6.scope_id()
            } else {
                0
            };
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope).into()
        }
        v4 => v4,
    };
    FiveTuple {
        local: plain(five_tuple.local),
        remote: plain(five_tuple.remote),
        transport: five_tuple.transport,
    }
}
