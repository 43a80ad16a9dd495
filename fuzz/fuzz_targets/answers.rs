#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peerline_connection::fuzzing::answers(bytes));
