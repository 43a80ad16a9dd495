//! Bodies of the fuzz targets: each asserts something, and none may panic otherwise.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::datachannel::dcep::{Dcep, Open};
use crate::wire::{Chunk, Header, Packet, write_checksum};
use crate::{Association, Config, Event, Message, Ppid, Reliability, SendOptions, StreamId};

/// Whatever decodes encodes to bytes that decode to the same and encode to the same.
///
/// # Panics
/// If it does not.
pub fn packet(bytes: &[u8]) {
    let Some((header, chunks)) = decode(bytes) else { return };
    let mut first = Vec::new();
    Packet::encode(&mut first, header, &chunks);
    let again = decode(&first).expect("what was encoded decodes");
    assert_eq!(again, (header, chunks));
    let mut second = Vec::new();
    Packet::encode(&mut second, again.0, &again.1);
    assert_eq!(first, second);
    // The parts that are decoded on demand.
    for chunk in &again.1 {
        match chunk {
            Chunk::ReConfig(re_config) => drop(re_config.parameters().count()),
            Chunk::Sack(sack) => assert!(sack.gap_blocks().len() + sack.duplicates().len() <= bytes.len() / 4),
            Chunk::ForwardTsn(forward) => assert!(forward.skipped().len() <= bytes.len() / 4),
            Chunk::IForwardTsn(forward) => assert!(forward.skipped().len() <= bytes.len() / 8),
            _ => {}
        }
    }
}

/// A data channel control message that decodes encodes to the same bytes, and what it means survives being said anew.
///
/// # Panics
/// If it does not.
pub fn dcep(bytes: &[u8]) {
    let Ok(message) = Dcep::decode(bytes) else { return };
    let mut again = Vec::new();
    message.encode(&mut again);
    assert_eq!(again, bytes);
    let Dcep::Open(open) = message else { return };
    let Some(reliability) = open.reliability() else { return };
    let anew = Open::new(open.label, open.protocol, open.ordered(), reliability, open.priority);
    assert_eq!(
        (anew.ordered(), anew.reliability()),
        (open.ordered(), Some(reliability))
    );
    again.clear();
    Dcep::Open(anew).encode(&mut again);
    assert_eq!(Dcep::decode(&again), Ok(Dcep::Open(anew)));
}

fn decode(bytes: &[u8]) -> Option<(Header, Vec<Chunk<'_>>)> {
    let packet = Packet::decode(bytes).ok()?;
    let chunks = packet
        .chunks()
        .map(|raw| raw.and_then(Chunk::decode))
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    Some((packet.header, chunks))
}

/// Two associations talk, and `bytes` decide what is put on the wire between them.
///
/// Each step is a byte that says what to do, and for a packet one more byte of length and so many bytes of chunks: they get
/// a header with the right ports, verification tag and checksum, and their first TSN-like field is moved to where the
/// association is, so that they go deep. Whatever happens, memory stays bounded, no timer spins, and the polls agree.
///
/// # Panics
/// If one of that fails.
pub fn association(bytes: &[u8]) {
    talk(bytes, false);
}

/// As [`association`], but messages are interleaved (RFC 8260): I-DATA takes the place of DATA.
///
/// # Panics
/// As [`association`].
pub fn interleaving(bytes: &[u8]) {
    talk(bytes, true);
}

fn talk(bytes: &[u8], interleaving: bool) {
    let Some(mut world) = World::new(interleaving) else {
        return;
    };
    let mut rest = bytes;
    for _ in 0..MAX_STEPS {
        let Some((&step, tail)) = rest.split_first() else { break };
        rest = tail;
        match step {
            // A packet from the fuzzer.
            0..=159 => {
                let Some((&length, tail)) = rest.split_first() else {
                    break;
                };
                let (body, tail) = tail.split_at(tail.len().min(usize::from(length)));
                rest = tail;
                world.inject(body, step);
            }
            160..=175 => world.exchange(),
            176..=191 => world.send(step),
            192..=207 => world.read(),
            208..=223 => world.pass(Duration::from_millis(u64::from(step - 207) * 50)),
            224..=239 => drop(world.target.reset_stream(StreamId((step & 3).into()))),
            240..=247 => world.pass(Duration::from_secs(10)),
            248..=251 => world.target.shutdown(world.now),
            252..=255 => drop(world.transmit()),
        }
        assert!(
            world.target.receive_buffer() <= world.limit,
            "the receive buffer is bounded"
        );
    }
    world.settle();
}

const LIMIT: usize = 50_000;
const MAX_MESSAGE: usize = 20_000;
const MAX_STEPS: usize = 400;

struct World {
    target: Association,
    peer: Association,
    header: Header,
    now: Instant,
    closed: bool,
    /// The TSNs around which both are: the target expects the first, and has sent the second.
    tsns: [u32; 2],
    /// What the target may keep.
    limit: usize,
}

impl World {
    fn new(interleaving: bool) -> Option<Self> {
        // A point in time that is not asked from a clock: what `poll_timeout` of a fresh association can be compared with.
        let now = instant()?;
        let config = |seed| Config {
            rng_seed: [seed; 32],
            receive_window: LIMIT as u32,
            max_message_size: MAX_MESSAGE,
            incoming_streams: 100,
            interleaving,
            ..Config::default()
        };
        let (mut target, mut peer) = (Association::new(config(1)), Association::new(config(2)));
        peer.connect(now);
        let mut header = None;
        let mut tsns = [0; 2];
        for _ in 0..4 {
            let mut out = Vec::new();
            while peer.poll_transmit(now, &mut out).is_some() {
                let packet = Packet::decode(&out).ok()?;
                header = Some(packet.header);
                if let Some(Ok(Ok(Chunk::Init(init)))) = packet.chunks().next().map(|raw| raw.map(Chunk::decode)) {
                    tsns[0] = init.initial_tsn.0;
                }
                target.handle_datagram(now, BytesMut::from(&out[..]));
                out.clear();
            }
            while target.poll_transmit(now, &mut out).is_some() {
                let packet = Packet::decode(&out).ok()?;
                if let Some(Ok(Ok(Chunk::InitAck(init)))) = packet.chunks().next().map(|raw| raw.map(Chunk::decode)) {
                    tsns[1] = init.initial_tsn.0.wrapping_sub(1);
                }
                peer.handle_datagram(now, BytesMut::from(&out[..]));
                out.clear();
            }
        }
        assert!(target.is_connected() && peer.is_connected());
        Some(Self {
            target,
            peer,
            header: header?,
            now,
            closed: false,
            tsns,
            // Of interleaved messages that leave nothing to read, one more may be finished.
            limit: LIMIT + 2 * 1500 + usize::from(interleaving) * MAX_MESSAGE,
        })
    }

    fn inject(&mut self, body: &[u8], step: u8) {
        let mut packet = Vec::new();
        crate::wire::write_header(&mut packet, self.header);
        packet.extend_from_slice(body);
        // DATA and FORWARD TSN count from what the target expects, SACK and SHUTDOWN from what it has sent.
        if step & 1 == 0
            && let Some(&kind) = body.first()
            && let Some(field) = packet.get_mut(16..20)
            && let Some(base) = match kind {
                0 | 64 | 192 | 194 => Some(self.tsns[0]),
                3 | 7 => Some(self.tsns[1]),
                _ => None,
            }
        {
            let offset = u32::from(step >> 1) % 16;
            field.copy_from_slice(&base.wrapping_add(offset).to_be_bytes());
        }
        if step & 2 == 0 {
            write_checksum(&mut packet);
        }
        self.target.handle_datagram(self.now, BytesMut::from(&packet[..]));
        self.watch();
    }

    fn transmit(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut out = b"untouched".to_vec();
        while let Some(len) = self.target.poll_transmit(self.now, &mut out) {
            assert_eq!(&out[..9], b"untouched");
            assert!(out.len() == 9 + len && len <= Config::default().max_mtu);
            packets.push(out.split_off(9));
            assert!(packets.len() < 10_000, "sending ends");
        }
        assert_eq!(out, b"untouched");
        packets
    }

    fn exchange(&mut self) {
        for packet in self.transmit() {
            self.peer.handle_datagram(self.now, BytesMut::from(&packet[..]));
        }
        let mut out = Vec::new();
        while self.peer.poll_transmit(self.now, &mut out).is_some() {
            self.target.handle_datagram(self.now, BytesMut::from(&out[..]));
            out.clear();
        }
        self.watch();
    }

    fn send(&mut self, step: u8) {
        let options = SendOptions {
            ordered: step & 4 == 0,
            reliability: if step & 8 == 0 {
                Reliability::Reliable
            } else {
                Reliability::MaxRetransmits(1)
            },
        };
        let payload = vec![step; usize::from(step & 3) * 900 + 1];
        let message = Message::new(Ppid::BINARY, payload);
        let _ = self
            .target
            .send(self.now, StreamId((step & 3).into()), message, options);
    }

    fn read(&mut self) {
        self.watch();
        for stream in 0..100 {
            while let Some(message) = self.target.recv(StreamId(stream)) {
                assert!(!message.payload.is_empty() && message.payload.len() <= MAX_MESSAGE);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.target.handle_timeout(self.now);
        drop(self.transmit());
        assert!(self.target.poll_timeout().is_none_or(|at| at > self.now), "no spinning");
        self.watch();
    }

    fn watch(&mut self) {
        while let Some(event) = self.target.poll_event() {
            assert!(!self.closed, "nothing after the end");
            self.closed = matches!(event, Event::Closed(_));
        }
        assert!(!self.closed || self.target.is_closed());
    }

    /// Everything comes to an end, or to rest.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.read();
            self.pass(Duration::from_secs(60));
        }
        self.read();
        assert!(self.target.receive_buffer() <= self.limit);
    }
}

/// An `Instant`, which only a clock can make.
#[allow(clippy::disallowed_methods)]
fn instant() -> Option<Instant> {
    Instant::now().checked_add(Duration::from_secs(3600))
}
