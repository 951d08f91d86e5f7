//! Mistakes in how to quote, each with what to write instead.

use super::config::QuoteConfig;
use super::{BPS, LEG_PLACES, MAX_LEVELS};
use crate::problem::{Problem, Problems};
use crate::{Dec, Rounding, Side, skew, strategy};

/// Longest wait after a fill: about half a day.
const LONGEST_DELAY_LEDGERS: u32 = 10_000;

impl QuoteConfig {
    /// Every mistake, in the order of the fields; empty when the configuration can be used.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Problems::default();
        self.check_offsets(&mut found);
        self.check_sizes(&mut found);
        self.check_refresh(&mut found);
        skew::check(self, &mut found);
        strategy::check(self, &mut found);
        self.check_bounds(&mut found);
        found.into_vec()
    }

    fn check_offsets(&self, found: &mut Problems) {
        let not_negative = [
            ("bid_offset_bps", self.bid_offset_bps),
            ("ask_offset_bps", self.ask_offset_bps),
            ("level_step_bps", self.level_step_bps),
        ];
        for (key, value) in not_negative {
            let reason = "a distance from the middle is not negative";
            found.require(!value.is_negative(), key, value, reason, "use 0 or more");
        }
        let both_zero = Side::BOTH.iter().all(|side| self.first_offset_bps(*side).is_zero());
        let reason = "with both offsets 0 the bid and the ask meet at the middle";
        let fix = "make one offset more than 0, such as 10";
        found.require(!both_zero, "bid_offset_bps", self.first_offset_bps(Side::Bid), reason, fix);
        let range = (1..=MAX_LEVELS).contains(&self.levels);
        found.require(range, "levels", self.levels, "the number of levels a side is 1 to 10", "use 1 to 10");
        let stepped = Side::BOTH.iter().any(|side| self.listed_offsets(*side).is_empty());
        let step_needed = stepped && self.levels > 1 && self.level_step_bps.is_zero();
        let reason = "two levels cannot stand at one price";
        found.require(!step_needed, "level_step_bps", self.level_step_bps, reason, "use more than 0, or levels = 1");
        for (key, list, side) in
            [("bid_offset_bps", "bid_offsets_bps", Side::Bid), ("ask_offset_bps", "ask_offsets_bps", Side::Ask)]
        {
            self.check_offset_list(list, side, found);
            let last = self.offset_bps(side, self.levels.saturating_sub(1));
            let near = last.is_ok_and(|bps| bps < Dec::from_i64(BPS));
            let reason = "the last level is 10000 bps or more from the middle: a price of zero or below";
            let key = if self.listed_offsets(side).is_empty() { key } else { list };
            let fix = "use a smaller offset, step or number of levels";
            found.require(near, key, self.first_offset_bps(side), reason, fix);
        }
    }

    fn check_offset_list(&self, key: &'static str, side: Side, found: &mut Problems) {
        let offsets = self.listed_offsets(side);
        let Some(first) = offsets.first() else { return };
        let whole = offsets.len() == usize::from(self.levels);
        let reason = format!("it lists another number of levels than levels = {}", self.levels);
        found.require(whole, key, shown(offsets), &reason, "list one distance for each level, or leave the key out");
        let increasing = offsets.windows(2).all(|pair| matches!(pair, [near, far] if near < far));
        let reason = "each level stands farther from the middle than the one before it";
        let fix = "list 0 or more first, and then more and more, such as [\"5\", \"12\", \"30\"]";
        found.require(increasing && !first.is_negative(), key, shown(offsets), reason, fix);
    }

    fn check_sizes(&self, found: &mut Problems) {
        check_size("size_xrp", self.size_xrp, found);
        for size in &self.sizes_xrp {
            check_size("sizes_xrp", *size, found);
        }
        let positive = self.min_size_xrp.is_positive();
        found.require(positive, "min_size_xrp", self.min_size_xrp, "a smallest size is above 0", "use 1 or more");
        match (self.size_pct, self.sizes_xrp.iter().min()) {
            (Some(percent), _) => self.check_share(percent, found),
            (None, Some(least)) => {
                let whole = self.sizes_xrp.len() == usize::from(self.levels);
                let reason = format!("it lists another number of levels than levels = {}", self.levels);
                let fix = "list one size for each level, or leave the key out";
                found.require(whole, "sizes_xrp", shown(&self.sizes_xrp), &reason, fix);
                let reason = format!("it lists {least}, below min_size_xrp: that level would never be quoted");
                let fix = "list min_size_xrp or more for each level, or use fewer levels";
                found.require(self.min_size_xrp <= *least, "sizes_xrp", shown(&self.sizes_xrp), &reason, fix);
            }
            (None, None) => {
                let reachable = self.min_size_xrp <= self.size_xrp;
                let reason = format!("it is above size_xrp = {}: nothing would ever be quoted", self.size_xrp);
                found.require(reachable, "min_size_xrp", self.min_size_xrp, &reason, "use at most size_xrp");
            }
        }
        let percent = !self.size_tolerance_pct.is_negative() && self.size_tolerance_pct < Dec::from_i64(100);
        let reason = "the tolerance is a part of the size";
        let fix = "use 0 or more and less than 100";
        found.require(percent, "size_tolerance_pct", self.size_tolerance_pct, reason, fix);
    }

    fn check_share(&self, percent: Dec, found: &mut Problems) {
        let all = percent.mul(Dec::from_i64(self.levels.into()), Rounding::Up);
        let possible = percent.is_positive() && all.is_ok_and(|all| all <= Dec::from_i64(100));
        let reason = format!("each of the {} levels takes this part, and all of them at most the whole", self.levels);
        let fix = "use more than 0, and at most 100 divided by levels";
        found.require(possible, "size_pct", percent, &reason, fix);
        let reason = "size_pct is set as well: which of them is the size?";
        let single = self.sizes_xrp.is_empty();
        found.require(single, "sizes_xrp", shown(&self.sizes_xrp), reason, "leave out the one or the other");
    }

    fn check_refresh(&self, found: &mut Problems) {
        let reason = "an offer must rest for at least one ledger";
        found.require(self.refresh_ledgers >= 1, "refresh_ledgers", self.refresh_ledgers, reason, "use 1 or more");
        // The ledger rounds an offer's legs, so the price it shows differs from ours in the last digit.
        let reason = "a resting price always differs in its last digit, so every ledger would replace every offer";
        let positive = self.tolerance_bps.is_positive();
        found.require(positive, "tolerance_bps", self.tolerance_bps, reason, "use more than 0, such as 3");
        let range = (30..=86_400).contains(&self.expiration_s);
        let reason = "an offer is renewed in the last third of its life, which must outlast a few ledgers, \
                      and a forgotten one must not outlive a day";
        found.require(range, "expiration_s", self.expiration_s, reason, "use 30 to 86400, such as 120");
        let places = (0..=LEG_PLACES).contains(&self.price_places);
        let reason = "the ledger keeps 15 places at most";
        found.require(places, "price_places", self.price_places, reason, "use 0 to 15, such as 6");
    }

    fn check_bounds(&self, found: &mut Problems) {
        let delays = [
            ("bid_delay_after_fill_ledgers", self.bid_delay_after_fill_ledgers),
            ("ask_delay_after_fill_ledgers", self.ask_delay_after_fill_ledgers),
        ];
        for (key, ledgers) in delays {
            let reason = "a side would stay away for half a day and more after each fill";
            let fix = "use 0 to 10000, such as 2; a ledger is about 4 seconds";
            found.require(ledgers <= LONGEST_DELAY_LEDGERS, key, ledgers, reason, fix);
        }
        for (key, price) in [("price_ceiling", self.price_ceiling), ("price_floor", self.price_floor)] {
            let positive = price.is_none_or(Dec::is_positive);
            let fix = "use RLUSD for one XRP, such as 2.5, or leave the key out for no bound";
            found.require(positive, key, price.unwrap_or_default(), "a price is above 0", fix);
        }
        let edge = self.amm_min_edge_bps.unwrap_or_default();
        let part = !edge.is_negative() && edge < Dec::from_i64(BPS);
        let reason = "the edge is a part of the pool's price";
        let fix = "use 0 or a few bps, or leave the key out: then the pool may go first";
        found.require(part, "amm_min_edge_bps", edge, reason, fix);
        let guard = self.taking_guard_bps;
        let range = !guard.is_negative() && guard <= Dec::from_i64(1_000);
        let fix = "use 0 (none) to 1000, such as 5";
        found.require(range, "taking_guard_bps", guard, "it is a margin in basis points, within a tenth", fix);
        let deviations = self.taking_guard_deviations;
        let range = !deviations.is_negative() && deviations <= Dec::from_i64(100);
        let fix = "use 0 (off) to 100, such as 3";
        found.require(range, "taking_guard_deviations", deviations, "it is a number of deviations", fix);
    }
}

fn check_size(key: &'static str, size: Dec, found: &mut Problems) {
    // All XRP that exist: 10^11.
    let possible = size.is_positive() && size <= Dec::from_i64(100_000_000_000);
    let reason = "a size is above 0 and at most all XRP there is";
    found.require(possible, key, size, reason, "use the XRP you want to show a level, such as 100");
    let places = size.round_places(6, Rounding::Down).is_ok_and(|rounded| rounded == size);
    found.require(places, key, size, "a drop is a millionth of an XRP", "use at most 6 decimal places");
}

/// A list as a configuration has it.
fn shown(list: &[Dec]) -> String {
    let items: Vec<String> = list.iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", items.join(", "))
}
