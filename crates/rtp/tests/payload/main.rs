//! Payload formats: what browsers sent, frames to payloads of any size and back, losses, nonsense.

mod av1;
mod garbage;
mod h264;
mod h265;
mod losses;
mod round_trip;
mod samples;
