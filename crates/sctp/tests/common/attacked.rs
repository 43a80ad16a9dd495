//! An association whose peer is the test.
#![allow(dead_code, unreachable_pub)]

use super::*;
use peerline_sctp::wire::{
    Chunk, ChunkType, Data, ForwardTsn, Header, Packet, SkippedStream, write_checksum, write_header,
};
use peerline_wire::{Serial16, Serial32};

/// A connected association, and its peer's place taken by this test.
pub struct Attacked {
    pub association: Association,
    pub header: Header,
    /// The next TSN of the attacker, and the last the association has sent.
    pub tsn: Serial32,
    pub last_sent: Serial32,
    pub now: Instant,
}

/// An association that talks in DATA.
pub fn attacked(change: impl Fn(&mut Config)) -> Attacked {
    attacked_in(false, change)
}

pub fn attacked_in(interleaving: bool, change: impl Fn(&mut Config)) -> Attacked {
    let now = peerline_sim::epoch();
    let mut config_b = Config {
        interleaving,
        ..config(1, 1)
    };
    change(&mut config_b);
    let (mut a, mut association) = (Association::new(config(1, 0)), Association::new(config_b));
    a.connect(now);
    let init = packets(&mut a, now);
    let tsn = initial_tsn(&init[0]);
    deliver(&mut association, now, &init);
    let ack = packets(&mut association, now);
    let last_sent = initial_tsn(&ack[0]).sub(1);
    deliver(&mut a, now, &ack);
    let echo = packets(&mut a, now);
    let header = Packet::decode(&echo[0]).unwrap().header;
    deliver(&mut association, now, &echo);
    packets(&mut association, now);
    assert_eq!(events(&mut association), [Event::Connected]);
    Attacked {
        association,
        header,
        tsn,
        last_sent,
        now,
    }
}

pub fn initial_tsn(packet: &[u8]) -> Serial32 {
    match Chunk::decode(Packet::decode(packet).unwrap().chunks().next().unwrap().unwrap()) {
        Ok(Chunk::Init(init) | Chunk::InitAck(init)) => init.initial_tsn,
        other => panic!("{other:?}"),
    }
}

impl Attacked {
    pub fn send(&mut self, chunks: &[Chunk<'_>]) {
        let mut packet = Vec::new();
        Packet::encode(&mut packet, self.header, chunks);
        self.send_raw(packet);
    }

    pub fn send_raw(&mut self, packet: Vec<u8>) {
        deliver(&mut self.association, self.now, &[packet]);
    }

    pub fn write(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let mut packet = Vec::new();
        write_header(&mut packet, self.header);
        fill(&mut packet);
        write_checksum(&mut packet);
        self.send_raw(packet);
    }

    pub fn data<'a>(&self, offset: u32, stream: u16, payload: &'a [u8]) -> Data<'a> {
        Data {
            immediate: false,
            unordered: false,
            beginning: true,
            ending: true,
            tsn: self.tsn.add(offset),
            stream: StreamId(stream),
            ssn: Serial16(0),
            ppid: Ppid::BINARY,
            payload,
        }
    }

    pub fn forward(&mut self, offset: u32, skipped: Vec<SkippedStream>) {
        let tsn = self.tsn.add(offset);
        self.write(|out| ForwardTsn::write(out, tsn, skipped.into_iter()));
    }

    /// A message on stream 77 still gets through.
    pub fn is_well(&mut self) {
        assert!(!self.association.is_closed());
        let (now, stream) = (self.now, StreamId(77));
        self.association
            .send(now, stream, message(10, 1), SendOptions::default())
            .unwrap();
        let sent = packets(&mut self.association, now);
        let has_data = |packet: &Vec<u8>| {
            Packet::decode(packet)
                .unwrap()
                .chunks()
                .any(|chunk| matches!(chunk.unwrap().kind, ChunkType::DATA | ChunkType::I_DATA))
        };
        assert!(sent.iter().any(has_data), "{sent:?}");
    }
}
