//! What the record's queue had no place for, kept in order until it has.
//!
//! A full queue halts quoting; it must not lose a fill as well. And nothing may overtake what waits: a ledger is marked as
//! processed by a record that comes after its fills, and an update needs the intent before it.

use std::collections::VecDeque;

use neo_store::{QueueError, Refused};

/// Records on their way to the writer.
#[derive(Debug)]
pub struct Outbox<T> {
    waiting: VecDeque<T>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Outbox<T> {
        Outbox { waiting: VecDeque::new() }
    }
}

impl<T> Outbox<T> {
    /// Puts something behind what waits.
    pub fn push(&mut self, item: T) {
        self.waiting.push_back(item);
    }

    /// What still waits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True when nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives away what waits, in order, until there is no place: the rest goes on waiting.
    ///
    /// # Errors
    /// [`QueueError::Gone`]: nobody will ever take it.
    pub fn empty(&mut self, mut give: impl FnMut(T) -> Result<(), Refused<T>>) -> Result<(), QueueError> {
        while let Some(item) = self.waiting.pop_front() {
            match give(item) {
                Ok(()) => {}
                Err(Refused::Full { item, .. }) => {
                    self.waiting.push_front(item);
                    return Ok(());
                }
                Err(Refused::Gone) => return Err(QueueError::Gone),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_place_waits_and_nothing_overtakes_it() {
        let mut outbox = Outbox::default();
        let mut taken = Vec::new();
        for item in 1..=3 {
            outbox.push(item);
        }
        let places = 1;
        outbox
            .empty(|item| {
                if taken.len() == places {
                    return Err(Refused::Full { capacity: places, item });
                }
                taken.push(item);
                Ok(())
            })
            .unwrap();
        assert_eq!((taken.as_slice(), outbox.len()), ([1].as_slice(), 2));
        outbox.push(4);
        outbox
            .empty(|item| {
                taken.push(item);
                Ok(())
            })
            .unwrap();
        assert_eq!(taken, [1, 2, 3, 4]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_writer_that_is_gone_is_said() {
        let mut outbox = Outbox::default();
        outbox.push(1);
        assert_eq!(outbox.empty(|_| Err(Refused::Gone)), Err(QueueError::Gone));
    }
}
