//! A sum over a window of ledger time that moves.

use std::collections::VecDeque;

/// What happened in the last seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    span_s: u32,
    /// When, and how much; the oldest first.
    events: VecDeque<(u32, i64)>,
    sum: i64,
}

impl Window {
    /// An empty window of `span_s` seconds.
    #[must_use]
    pub fn new(span_s: u32) -> Window {
        Window { span_s, events: VecDeque::new(), sum: 0 }
    }

    /// Something happened, whenever it is told.
    pub fn add(&mut self, at_s: u32, amount: i64) {
        self.sum = self.sum.saturating_add(amount);
        match self.events.back_mut() {
            Some((last_s, sum)) if *last_s == at_s => *sum = sum.saturating_add(amount),
            _ => {
                let place = self.events.partition_point(|(other_s, _)| *other_s <= at_s);
                self.events.insert(place, (at_s, amount));
            }
        }
    }

    /// The sum at a moment: what is `span_s` old is forgotten, and so is what lies ahead, which is of another world.
    pub fn sum(&mut self, now_s: u32) -> i64 {
        let gone = |(at_s, _): &(u32, i64)| at_s.saturating_add(self.span_s) <= now_s;
        while let Some((_, amount)) = self.events.front().copied().filter(gone) {
            self.events.pop_front();
            self.sum = self.sum.saturating_sub(amount);
        }
        while let Some((_, amount)) = self.events.back().copied().filter(|(at_s, _)| *at_s > now_s) {
            self.events.pop_back();
            self.sum = self.sum.saturating_sub(amount);
        }
        self.sum
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.events.clear();
        self.sum = 0;
    }
}
