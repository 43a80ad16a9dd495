//! How long a small message takes there and back, with nothing else going on.

use bytes::Bytes;

use crate::Result;
use crate::measurement::{Effort, Figure};
use crate::process::{now, quantile};
use crate::stack::{Channel, Pair, Stack};

pub(crate) const MESSAGE: usize = 64;
const SEND_BUFFER: usize = 128 << 10;

pub(crate) async fn measure<S: Stack>(effort: Effort) -> Result<Vec<Figure>> {
    let Pair {
        mut offerer,
        mut answerer,
    } = S::connect(SEND_BUFFER).await?;
    let payload = Bytes::from_static(&[0x5a; MESSAGE]);
    let echoed = payload.clone();
    tokio::spawn(async move { while answerer.recv().await.is_ok() && answerer.send(&echoed).await.is_ok() {} });

    let warm = now() + effort.warm_up;
    let end = warm + effort.window;
    let mut round_trips = Vec::new();
    loop {
        let start = now();
        offerer.send(&payload).await?;
        offerer.recv().await?;
        let finish = now();
        if start >= warm {
            round_trips.push((finish - start).as_secs_f64() * 1e6);
        }
        if finish >= end && !round_trips.is_empty() {
            return Ok(figures(&mut round_trips));
        }
    }
}

/// The two rows from round trips in µs.
pub(crate) fn figures(round_trips: &mut [f64]) -> Vec<Figure> {
    vec![
        ("p50", quantile(round_trips, 0.5)),
        ("p99", quantile(round_trips, 0.99)),
    ]
}
