//! The body of the fuzz target: a connected pair, one side of which is fed what the fuzzer makes up.
