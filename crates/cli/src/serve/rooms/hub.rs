//! Who is in which room, and what waits for whom. No I/O, and the time is given: the routes around it bring both.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;

/// Rooms at once.
const MAX_ROOMS: usize = 1_000;
/// A call has two sides.
const MAX_MEMBERS: usize = 2;
/// The length of a room's name.
const MAX_NAME: usize = 64;
/// What waits for one member at most.
const MAX_EVENTS: usize = 256;
const MAX_BYTES: usize = 512 * 1024;
/// What waits for all of them.
const MAX_BYTES_OF_ALL: usize = 64 * 1024 * 1024;
/// Who listens no more, and does not come back for so long, has left.
const ABSENCE: Duration = Duration::from_secs(5);
/// Who seems to listen, and says nothing for so long, is not there any more: it is asked three times in between.
const SILENCE: Duration = Duration::from_secs(45);
/// How long events are kept that were written to somebody, in case that they did not arrive.
const UNCONFIRMED: Duration = Duration::from_secs(30);

/// A room's name: 1 to 64 letters, digits and `-_.~`, which are the characters that no URL changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RoomName(Arc<str>);

impl RoomName {
    pub(crate) fn new(name: &str) -> Option<Self> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        // Browsers take dots alone for steps between folders.
        let names_something = name.bytes().any(|byte| byte != b'.');
        (name.len() <= MAX_NAME && names_something && name.bytes().all(is_fit)).then(|| Self(name.into()))
    }
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoEntry {
    /// Two are there already.
    RoomFull,
    /// Nobody is there, and only somebody's room was wanted.
    Nobody,
    /// There are too many rooms.
    TooManyRooms,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// Who says it is not in the room, or not any more.
    NotAMember,
    /// Nobody else is there.
    Alone,
    /// The other one has not heard so much of what was said before.
    Full,
}

/// All rooms.
#[derive(Default)]
pub(super) struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    rooms: HashMap<RoomName, Vec<Member>>,
    /// Of all queues.
    bytes: usize,
    ended: bool,
}

/// Somebody in a room. Whoever knows the session is this member.
struct Member {
    session: u128,
    /// Oldest first, numbered without gaps.
    events: VecDeque<Event>,
    bytes: usize,
    /// The number of the last event that there was.
    last: u64,
    /// Which listener is the present one: the latest.
    listener: u64,
    listening: bool,
    /// When it began or ceased to listen, or said something.
    heard: Instant,
    news: Arc<Notify>,
}

struct Event {
    number: u64,
    text: Arc<str>,
    /// When it was written to the member, if it was.
    written: Option<Instant>,
}

impl Hub {
    /// Lets somebody in, and gives its session. `create` makes the room if it is not there.
    pub(super) fn join(&self, name: &RoomName, create: bool, now: Instant) -> Result<u128, NoEntry> {
        let mut state = self.lock();
        state.sweep(now);
        if !state.rooms.contains_key(name) {
            if !create {
                return Err(NoEntry::Nobody);
            }
            if state.rooms.len() >= MAX_ROOMS {
                return Err(NoEntry::TooManyRooms);
            }
        }
        let State { rooms, bytes, .. } = &mut *state;
        let members = rooms.entry(name.clone()).or_default();
        for other in members.iter_mut() {
            *bytes -= other.make_room();
        }
        // Who comes and goes all the time fills the other's queue, too.
        if members.len() >= MAX_MEMBERS || members.iter().any(Member::is_full) {
            return Err(NoEntry::RoomFull);
        }
        let mut member = Member::new(now);
        for other in members.iter_mut() {
            *bytes += other.tell(&json!({ "event": "arrived" }));
            *bytes += member.tell(&json!({ "event": "arrived" }));
        }
        let session = member.session;
        members.push(member);
        Ok(session)
    }

    /// Begins to listen, in place of who listened before with this session. Events up to number `after` have arrived.
    pub(super) fn listen(
        self: &Arc<Self>,
        name: &RoomName,
        session: u128,
        after: u64,
        now: Instant,
    ) -> Option<Listener> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        let member = state.member(name, session)?;
        member.listener += 1;
        member.listening = true;
        member.heard = now;
        let listener = member.listener;
        let news = Arc::clone(&member.news);
        news.notify_waiters();
        state.confirm(name, session, after);
        drop(state);
        Some(Listener {
            hub: Arc::clone(self),
            name: name.clone(),
            session,
            listener,
            after,
            news,
        })
    }

    /// Tells the other one in the room what `session` says. Without messages it just says that it is there.
    pub(super) fn say(&self, name: &RoomName, session: u128, messages: &[Value], now: Instant) -> Result<(), NotTaken> {
        let mut state = self.lock();
        state.member(name, session).ok_or(NotTaken::NotAMember)?.heard = now;
        if messages.is_empty() {
            return Ok(());
        }
        let State { rooms, bytes, .. } = &mut *state;
        let members = rooms.get_mut(name).into_iter().flatten();
        let mut others = members.filter(|member| member.session != session);
        let other = others.next().ok_or(NotTaken::Alone)?;
        for message in messages {
            *bytes -= other.make_room();
            if other.is_full() || *bytes >= MAX_BYTES_OF_ALL {
                return Err(NotTaken::Full);
            }
            *bytes += other.tell(&json!({ "event": "message", "message": message }));
        }
        Ok(())
    }

    /// Goes, and tells it.
    pub(super) fn leave(&self, name: &RoomName, session: u128) -> Option<()> {
        let mut state = self.lock();
        state.member(name, session)?;
        state.remove(name, |member| member.session == session, "left");
        Some(())
    }

    /// Sends away who has not been heard for too long.
    pub(super) fn sweep(&self, now: Instant) {
        self.lock().sweep(now);
    }

    /// Ends all listening: the program ends. Members are not told that the others leave; they will meet at the next start.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        for member in state.rooms.values().flatten() {
            member.news.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn member(&mut self, name: &RoomName, session: u128) -> Option<&mut Member> {
        let members = self.rooms.get_mut(name)?;
        members.iter_mut().find(|member| member.session == session)
    }

    /// Frees what has arrived.
    fn confirm(&mut self, name: &RoomName, session: u128, after: u64) {
        if let Some(member) = self.member(name, session) {
            self.bytes -= member.discard(|event| event.number <= after);
        }
    }

    fn sweep(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for (name, members) in &mut self.rooms {
            for member in members {
                let is_old = |event: &Event| event.written.is_some_and(|written| now >= written + UNCONFIRMED);
                self.bytes -= member.discard(is_old);
                let patience = if member.listening { SILENCE } else { ABSENCE };
                if now >= member.heard + patience {
                    gone.push((name.clone(), member.session));
                }
            }
        }
        for (name, session) in gone {
            self.remove(&name, |member| member.session == session, "lost");
        }
    }

    /// Removes a member, and tells the others; a room without members is none.
    fn remove(&mut self, name: &RoomName, is_it: impl Fn(&Member) -> bool, event: &str) {
        let Some(members) = self.rooms.get_mut(name) else {
            return;
        };
        members.retain(|member| {
            if is_it(member) {
                self.bytes -= member.bytes;
                member.news.notify_waiters();
            }
            !is_it(member)
        });
        for other in members.iter_mut() {
            self.bytes += other.tell(&json!({ "event": event }));
        }
        if members.is_empty() {
            self.rooms.remove(name);
        }
    }
}

impl Member {
    fn new(now: Instant) -> Self {
        Self {
            // 128 random bits: nobody guesses them.
            session: rand::random(),
            events: VecDeque::new(),
            bytes: 0,
            last: 0,
            listener: 0,
            listening: false,
            heard: now,
            news: Arc::new(Notify::new()),
        }
    }

    /// Queues an event, and gives its length.
    fn tell(&mut self, event: &Value) -> usize {
        self.last += 1;
        let mut event = event.clone();
        event["number"] = self.last.into();
        let text: Arc<str> = event.to_string().into();
        let length = text.len();
        self.bytes += length;
        self.events.push_back(Event {
            number: self.last,
            text,
            written: None,
        });
        self.news.notify_waiters();
        length
    }

    /// Where the queue is full, forgets the oldest of what was written already. Gives how many bytes that were.
    fn make_room(&mut self) -> usize {
        if self.is_full() {
            self.discard(|event| event.written.is_some())
        } else {
            0
        }
    }

    /// There is always room for one more member that arrives and leaves.
    fn is_full(&self) -> bool {
        self.events.len() + 2 > MAX_EVENTS || self.bytes >= MAX_BYTES
    }

    /// Discards from the oldest on while `is_useless`. Gives how many bytes that were.
    fn discard(&mut self, is_useless: impl Fn(&Event) -> bool) -> usize {
        let mut bytes = 0;
        while let Some(event) = self.events.front()
            && is_useless(event)
        {
            bytes += event.text.len();
            self.events.pop_front();
        }
        self.bytes -= bytes;
        bytes
    }
}

/// Somebody who listens. Dropping it, the member has to come back soon.
pub(super) struct Listener {
    hub: Arc<Hub>,
    name: RoomName,
    session: u128,
    listener: u64,
    /// The number of the last event that was given.
    after: u64,
    news: Arc<Notify>,
}

impl Listener {
    /// The next events, at least one, as a JSON array; `None` when there will be none for this listener. Dropping the future
    /// loses nothing.
    pub(super) async fn next(&mut self, now: impl Fn() -> Instant) -> Option<String> {
        let news = Arc::clone(&self.news);
        loop {
            // Before looking, lest what comes in between be missed.
            let notified = news.notified();
            let events = self.take(now())?;
            if !events.is_empty() {
                return Some(format!("[{}]", events.join(",")));
            }
            notified.await;
        }
    }

    fn take(&mut self, now: Instant) -> Option<Vec<Arc<str>>> {
        let mut state = self.hub.lock();
        if state.ended {
            return None;
        }
        let member = state.member(&self.name, self.session)?;
        if member.listener != self.listener {
            return None;
        }
        let mut events = Vec::new();
        for event in member.events.iter_mut().filter(|event| event.number > self.after) {
            event.written = Some(now);
            events.push(Arc::clone(&event.text));
        }
        self.after = member.last;
        Some(events)
    }

    /// Tells the other one what the member says over its connection.
    pub(super) fn say(&self, messages: &[Value], now: Instant) -> Result<(), NotTaken> {
        self.hub.say(&self.name, self.session, messages, now)
    }

    /// Ceases to listen.
    pub(super) fn cease(&self, now: Instant) {
        let mut state = self.hub.lock();
        if let Some(member) = state.member(&self.name, self.session)
            && member.listener == self.listener
        {
            member.listening = false;
            member.heard = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RoomName {
        RoomName::new(text).expect("a good name")
    }

    /// What happened to who listens now, as `event` or the message.
    async fn hear(hub: &Arc<Hub>, room: &RoomName, session: u128, after: u64, now: Instant) -> Vec<Value> {
        let mut listener = hub.listen(room, session, after, now).expect("a member");
        let events = listener.next(|| now).await.expect("events");
        listener.cease(now);
        let events: Vec<Value> = serde_json::from_str(&events).expect("JSON");
        let what = |event: &Value| event.get("message").unwrap_or(&event["event"]).clone();
        events.iter().map(what).collect()
    }

    #[test]
    fn names_are_what_urls_leave_alone() {
        for good in ["a", "Kitchen-2", "x_.~", &"n".repeat(64)] {
            assert!(RoomName::new(good).is_some(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a%20", "a\n", &"n".repeat(65)] {
            assert!(RoomName::new(bad).is_none(), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_talk_and_a_third_is_refused() {
        let (hub, room, now) = (Arc::new(Hub::default()), name("kitchen"), crate::host::now());
        assert_eq!(hub.join(&room, false, now), Err(NoEntry::Nobody));
        let first = hub.join(&room, true, now).unwrap();
        assert_eq!(hub.say(&room, first, &[json!(1)], now), Err(NotTaken::Alone));
        let second = hub.join(&room, false, now).unwrap();
        assert_eq!(hub.join(&room, true, now), Err(NoEntry::RoomFull));
        hub.say(&room, first, &[json!("one"), json!({"two": 2})], now).unwrap();
        let heard = hear(&hub, &room, second, 0, now).await;
        assert_eq!(heard, [json!("arrived"), json!("one"), json!({"two": 2})]);
        assert_eq!(hear(&hub, &room, first, 0, now).await, ["arrived"]);

        // What was written and not confirmed is written again.
        assert_eq!(hear(&hub, &room, second, 2, now).await, [json!({"two": 2})]);
        hub.leave(&room, second).unwrap();
        assert!(hub.leave(&room, second).is_none());
        assert_eq!(hear(&hub, &room, first, 1, now).await, ["left"]);
        assert!(hub.join(&room, true, now).is_ok());
        assert_eq!(hub.say(&room, second, &[], now), Err(NotTaken::NotAMember));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_is_lost() {
        let (hub, room, begun) = (Arc::new(Hub::default()), name("r"), crate::host::now());
        let [first, second] = [(); 2].map(|()| hub.join(&room, true, begun).unwrap());
        let mut listening = hub.listen(&room, first, 0, begun).unwrap();
        listening.next(|| begun).await.unwrap();
        // The second never listens.
        hub.sweep(begun + ABSENCE - Duration::from_millis(1));
        assert!(hub.say(&room, first, &[json!(0)], begun).is_ok());
        hub.sweep(begun + ABSENCE);
        assert!(listening.next(|| begun).await.unwrap().contains("lost"));
        assert!(hub.listen(&room, second, 0, begun).is_none());
        // The first listens, and says nothing.
        hub.sweep(begun + SILENCE);
        assert!(listening.next(|| begun).await.is_none());
        assert!(hub.lock().rooms.is_empty());
        assert_eq!(hub.lock().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_listener_is_the_one() {
        let (hub, room, now) = (Arc::new(Hub::default()), name("r"), crate::host::now());
        let first = hub.join(&room, true, now).unwrap();
        let mut before = hub.listen(&room, first, 0, now).unwrap();
        let mut after = hub.listen(&room, first, 0, now).unwrap();
        assert!(before.next(|| now).await.is_none());
        before.cease(now);
        hub.sweep(now + ABSENCE);
        hub.join(&room, true, now).unwrap();
        assert!(after.next(|| now).await.unwrap().contains("arrived"));
        hub.end();
        assert!(after.next(|| now).await.is_none());
        assert!(hub.listen(&room, first, 0, now).is_none());
    }

    #[test]
    fn everything_has_a_limit() {
        let (hub, now) = (Arc::new(Hub::default()), crate::host::now());
        let room = name("r");
        let [first, _] = [(); 2].map(|()| hub.join(&room, true, now).unwrap());
        let message = [json!("m".repeat(100_000))];
        let taken = (0..1000).take_while(|_| hub.say(&room, first, &message, now).is_ok());
        assert_eq!(taken.count(), MAX_BYTES.div_ceil(100_000));
        for i in 1..MAX_ROOMS {
            hub.join(&name(&i.to_string()), true, now).unwrap();
        }
        assert_eq!(hub.join(&name("one-more"), true, now), Err(NoEntry::TooManyRooms));
        let state = hub.lock();
        let members = state.rooms.values().flatten();
        assert_eq!(state.bytes, members.map(|member| member.bytes).sum::<usize>());
        drop(state);
        // Somebody who comes and goes fills nothing, either.
        let busy = name("busy");
        hub.sweep(now + ABSENCE);
        hub.join(&busy, true, now).unwrap();
        let visits = (0..1000).take_while(|_| {
            let visitor = hub.join(&busy, false, now);
            visitor.is_ok_and(|visitor| hub.leave(&busy, visitor).is_some())
        });
        assert_eq!(visits.count(), MAX_EVENTS / 2);
        // All of them are gone some time.
        hub.sweep(now + ABSENCE);
        let state = hub.lock();
        assert_eq!((state.bytes, state.rooms.len()), (0, 0));
    }
}
