//! UDP sockets in batches: segmentation offload on the way out, coalescing on the way in
