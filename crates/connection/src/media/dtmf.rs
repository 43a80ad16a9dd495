//! Keys that are pressed (RFC 4733): [`Dtmf`] sends them (`RTCDTMFSender`), [`DtmfTone`] is one that was received.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use peerline_rtp::payload::telephone_event::{Event, EventPacket, EventSender};

/// A key that was pressed at the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtmfTone {
    /// `0` to `9`, `*`, `#`, `A` to `D`.
    pub tone: char,
    /// For how long.
    pub duration: Duration,
}

/// Why tones are not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DtmfError {
    /// The transceiver does not send, or the peer takes no `telephone-event` (`InvalidStateError`).
    CannotInsert,
    /// A character is none of `0` to `9`, `A` to `D`, `#`, `*` and `,` (`InvalidCharacterError`).
    UnknownTone(char),
}

impl fmt::Display for DtmfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotInsert => {
                f.write_str("tones cannot be sent: negotiate an audio transceiver that sends, with telephone-event")
            }
            Self::UnknownTone(tone) => write!(f, "{tone:?} is no tone: use 0 to 9, A to D, #, * and the comma"),
        }
    }
}

impl std::error::Error for DtmfError {}

/// Sends tones one after the other, in the place of sound.
#[derive(Debug)]
pub(super) struct Dtmf {
    pub(super) payload_type: u8,
    clock_rate: u32,
    /// An instant, and the stream's timestamp then.
    origin: (Instant, u32),
    tones: VecDeque<char>,
    duration: Duration,
    gap: Duration,
    events: EventSender,
    /// When the next tone may begin; `None` once the end was told.
    next: Option<Instant>,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Due {
    Packet(EventPacket),
    /// A tone begins; `None` after the last (`tonechange`).
    Tone(Option<char>),
}

/// How loud, in −dBm0.
const VOLUME: u8 = 10;
/// How often a tone that goes on is told: as often as sound is.
const REPORTS: Duration = Duration::from_millis(20);
/// What a comma stands for: "a delay of 2 seconds" (webrtc-pc §7.2).
const COMMA: Duration = Duration::from_secs(2);
/// "The duration cannot be more than 6000 ms or less than 40 ms", the gap "MUST be at least 30 ms" (webrtc-pc §7.2).
const DURATIONS: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(6000)];
const GAPS: [Duration; 2] = [Duration::from_millis(30), Duration::from_millis(6000)];

impl Dtmf {
    pub(super) fn new(payload_type: u8, clock_rate: u32, now: Instant, timestamp: u32) -> Self {
        Self {
            payload_type,
            clock_rate,
            origin: (now, timestamp),
            tones: VecDeque::new(),
            duration: DURATIONS[0],
            gap: GAPS[0],
            events: EventSender::new(ticks(REPORTS, clock_rate), VOLUME),
            next: None,
        }
    }

    /// Replaces what is still to be played; a tone that has begun ends as it would have.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        tones: &str,
        duration: Duration,
        gap: Duration,
    ) -> Result<(), DtmfError> {
        let is_tone = |tone: &char| *tone == ',' || Event::from_key(*tone).is_some();
        if let Some(unknown) = tones.chars().find(|tone| !is_tone(tone)) {
            return Err(DtmfError::UnknownTone(unknown));
        }
        self.tones = tones.chars().map(|tone| tone.to_ascii_uppercase()).collect();
        self.duration = duration.clamp(DURATIONS[0], DURATIONS[1]);
        self.gap = gap.clamp(GAPS[0], GAPS[1]);
        if !self.tones.is_empty() {
            self.next.get_or_insert(now);
        }
        Ok(())
    }

    /// `toneBuffer`: what is still to be played.
    pub(super) fn tone_buffer(&self) -> String {
        self.tones.iter().collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.events.poll_timeout() {
            Some(timestamp) => {
                let ticks = timestamp.wrapping_sub(self.origin.1);
                Some(self.origin.0 + Duration::from_secs_f64(f64::from(ticks) / f64::from(self.clock_rate)))
            }
            None => self.next,
        }
    }

    /// What is due at `now`, one at a time.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Due> {
        // The instant that a timestamp stands for is rounded: a tick more makes sure that it is reached.
        let timestamp = self.timestamp(now).wrapping_add(1);
        if let Some(packet) = self.events.poll_packet(timestamp) {
            return Some(Due::Packet(packet));
        }
        if self.events.is_busy() || self.next? > now {
            return None;
        }
        let Some(tone) = self.tones.pop_front() else {
            self.next = None;
            return Some(Due::Tone(None));
        };
        match Event::from_key(tone) {
            Some(event) => {
                // Timestamps count from the beginning of each tone, lest they drift.
                self.origin = (now, self.timestamp(now));
                let duration = ticks(self.duration, self.clock_rate);
                let _ = self.events.start(event, self.origin.1, duration);
                self.next = Some(now + self.duration + self.gap);
            }
            None => self.next = Some(now + COMMA),
        }
        Some(Due::Tone(Some(tone)))
    }

    /// The stream's timestamp at `now`.
    fn timestamp(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.origin.0);
        self.origin.1.wrapping_add(ticks(passed, self.clock_rate))
    }
}

fn ticks(span: Duration, clock_rate: u32) -> u32 {
    (span.as_micros() * u128::from(clock_rate) / 1_000_000) as u32
}
