//! The fuzzer's corpus of control messages, replayed; and what is not in it.

use peerline_sctp::Reliability;
use peerline_sctp::datachannel::dcep::{Dcep, Open};
use peerline_sctp::fuzzing;
use proptest::prelude::*;
use std::time::Duration;

#[test]
fn dcep() {
    peerline_sim::replay("dcep", fuzzing::dcep);
}

fn reliability() -> impl Strategy<Value = Reliability> {
    prop_oneof![
        Just(Reliability::Reliable),
        any::<u32>().prop_map(Reliability::MaxRetransmits),
        any::<u32>().prop_map(|ms| Reliability::MaxLifetime(Duration::from_millis(ms.into()))),
    ]
}

proptest! {
    #[test]
    fn an_open_says_what_it_was_made_of(
        label in ".{0,40}", protocol in ".{0,40}", ordered: bool, reliability in reliability(), priority: u16,
    ) {
        let open = Open::new(&label, &protocol, ordered, reliability, priority);
        let mut bytes = Vec::new();
        Dcep::Open(open).encode(&mut bytes);
        prop_assert_eq!(Dcep::decode(&bytes), Ok(Dcep::Open(open)));
        prop_assert_eq!((open.ordered(), open.reliability()), (ordered, Some(reliability)));
        fuzzing::dcep(&bytes);
    }

    #[test]
    fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), is_open: bool) {
        if is_open && let Some(first) = bytes.first_mut() {
            *first = 3;
        }
        fuzzing::dcep(&bytes);
    }
}
