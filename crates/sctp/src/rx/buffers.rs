//! [`Buffers`]: what messages have been read from holds the next ones.
//!
//! The heap gives a message of many pages back to the system once it is read, and asks for the pages anew with the next one:
//! each is cleared and faulted in again, which costs more than the copy into it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// The bytes of the messages that are kept: as many as are under way at once where the application keeps up.
const KEPT: usize = 1 << 20;

/// The smallest message whose buffer is worth keeping, in bytes: some pages.
const SMALLEST: usize = 16 << 10;

/// The largest, in bytes: of those there are four.
const LARGEST: usize = KEPT / 4;

#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The latest messages of such a size, the oldest first. Who reads one has the other handle of it.
    delivered: VecDeque<Bytes>,
    /// Bytes of them.
    kept: usize,
}

impl Buffers {
    /// An empty buffer with room for `len` bytes: one that the application has dropped, or else a new one.
    pub(crate) fn take(&mut self, len: usize) -> BytesMut {
        self.reusable(len).unwrap_or_else(|| BytesMut::with_capacity(len))
    }

    fn reusable(&mut self, len: usize) -> Option<BytesMut> {
        if len < SMALLEST {
            return None;
        }
        // Not one that is much larger: who keeps the message keeps all of it.
        let fits = |bytes: &Bytes| (len..=2 * len).contains(&bytes.len()) && bytes.is_unique();
        let index = self.delivered.iter().position(fits)?;
        let message = self.delivered.remove(index)?;
        self.kept -= message.len();
        let mut buffer = message.try_into_mut().ok()?;
        buffer.clear();
        Some(buffer)
    }

    /// A message goes to the application; its buffer may come back.
    pub(crate) fn keep(&mut self, message: &Bytes) {
        if !(SMALLEST..=LARGEST).contains(&message.len()) {
            return;
        }
        self.delivered.push_back(message.clone());
        self.kept += message.len();
        while self.kept > KEPT
            && let Some(oldest) = self.delivered.pop_front()
        {
            self.kept -= oldest.len();
        }
    }

    /// Forgets them all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliver(buffers: &mut Buffers, len: usize) -> Bytes {
        let mut buffer = buffers.take(len);
        buffer.resize(len, 7);
        let message = buffer.freeze();
        buffers.keep(&message);
        message
    }

    #[test]
    fn a_message_that_was_read_holds_the_next() {
        let mut buffers = Buffers::default();
        let first = deliver(&mut buffers, 64 << 10).as_ptr();
        assert_eq!(deliver(&mut buffers, 40 << 10).as_ptr(), first);
        assert!(buffers.take(40 << 10).is_empty(), "nothing of the one before");
    }

    #[test]
    fn a_message_that_is_kept_stays_as_it_is() {
        let mut buffers = Buffers::default();
        let kept = deliver(&mut buffers, 64 << 10);
        let part = deliver(&mut buffers, 64 << 10).slice(..10);
        for _ in 0..100 {
            let other = deliver(&mut buffers, 64 << 10);
            assert!(other.as_ptr() != kept.as_ptr() && other.as_ptr() != part.as_ptr());
        }
        assert!(kept.iter().chain(&part).all(|&byte| byte == 7));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut buffers = Buffers::default();
        let messages: Vec<_> = (0..100).map(|i| deliver(&mut buffers, (i << 13) + 1)).collect();
        assert_eq!(buffers.delivered.iter().map(Bytes::len).sum::<usize>(), buffers.kept);
        assert!(buffers.kept <= KEPT && buffers.delivered.len() > 1);
        assert!(
            buffers
                .delivered
                .iter()
                .all(|bytes| (SMALLEST..=LARGEST).contains(&bytes.len()))
        );
        drop(messages);
        // Neither for one that is much smaller, nor for one that is larger.
        let all: Vec<_> = buffers.delivered.iter().map(|bytes| bytes.as_ptr()).collect();
        assert!(!all.contains(&buffers.take(SMALLEST).as_ptr()));
        assert!(!all.contains(&buffers.take(LARGEST + 1).as_ptr()));
        buffers.clear();
        assert_eq!(buffers.delivered.capacity(), 0);
    }
}
