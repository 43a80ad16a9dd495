//! How long an operation takes that is over in a moment.

use std::hint::black_box;
use std::time::Duration;

use crate::measurement::Effort;
use crate::process::{now, quantile};

/// A batch of operations takes about as long, so that reading the clock does not count, and few are interrupted.
const BATCH: Duration = Duration::from_micros(500);

/// Nanoseconds each: the median over batches, so that being interrupted does not count either.
pub(crate) fn nanoseconds<T>(effort: Effort, mut operation: impl FnMut() -> T) -> f64 {
    let mut batch = |count: u32| {
        let start = now();
        for _ in 0..count {
            black_box(operation());
        }
        now() - start
    };
    let mut count = 1;
    let warm = now() + effort.warm_up / 4;
    loop {
        let took = batch(count);
        if took < BATCH {
            count *= 2;
        } else if now() >= warm {
            break;
        }
    }
    let end = now() + effort.window / 4;
    let mut times = Vec::new();
    while now() < end || times.len() < 3 {
        times.push(batch(count).as_secs_f64() * 1e9 / f64::from(count));
    }
    quantile(&mut times, 0.5)
}
