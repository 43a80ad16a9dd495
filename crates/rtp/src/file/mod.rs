//! Media files over [`std::io::Read`] and [`std::io::Write`], one file a format.
