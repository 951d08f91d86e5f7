//! The place where the newest outside price waits for the feed: one, the newest.

use std::sync::Arc;

use neo_market::{Outside, OutsideReading};
use parking_lot::Mutex;

/// What the outside source has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutsideNews {
    /// The newest price, with its age when it was heard.
    pub reading: Option<OutsideReading>,
    /// When it was heard, on the monotonic clock.
    pub heard_ms: u64,
    /// Why there is none newer.
    pub problem: Option<String>,
}

impl OutsideNews {
    /// What it is worth now: a price ages while nothing newer is heard.
    #[must_use]
    pub fn at(&self, now_ms: u64) -> Outside {
        let since_s = now_ms.saturating_sub(self.heard_ms) / 1_000;
        let aged = |reading: OutsideReading| OutsideReading { age_s: reading.age_s.saturating_add(since_s), ..reading };
        Outside { reading: self.reading.map(aged), problem: self.problem.clone() }
    }
}

/// Where the source leaves its news and the feed takes them. News that nobody has taken are replaced by newer ones.
#[derive(Clone, Debug, Default)]
pub struct OutsideSlot(Arc<Mutex<Option<OutsideNews>>>);

impl OutsideSlot {
    /// Leaves news.
    pub fn put(&self, news: OutsideNews) {
        *self.0.lock() = Some(news);
    }

    /// Takes them, once.
    #[must_use]
    pub fn take(&self) -> Option<OutsideNews> {
        self.0.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_ages_while_nothing_newer_comes_and_the_newest_wins() {
        let reading = |price: &str| Some(OutsideReading { price: price.parse().unwrap(), age_s: 5 });
        let news = |price| OutsideNews { reading: reading(price), heard_ms: 10_000, problem: None };
        let slot = OutsideSlot::default();
        assert_eq!(slot.take(), None);
        slot.put(news("2.3"));
        slot.put(news("2.4"));
        let taken = slot.take().unwrap();
        assert_eq!(slot.take(), None);
        let age = |now_ms| taken.at(now_ms).reading.unwrap().age_s;
        assert_eq!((age(9_000), age(10_999), age(11_000), age(40_000)), (5, 5, 6, 35));
        assert_eq!(taken.at(0).reading.unwrap().price, "2.4".parse().unwrap());
    }
}
