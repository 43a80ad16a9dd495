//! Chromium and Firefox against Rust: a page and a test per scenario
