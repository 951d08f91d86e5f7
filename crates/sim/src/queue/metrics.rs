//! What the open ledger costs, in fee levels, and how many transactions a ledger is expected to have (rippled,
//! `TxQ::FeeMetrics`).

use std::collections::VecDeque;

use super::QueueSetup;

/// The fee level of a transaction that offers just its base fee (rippled, `TxQ::baseLevel`).
pub const BASE_LEVEL: u64 = 256;
/// The first size of a ledger whose sum of squares is taken to overflow (rippled, `sumOfFirstSquares`).
const TOO_LARGE: u64 = 1 << 21;

/// `value * by / of`, rounded down; what does not fit becomes the largest number (rippled, `mulDiv`).
pub(super) fn scale(value: u64, by: u64, of: u64) -> u64 {
    match (u128::from(value) * u128::from(by)).checked_div(u128::from(of)) {
        Some(scaled) => u64::try_from(scaled).unwrap_or(u64::MAX),
        None => u64::MAX,
    }
}

/// The level that a fee is of, for a transaction whose base fee is `base`. One that may be free, and is, counts as if
/// both were the reference fee `usual` higher (rippled, `getFeeLevelPaid`).
#[must_use]
pub fn level_of(fee: i64, base: i64, usual: i64) -> u64 {
    let more = if base > 0 { 0 } else { usual.max(1) };
    match (u64::try_from(fee.saturating_add(more)), u64::try_from(base.saturating_add(more))) {
        (Ok(fee), Ok(base)) if base > 0 => scale(fee, BASE_LEVEL, base),
        _ => 0,
    }
}

/// What a level comes to in drops, rounded down.
#[must_use]
pub fn drops_of(level: u64, base: i64) -> i64 {
    i64::try_from(scale(level, u64::try_from(base).unwrap_or(0), BASE_LEVEL)).unwrap_or(i64::MAX)
}

/// The sum of the first squares; `None` when it may not fit.
fn squares(last: u64) -> Option<u64> {
    (last < TOO_LARGE).then(|| last * (last + 1) * (2 * last + 1) / 6)
}

/// How much the ledger takes at the base fee, and what it asks beyond that.
#[derive(Clone, Debug)]
pub struct FeeMetrics {
    minimum: u64,
    target: u64,
    maximum: Option<u64>,
    expected: u64,
    /// Sizes of recent full ledgers, each with the increase on top, oldest first.
    recent: VecDeque<u64>,
    remembered: usize,
    multiplier: u64,
    least_multiplier: u64,
    increase_percent: u64,
    keep_percent: u64,
}

impl FeeMetrics {
    /// Those of a node that has just begun.
    #[must_use]
    pub fn new(setup: &QueueSetup) -> FeeMetrics {
        let minimum = u64::from(setup.minimum_txn_in_ledger);
        let target = u64::from(setup.target_txn_in_ledger).max(minimum);
        FeeMetrics {
            minimum,
            target,
            maximum: setup.maximum_txn_in_ledger.map(|maximum| u64::from(maximum).max(target)),
            expected: minimum,
            recent: VecDeque::new(),
            remembered: usize::try_from(setup.ledgers_in_queue).unwrap_or(1),
            multiplier: setup.minimum_escalation_multiplier,
            least_multiplier: setup.minimum_escalation_multiplier,
            increase_percent: 100 + u64::from(setup.normal_consensus_increase_percent),
            keep_percent: 100_u64.saturating_sub(u64::from(setup.slow_consensus_decrease_percent)),
        }
    }

    /// Transactions that a ledger is expected to have. One more gets in at the base fee.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// The median level of the last ledger, or the least that counts as one: what escalation multiplies.
    #[must_use]
    pub fn multiplier(&self) -> u64 {
        self.multiplier
    }

    /// Learns from a closed ledger: the levels that its transactions paid, and whether it took too long.
    pub fn update(&mut self, mut levels: Vec<u64>, slow: bool) {
        levels.sort_unstable();
        let size = u64::try_from(levels.len()).unwrap_or(u64::MAX);
        if slow {
            let upper = scale(self.expected, self.keep_percent, 100).max(self.minimum);
            self.expected = scale(size, self.keep_percent, 100).clamp(self.minimum, upper);
            self.recent.clear();
        } else if size > self.expected || size > self.target {
            self.remember(scale(size, self.increase_percent, 100));
            let largest = self.recent.iter().copied().max().unwrap_or(self.expected);
            // It grows at once and shrinks by a tenth of the way.
            let next = if largest >= self.expected { largest } else { (self.expected * 9 + largest) / 10 };
            self.expected = self.maximum.map_or(next, |maximum| next.min(maximum));
        }
        let middle = [levels.len() / 2, levels.len().saturating_sub(1) / 2];
        let median = match middle.map(|place| levels.get(place).copied()) {
            [Some(upper), Some(lower)] => u64::midpoint(upper, lower.saturating_add(1)),
            _ => 0,
        };
        self.multiplier = median.max(self.least_multiplier);
    }

    fn remember(&mut self, size: u64) {
        if self.recent.len() >= self.remembered {
            self.recent.pop_front();
        }
        self.recent.push_back(size);
    }

    /// The level that gets into an open ledger that holds so many transactions.
    #[must_use]
    pub fn level(&self, held: u64) -> u64 {
        if held <= self.expected {
            return BASE_LEVEL;
        }
        scale(self.multiplier, held.saturating_mul(held), self.expected.saturating_mul(self.expected))
    }

    /// What so many transactions in a row pay in all to get into an open ledger that holds more than are expected;
    /// `None` when that does not fit.
    #[must_use]
    pub fn level_of_series(&self, held: u64, series: u64) -> Option<u64> {
        let before = squares(held.saturating_sub(1))?;
        let last = squares(held.saturating_add(series).saturating_sub(1))?;
        Some(scale(self.multiplier, last.saturating_sub(before), self.expected.saturating_mul(self.expected)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(change: impl FnOnce(&mut QueueSetup)) -> FeeMetrics {
        let mut setup = QueueSetup { minimum_txn_in_ledger: 20, ..QueueSetup::default() };
        change(&mut setup);
        FeeMetrics::new(&setup)
    }

    fn cheap(size: usize) -> Vec<u64> {
        vec![BASE_LEVEL; size]
    }

    #[test]
    fn the_cost_is_flat_up_to_the_expected_size_and_square_beyond() {
        let metrics = metrics(|_| {});
        assert_eq!([0, 19, 20].map(|held| metrics.level(held)), [BASE_LEVEL; 3]);
        // As a rippled 2.6.1 with these settings answered: 5513, 6050 and 6612 drops.
        assert_eq!([21, 22, 23].map(|held| metrics.level(held)), [141_120, 154_880, 169_280]);
        assert_eq!([141_120, 154_880, 169_280].map(|level| drops_of(level, 10)), [5_512, 6_050, 6_612]);
    }

    #[test]
    fn a_series_costs_the_sum_of_its_parts() {
        let metrics = metrics(|_| {});
        let parts: u64 = (21..24).map(|held| metrics.level(held)).sum();
        assert_eq!(metrics.level_of_series(21, 3), Some(parts));
        assert_eq!(metrics.level_of_series(TOO_LARGE, 1), None);
    }

    #[test]
    fn a_full_ledger_makes_room_and_a_slow_one_takes_it_back() {
        let mut metrics = metrics(|_| {});
        metrics.update(cheap(20), false);
        assert_eq!(metrics.expected(), 20, "as many as expected change nothing");
        metrics.update(cheap(23), false);
        assert_eq!(metrics.expected(), 27, "23 and a fifth of it, rounded down");
        metrics.update(cheap(1_000), false);
        assert_eq!(metrics.expected(), 1_200);
        metrics.update(cheap(700), true);
        assert_eq!(metrics.expected(), 350, "half of what it had");
        metrics.update(cheap(2_000), true);
        assert_eq!(metrics.expected(), 175, "and never more than half of what was expected");
        metrics.update(cheap(1), true);
        assert_eq!(metrics.expected(), 20, "nor less than the minimum");
    }

    #[test]
    fn a_large_ledger_is_forgotten_slowly() {
        let mut metrics = metrics(|setup| (setup.target_txn_in_ledger, setup.ledgers_in_queue) = (20, 2));
        metrics.update(cheap(1_000), false);
        metrics.update(cheap(100), false);
        assert_eq!(metrics.expected(), 1_200, "the large one is still among the last two");
        metrics.update(cheap(100), false);
        assert_eq!(metrics.expected(), (1_200 * 9 + 120) / 10);
    }

    #[test]
    fn the_maximum_is_no_less_than_the_target() {
        let mut metrics = metrics(|setup| setup.maximum_txn_in_ledger = Some(20));
        metrics.update(cheap(1_000), false);
        assert_eq!(metrics.expected(), 256);
    }

    #[test]
    fn the_multiplier_is_the_median_and_at_least_five_hundred_times_the_base() {
        let mut metrics = metrics(|_| {});
        metrics.update(vec![1_000_000, 256, 400_000], false);
        assert_eq!(metrics.multiplier(), 400_000);
        metrics.update(vec![200_000, 300_001], false);
        assert_eq!(metrics.multiplier(), 250_001, "the mean of the middle two, rounded up");
        metrics.update(cheap(5), false);
        assert_eq!(metrics.multiplier(), 128_000);
        metrics.update(Vec::new(), false);
        assert_eq!(metrics.multiplier(), 128_000);
    }

    #[test]
    fn a_fee_is_of_the_level_that_its_base_fee_makes_it() {
        assert_eq!([9, 10, 13].map(|fee| level_of(fee, 10, 10)), [230, 256, 332]);
        // Free for once: nothing is the base level, and each reference fee on top one more.
        assert_eq!([0, 10].map(|fee| level_of(fee, 0, 10)), [256, 512]);
        assert_eq!(level_of(-1, 10, 10), 0);
        assert_eq!(level_of(5, 0, 0), 6 * 256, "without any reference fee a drop stands for it");
    }
}
