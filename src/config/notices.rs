//! What a configuration asks for and will not get: no mistake, but nobody should have to find out by looking at the quotes.

use neo_market::reference::PriceSource;
use neo_store::record::Mode;

use super::Config;
use super::sections::Speed;

impl Config {
    /// Whether the outside price is read: a source of today says nothing of a market of another day, or of one that is faster
    /// than time.
    #[must_use]
    pub fn reads_outside(&self) -> bool {
        self.price.outside.is_set() && self.session.mode != Mode::Replay && self.session.speed != Speed::Max
    }

    /// What is set and does nothing in this mode, each with what to do.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let price = &self.price;
        let counts = price.source == PriceSource::Blend && price.outside_weight.is_positive();
        if self.reads_outside() || !(counts || price.outside_required || price.outside.is_set()) {
            return Vec::new();
        }
        let becomes = match (price.outside_required, counts) {
            (true, _) => "price.outside_required keeps everything from being quoted; set it to false here",
            (false, true) => {
                "price.outside_weight counts nothing and the other sources share it; set it to 0 to be rid of this notice"
            }
            (false, false) => "nothing is compared with it",
        };
        vec![format!(
            "the outside price is not read in a replay and at session.speed = \"max\", whose time is not today's: {becomes}"
        )]
    }
}
