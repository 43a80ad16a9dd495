#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peerline_rtp::payload::fuzzing::h264(bytes));
