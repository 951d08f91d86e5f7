//! Each way to quote and to price, for tests that must hold for all of them.

use neo_market::reference::PriceSource;
use neo_market::{Dec, QuoteConfig, ReferenceConfig, RiskConfig, Strategy};

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

/// Each strategy by its name.
pub fn strategies() -> [(&'static str, QuoteConfig); 3] {
    let fixed = QuoteConfig { inventory_target_pct: Some(d("50")), ..QuoteConfig::default() };
    let model = |strategy: Strategy| (strategy.as_str(), QuoteConfig { strategy, ..fixed.clone() });
    [("fixed", fixed.clone()), model(Strategy::AvellanedaStoikov), model(Strategy::Glft)]
}

/// A class of faults with every strategy: fixed offsets, as they are by default, with all of the seeds, and each model with
/// the first `of_models`. What is run is told, so that a failure says which it was.
pub fn cases(seeds: u64, of_models: u64) -> impl Iterator<Item = (&'static str, QuoteConfig, u64)> {
    let with = |(name, quote): (&'static str, QuoteConfig), seeds: u64| {
        (1..=seeds).map(move |seed| (name, quote.clone(), seed)).collect::<Vec<_>>()
    };
    let [_, stoikov, glft] = strategies();
    let all = [with(("fixed", QuoteConfig::default()), seeds), with(stoikov, of_models), with(glft, of_models)];
    all.into_iter().flatten().inspect(|(name, _, seed)| println!("{name}, seed {seed}"))
}

/// Limits that bind: the account begins with 10,000 XRP.
pub fn limits() -> RiskConfig {
    RiskConfig {
        max_inventory_xrp: Some(d("10350")),
        min_inventory_xrp: Some(d("9650")),
        max_order_xrp: d("150"),
        ..RiskConfig::default()
    }
}

/// Each source of the reference price by its name. The outside one must be there and new.
pub fn prices() -> [(&'static str, ReferenceConfig); 5] {
    let of = |source| ReferenceConfig { source, ..ReferenceConfig::default() };
    let blend = ReferenceConfig { trades_weight: d("0.5"), ..of(PriceSource::Blend) };
    let outside = ReferenceConfig { outside_weight: d("2"), outside_required: true, ..blend.clone() };
    [
        ("mid", of(PriceSource::Mid)),
        ("microprice", of(PriceSource::Microprice)),
        ("depth_weighted", of(PriceSource::DepthWeighted)),
        ("blend", blend),
        ("outside", outside),
    ]
}
