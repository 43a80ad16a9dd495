//! How many small messages go through one channel in one direction.

use crate::Result;
use crate::bulk::{DROPS, transfer};
use crate::measurement::{Effort, Figure};
use crate::stack::Stack;

const MESSAGE: usize = 100;
const SEND_BUFFER: usize = 128 << 10;

pub(crate) async fn measure<S: Stack>(effort: Effort) -> Result<Vec<Figure>> {
    let transfer = transfer::<S>(SEND_BUFFER, MESSAGE, effort).await?;
    Ok(vec![
        ("rate", transfer.messages / transfer.wall.as_secs_f64()),
        ("cpu", transfer.cpu.as_secs_f64() * 1e6 / transfer.messages),
        (DROPS, transfer.drops),
    ])
}
