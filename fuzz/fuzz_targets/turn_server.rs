#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peerline_turn::fuzzing::server(bytes));
