//! This stack beside others in one run
