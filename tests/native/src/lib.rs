//! Other implementations against this one: OpenSSL, other Rust stacks
