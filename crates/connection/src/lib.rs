//! One whole WebRTC peer without I/O: demultiplexing, JSEP, data channels, statistics
