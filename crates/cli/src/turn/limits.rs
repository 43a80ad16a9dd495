//! Descriptors: each relay is a socket.

/// Asks for as many descriptors as the system allows: the usual 1,024 are for programs that wait with `select`.
#[cfg(unix)]
pub(crate) fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    // The server runs with fewer, too: then it refuses allocations earlier.
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 20), hard);
    }
}

/// There is no such limit here.
#[cfg(not(unix))]
pub(crate) fn raise_descriptors() {}
