//! Chunks: runs of packets that fared alike, and vectors of some that did not (§3.1.3, §3.1.4).
//!
//! ```text
//!  0                   1             0                   1
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |0| S |       run length        | |1|S|        symbols            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+ +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

pub(super) const CHUNK_LEN: usize = 2;
const MAX_RUN: u16 = 0x1fff;
const ONE_BIT_SYMBOLS: usize = 14;
const TWO_BIT_SYMBOLS: usize = 7;

/// How a packet fared (§3.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    NotReceived,
    SmallDelta,
    LargeDelta,
    /// Reserved; written by those who were not asked for times.
    Untimed,
}

impl Status {
    fn from_bits(bits: u16) -> Self {
        match bits & 3 {
            0 => Self::NotReceived,
            1 => Self::SmallDelta,
            2 => Self::LargeDelta,
            _ => Self::Untimed,
        }
    }

    /// How many bytes its delta takes.
    pub(super) fn delta_len(self) -> usize {
        match self {
            Self::NotReceived | Self::Untimed => 0,
            Self::SmallDelta => 1,
            Self::LargeDelta => 2,
        }
    }
}

/// What a received chunk says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chunk {
    Run { status: Status, len: u16 },
    OneBit(u16),
    TwoBit(u16),
}

impl Chunk {
    pub(super) fn read(bytes: [u8; CHUNK_LEN]) -> Self {
        let bits = u16::from_be_bytes(bytes);
        match bits >> 14 {
            0b10 => Self::OneBit(bits),
            0b11 => Self::TwoBit(bits),
            _ => Self::Run {
                status: Status::from_bits(bits >> 13),
                len: bits & MAX_RUN,
            },
        }
    }

    /// How many packets it speaks of.
    pub(super) fn len(self) -> u16 {
        match self {
            Self::Run { len, .. } => len,
            Self::OneBit(_) => ONE_BIT_SYMBOLS as u16,
            Self::TwoBit(_) => TWO_BIT_SYMBOLS as u16,
        }
    }

    /// How the packet at `index`, which is less than its length, fared.
    pub(super) fn status(self, index: u16) -> Status {
        match self {
            Self::Run { status, .. } => status,
            Self::OneBit(bits) => Status::from_bits(bits >> (13 - index) & 1),
            Self::TwoBit(bits) => Status::from_bits(bits >> (12 - 2 * index)),
        }
    }

    /// The statuses of its first `count` packets.
    pub(super) fn statuses(self, count: u16) -> impl Iterator<Item = Status> {
        (0..count.min(self.len())).map(move |index| self.status(index))
    }
}

/// Statuses that are not written yet: a run of any length, or up to 14 of different kinds.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    len: u16,
    /// The first of them.
    symbols: [Status; ONE_BIT_SYMBOLS],
    mixed: bool,
    two_bit: bool,
}

impl Pending {
    /// How many chunks it takes to write them.
    pub(super) fn chunks(&self) -> usize {
        match usize::from(self.len) {
            0 => 0,
            len if self.mixed && self.two_bit => len.div_ceil(TWO_BIT_SYMBOLS),
            _ => 1,
        }
    }

    /// Adds `count` packets that fared alike, and appends the chunks that are complete.
    pub(super) fn add(&mut self, status: Status, mut count: u16, out: &mut Vec<u8>) {
        while count > 0 {
            let alike = self.len > 0 && !self.mixed && self.symbols[0] == status;
            if alike && usize::from(self.len) >= ONE_BIT_SYMBOLS {
                let more = count.min(MAX_RUN - self.len);
                self.len += more;
                count -= more;
                if count > 0 {
                    self.complete(out);
                }
            } else {
                if !self.has_room_for(status) {
                    self.complete(out);
                }
                self.push(status);
                count -= 1;
            }
        }
    }

    /// Writes all that is left. What a vector has no statuses for is beyond the packet's count.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        if self.mixed && !self.two_bit {
            self.one_bit(out);
        }
        while self.len > 0 {
            self.complete(out);
        }
    }

    fn has_room_for(&self, status: Status) -> bool {
        let len = usize::from(self.len);
        let two_bit = self.two_bit || status == Status::LargeDelta;
        let alike = !self.mixed && self.symbols[0] == status;
        len < TWO_BIT_SYMBOLS || len < ONE_BIT_SYMBOLS && !two_bit || len < ONE_BIT_SYMBOLS && alike
    }

    fn push(&mut self, status: Status) {
        if let Some(place) = self.symbols.get_mut(usize::from(self.len)) {
            *place = status;
        }
        self.len += 1;
        self.mixed |= status != self.symbols[0];
        self.two_bit |= status == Status::LargeDelta;
    }

    /// Writes one chunk that is full, of all if they fit, and keeps the others.
    fn complete(&mut self, out: &mut Vec<u8>) {
        if !self.mixed {
            append(out, (self.symbols[0] as u16) << 13 | self.len);
            *self = Self::default();
        } else if !self.two_bit && usize::from(self.len) == ONE_BIT_SYMBOLS {
            self.one_bit(out);
        } else {
            let (symbols, len) = (self.symbols, usize::from(self.len));
            let (now, later) = symbols[..len].split_at(len.min(TWO_BIT_SYMBOLS));
            let bits = now.iter().enumerate();
            append(
                out,
                bits.fold(0b11 << 14, |bits, (i, symbol)| bits | (*symbol as u16) << (12 - 2 * i)),
            );
            *self = Self::default();
            later.iter().for_each(|symbol| self.push(*symbol));
        }
    }

    fn one_bit(&mut self, out: &mut Vec<u8>) {
        let bits = self.symbols[..self.len.into()].iter().enumerate();
        append(
            out,
            bits.fold(0b10 << 14, |bits, (i, symbol)| bits | (*symbol as u16) << (13 - i)),
        );
        *self = Self::default();
    }
}

fn append(out: &mut Vec<u8>, chunk: u16) {
    out.extend_from_slice(&chunk.to_be_bytes());
}
