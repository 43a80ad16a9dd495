#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peerline_sctp::fuzzing::interleaving(bytes));
