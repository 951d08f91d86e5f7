//! How long signing may take: what counts as frozen, and who waits for the orders' state, must allow for it.

use std::time::Duration;

use super::Config;

/// How long the orders' state may be held by their actor for what is not signing.
const WORK: Duration = Duration::from_millis(500);

impl Config {
    /// Transactions that the orders sign at once at most: a cancel for each offer, and for each one that is on its way
    /// to replace it.
    #[must_use]
    pub fn signed_at_once(&self) -> u64 {
        u64::from(self.quote.levels).saturating_mul(4)
    }

    /// The longest that the orders may be busy with signing; nothing to speak of where the key is in this process.
    #[must_use]
    pub fn longest_signing_ms(&self) -> u64 {
        if self.account.signer.is_empty() {
            return 0;
        }
        self.account.signer_timeout_ms.saturating_mul(self.signed_at_once())
    }

    /// How long the orders' state may be held by their actor before it counts as held for ever: they sign under its lock.
    #[must_use]
    pub fn orders_patience(&self) -> Duration {
        WORK.saturating_add(Duration::from_millis(self.longest_signing_ms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_for_the_orders_waits_as_long_as_they_may_sign() {
        let mut config = Config::default();
        config.account.signer_timeout_ms = 1_000;
        config.quote.levels = 2;
        assert_eq!(config.orders_patience(), Duration::from_millis(500), "a key in this process signs at once");
        config.account.signer = vec!["sign".to_string()];
        assert_eq!(config.orders_patience(), Duration::from_millis(8_500), "two levels: eight cancels");
    }
}
