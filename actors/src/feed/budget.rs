//! What a public node lets us ask. rippled charges each request, forgets charges over half a minute, warns at 5,000 and cuts
//! the connection at 25,000 (rippled 2.6.1, `resource/Fees.cpp` and `Tuning.h`). Submissions come first: they may use all
//! of the budget, other questions only what is left above a half of it.

/// What a request that reads a list or submits is charged.
pub const MEDIUM: u32 = 400;
/// What a small one is charged.
pub const REFERENCE: u32 = 20;

/// Charges that may stand at once. Above rippled's warning, and half of what it cuts at.
const FULL: u32 = 12_000;
/// Forgotten each second: rippled forgets about one part in 32 a second of what stands.
const FORGOTTEN_PER_S: u64 = 375;
const THOUSAND: u64 = 1_000;

/// Charges that the node has not forgotten yet, as we count them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    /// In thousandths.
    charged: u64,
    counted_ms: u64,
}

impl Budget {
    /// Charges a submission if there is room for it.
    #[must_use]
    pub fn submits(&mut self, now_ms: u64) -> bool {
        self.forget(now_ms);
        let after = self.charged.saturating_add(u64::from(MEDIUM) * THOUSAND);
        let room = after <= u64::from(FULL) * THOUSAND;
        if room {
            self.charged = after;
        }
        room
    }

    /// Whether there is room for questions that may as well be asked later.
    #[must_use]
    pub fn has_room(&mut self, charge: u32, now_ms: u64) -> bool {
        self.forget(now_ms);
        self.charged.saturating_add(u64::from(charge) * THOUSAND) <= u64::from(FULL / 2) * THOUSAND
    }

    /// Charges what is asked.
    pub fn asks(&mut self, charge: u32, now_ms: u64) {
        self.forget(now_ms);
        self.charged = self.charged.saturating_add(u64::from(charge) * THOUSAND);
    }

    /// The node warns of our load: nothing that can wait is asked until it has forgotten much of it.
    pub fn warned(&mut self, now_ms: u64) {
        self.forget(now_ms);
        self.charged = self.charged.max(u64::from(FULL) * THOUSAND);
    }

    fn forget(&mut self, now_ms: u64) {
        // So much a second is as many thousandths a millisecond.
        let forgotten = now_ms.saturating_sub(self.counted_ms).saturating_mul(FORGOTTEN_PER_S);
        self.charged = self.charged.saturating_sub(forgotten);
        self.counted_ms = self.counted_ms.max(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_leave_half_of_it_to_submissions() {
        let mut budget = Budget::default();
        while budget.has_room(MEDIUM, 0) {
            budget.asks(MEDIUM, 0);
        }
        let submitted = (0..100).take_while(|_| budget.submits(0)).count();
        assert_eq!(submitted, 15);
        assert!(!budget.submits(0) && !budget.has_room(REFERENCE, 0));
    }

    #[test]
    fn what_was_charged_is_forgotten_with_time() {
        let mut budget = Budget::default();
        while budget.submits(0) {}
        assert!(!budget.submits(1_000));
        assert!(budget.submits(1_067), "400 are forgotten after 1,067 ms");
        assert!(!budget.submits(1_067));
        // However often it is asked, nothing is forgotten twice or never.
        let mut often = Budget::default();
        while often.submits(0) {}
        let first = (0..10_000).find(|now_ms| often.submits(*now_ms)).unwrap();
        assert!((1_067..1_100).contains(&first), "{first}");
    }

    /// A session that sends all it may, for an hour, is never near what rippled cuts at.
    #[test]
    fn at_the_limit_rippled_does_not_even_come_near_its_cut() {
        let (mut budget, mut at_the_node, mut worst) = (Budget::default(), 0.0_f64, 0.0_f64);
        for now_ms in (0..3_600_000).step_by(250) {
            at_the_node *= 1.0 - 0.25 / 32.0;
            while budget.submits(now_ms) {
                at_the_node += f64::from(MEDIUM);
            }
            worst = worst.max(at_the_node);
        }
        assert!(worst < 25_000.0 * 0.6, "{worst}");
    }

    #[test]
    fn a_warning_stops_what_can_wait() {
        let mut budget = Budget::default();
        budget.warned(0);
        assert!(!budget.has_room(REFERENCE, 10_000));
        assert!(budget.has_room(REFERENCE, 16_100));
        budget.asks(MEDIUM, 16_100);
        assert!(!budget.has_room(REFERENCE, 16_100));
    }
}
