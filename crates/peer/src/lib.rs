//! WebRTC in Rust: RTCPeerConnection and data channels on tokio, over protocols written from scratch
