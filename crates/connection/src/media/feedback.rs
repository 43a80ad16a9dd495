//! RTCP that we get.
