//! Session descriptions (RFC 8866): lossless parsing and writing, typed attributes for WebRTC
