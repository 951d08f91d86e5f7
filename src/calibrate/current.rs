//! Would the current offsets have been filled in a recorded market, and how likely was that?

use neo_market::model::calibration::{Fit, confirm};
use neo_market::model::statistics::poisson_interval;
use neo_market::model::to_float;
use neo_market::{Dec, Drops};
use serde::Serialize;

use super::imagined::Imagined;
use super::study::{Figure, between, digits, figure};

/// What one level of the current quotes would have met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurrentLine {
    /// `bid` or `ask`.
    pub side: &'static str,
    /// 0 is the nearest.
    pub level: u8,
    /// As configured.
    pub offset_bps: Dec,
    /// XRP of it.
    pub size_xrp: Option<Dec>,
    /// Hours that it would have stood.
    pub hours: Option<Dec>,
    /// Transactions that would have placed, moved and renewed it.
    pub transactions: u64,
    /// Ledgers in which it would have been filled.
    pub fills: u64,
    /// What a market like this brings in as much time: Garwood's exact interval.
    pub fills_between: Figure,
    /// XRP that would have been filled.
    pub filled_xrp: Option<Dec>,
    /// Fills that the law expects; `None` without a law.
    pub expected_fills: Option<Dec>,
    /// The same with its interval.
    pub expected_between: Option<Figure>,
    /// Chance of no fill in all that time, by the law.
    pub chance_of_none: Option<Dec>,
    /// Chance of no fill in half an hour, by the law.
    pub chance_of_none_in_half_an_hour: Option<Dec>,
    #[serde(skip)]
    imagined: Imagined,
}

impl Eq for CurrentLine {}

fn xrp(drops: Drops) -> Option<Dec> {
    let Ok(xrp) = drops.to_xrp() else { return None };
    Some(xrp)
}

impl CurrentLine {
    pub(super) fn new(imagined: Imagined) -> CurrentLine {
        CurrentLine {
            side: imagined.side.as_str(),
            level: imagined.level,
            offset_bps: imagined.offset_bps,
            size_xrp: xrp(imagined.size),
            hours: digits(imagined.hours()),
            transactions: imagined.transactions,
            fills: imagined.fills,
            fills_between: figure(poisson_interval(imagined.fills)),
            filled_xrp: xrp(imagined.filled),
            expected_fills: None,
            expected_between: None,
            chance_of_none: None,
            chance_of_none_in_half_an_hour: None,
            imagined,
        }
    }

    /// Holds it against the law of the market's trades.
    pub(super) fn expect(&mut self, law: Option<&Fit>) {
        let Some(law) = law.filter(|_| !self.imagined.exposures.is_empty()) else { return };
        let told = confirm(&law.law(), &self.imagined.exposures);
        self.expected_fills = digits(told.expected);
        self.expected_between = Some(figure(between(law, &self.imagined.exposures, told.expected)));
        self.chance_of_none = digits(told.chance_of_none);
        let half_an_hour = 0.5 / self.imagined.hours();
        self.chance_of_none_in_half_an_hour = digits(told.chance_of_none.powf(half_an_hour));
    }
}

/// All levels together: fills, their expected number, and the chance of none at all.
pub(super) struct Together {
    pub(super) fills: u64,
    pub(super) between: Figure,
    pub(super) expected: Option<Dec>,
    pub(super) none: Option<Dec>,
    pub(super) none_in_half_an_hour: Option<Dec>,
}

pub(super) fn together(lines: &[CurrentLine]) -> Together {
    let fills = lines.iter().map(|line| line.fills).sum();
    // Levels of one side are filled by the same trades: no fill at all is no fill of the nearest.
    let nearest = || lines.iter().filter(|line| line.level == 0);
    let product = |of: fn(&CurrentLine) -> Option<Dec>| {
        nearest().map(of).try_fold(1.0, |all, one| one.map(|one| all * to_float(one))).and_then(digits)
    };
    let expected = lines.iter().try_fold(0.0, |all, line| line.expected_fills.map(|one| all + to_float(one)));
    Together {
        fills,
        between: figure(poisson_interval(fills)),
        expected: expected.and_then(digits),
        none: product(|line| line.chance_of_none),
        none_in_half_an_hour: product(|line| line.chance_of_none_in_half_an_hour),
    }
}
