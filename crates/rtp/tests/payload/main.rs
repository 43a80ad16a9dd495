//! Payload formats: what browsers sent, frames to payloads of any size and back, losses, nonsense.

mod garbage;
mod h264;
mod losses;
mod round_trip;
mod samples;
