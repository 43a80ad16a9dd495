//! Payload formats: frames to RTP payloads and back, one file a format.
