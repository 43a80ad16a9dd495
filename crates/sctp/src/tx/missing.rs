//! Miss indications: what acknowledgements say about the fragments before them (RFC 9260 §7.2.4).

use peerline_wire::Serial32;

/// The three highest indications, the highest first: each speaks of every fragment before a TSN. What lies before all
/// three has been missed three times.
pub(crate) type Indications = [Option<Serial32>; 3];

/// The miss indications of one SACK.
///
/// RFC 9260 §7.2.4 counts SACKs: one indication each, for what lies before the highest TSN newly acknowledged (HTNA). That
/// supposes a SACK for every packet behind a gap. Where one SACK answers a whole batch of packets, each packet's worth of
/// newly acknowledged bytes counts, as it would have with a SACK of its own (and as RFC 6675 counts for TCP).
#[derive(Debug)]
pub(crate) struct NewlyAcked {
    packet: usize,
    bytes: usize,
    last: Option<Serial32>,
    indications: Indications,
}

impl NewlyAcked {
    /// `packet`: bytes of DATA chunks in a full packet.
    pub(crate) fn new(packet: usize) -> Self {
        Self {
            packet,
            bytes: 0,
            last: None,
            indications: [None; 3],
        }
    }

    /// In ascending order.
    pub(crate) fn add(&mut self, tsn: Serial32, size: usize) {
        self.last = Some(tsn);
        self.bytes += size;
        // A packet need not be full.
        if self.bytes >= self.packet / 4 * 3 {
            self.bytes = 0;
            indicate(&mut self.indications, tsn);
        }
    }

    pub(crate) fn finish(mut self) -> Indications {
        if let Some(last) = self.last.filter(|_| self.bytes > 0) {
            indicate(&mut self.indications, last);
        }
        self.indications
    }
}

/// Inserts a TSN in its place; the lowest falls out.
pub(crate) fn indicate(indications: &mut Indications, tsn: Serial32) {
    let place = indications
        .iter()
        .position(|known| known.is_none_or(|known| known.precedes(tsn)));
    if let Some(place) = place {
        indications[place..].rotate_right(1);
        indications[place] = Some(tsn);
    }
}
