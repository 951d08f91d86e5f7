use super::*;

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn xrp(text: &str) -> Drops {
    Drops::from_xrp(d(text), Rounding::Down).unwrap()
}

fn state() -> RiskState {
    RiskState {
        balances: Balances { xrp: xrp("1000"), reserve: xrp("2"), rlusd: d("2400") },
        reference_price: Some(d("2.4")),
        open_bid_xrp: xrp("50"),
        open_ask_xrp: xrp("50"),
        reserve_inc: xrp("0.2"),
        data_age_ledgers: 0,
    }
}

fn quote(side: Side, price: &str, size: &str) -> Quote {
    Quote::new(side, 0, d(price), xrp(size)).unwrap()
}

fn refusal(config: RiskConfig, action: Action, state: &RiskState) -> Option<Refusal> {
    RiskLimits::new(config).check(action, state).err().map(|refused| {
        assert_eq!(refused.action, action);
        *refused.reason
    })
}

fn place(side: Side, price: &str, size: &str, config: RiskConfig) -> Option<Refusal> {
    refusal(config, Action::Place(quote(side, price, size)), &state())
}

#[test]
fn an_ordinary_offer_is_approved_as_it_is() {
    let action = Action::Place(quote(Side::Bid, "2.39", "100"));
    let approved = RiskLimits::new(RiskConfig::default()).check(action, &state()).unwrap();
    assert_eq!((approved.action(), approved.into_action()), (&action, action));
}

#[test]
fn cancels_are_always_approved() {
    let cancel = Action::Cancel { offer_sequence: 5, side: Side::Ask, level: 1 };
    let blind = RiskState { reference_price: None, data_age_ledgers: 99, ..state() };
    assert_eq!(refusal(RiskConfig::default(), cancel, &blind), None);
}

#[test]
fn stale_data_and_a_missing_reference_refuse() {
    let action = Action::Place(quote(Side::Bid, "2.39", "100"));
    let aged = |data_age_ledgers| RiskState { data_age_ledgers, ..state() };
    assert_eq!(refusal(RiskConfig::default(), action, &aged(2)), None);
    let stale = refusal(RiskConfig::default(), action, &aged(3));
    assert_eq!(stale, Some(Refusal::StaleData { age: 3, limit: 2 }));
    let blind = RiskState { reference_price: None, ..state() };
    assert_eq!(refusal(RiskConfig::default(), action, &blind), Some(Refusal::NoReferencePrice));
}

#[test]
fn the_size_limit_is_inclusive() {
    let config = || RiskConfig { max_order_xrp: d("100"), ..RiskConfig::default() };
    assert_eq!(place(Side::Ask, "2.41", "100", config()), None);
    let limit = d("100");
    let refused = Refusal::OrderTooLarge { size: xrp("100.000001"), limit };
    assert_eq!(place(Side::Ask, "2.41", "100.000001", config()), Some(refused));
}

#[test]
fn the_band_holds_the_legs_not_the_price_beside_them() {
    // 5 % of 2.4 is 0.12.
    assert_eq!(place(Side::Ask, "2.52", "100", RiskConfig::default()), None);
    assert_eq!(place(Side::Bid, "2.28", "100", RiskConfig::default()), None);
    assert!(matches!(place(Side::Ask, "2.520001", "100", RiskConfig::default()), Some(Refusal::OutsideBand { .. })));
    assert!(matches!(place(Side::Bid, "2.279999", "100", RiskConfig::default()), Some(Refusal::OutsideBand { .. })));
    let forged = Quote { rlusd: d("100"), ..quote(Side::Ask, "2.4", "100") };
    let refused = refusal(RiskConfig::default(), Action::Place(forged), &state());
    let (price, reference, band_bps) = (d("1"), d("2.4"), d("500"));
    assert_eq!(refused, Some(Refusal::OutsideBand { price, reference, band_bps }));
    let empty = Quote { rlusd: d("0"), ..quote(Side::Ask, "2.4", "100") };
    assert!(matches!(refusal(RiskConfig::default(), Action::Place(empty), &state()), Some(Refusal::EmptyLeg { .. })));
}

#[test]
fn inventory_counts_the_open_offers_of_the_side() {
    let most = |limit: &str| RiskConfig { max_inventory_xrp: Some(d(limit)), ..RiskConfig::default() };
    let least = |limit: &str| RiskConfig { min_inventory_xrp: Some(d(limit)), ..RiskConfig::default() };
    // Owned 1000, open bids 50, this one 100.
    assert_eq!(place(Side::Bid, "2.39", "100", most("1150")), None);
    let refused = Refusal::InventoryAboveMax { would_own: xrp("1150"), limit: d("1149.9") };
    assert_eq!(place(Side::Bid, "2.39", "100", most("1149.9")), Some(refused));
    assert_eq!(place(Side::Ask, "2.41", "100", most("1")), None, "an ask lowers the inventory");
    // Owned 1000, open asks 50, this one 100.
    assert_eq!(place(Side::Ask, "2.41", "100", least("850")), None);
    let refused = Refusal::InventoryBelowMin { would_own: xrp("850"), limit: d("850.1") };
    assert_eq!(place(Side::Ask, "2.41", "100", least("850.1")), Some(refused));
    assert_eq!(place(Side::Bid, "2.39", "100", least("5000")), None, "a bid raises the inventory");
}

#[test]
fn an_offer_must_be_funded_and_a_new_one_needs_its_reserve() {
    let ask = quote(Side::Ask, "2.41", "998");
    let refused = Refusal::Unfunded { needed: d("998"), available: d("997.8"), unit: "XRP" };
    assert_eq!(refusal(RiskConfig::default(), Action::Place(ask), &state()), Some(refused));
    let replace = Action::Replace { offer_sequence: 5, quote: ask };
    assert_eq!(refusal(RiskConfig::default(), replace, &state()), None);
    let bid = quote(Side::Bid, "2.4", "1000");
    assert_eq!(refusal(RiskConfig::default(), Action::Place(bid), &state()), None);
    let poor = RiskState { balances: Balances { rlusd: d("2399.999999"), ..state().balances }, ..state() };
    assert!(matches!(refusal(RiskConfig::default(), Action::Place(bid), &poor), Some(Refusal::Unfunded { .. })));
    let bare = RiskState { balances: Balances { xrp: xrp("2.199999"), ..state().balances }, ..state() };
    let refused = Refusal::NoReserve { needed: xrp("0.2"), available: xrp("0.199999") };
    assert_eq!(refusal(RiskConfig::default(), Action::Place(bid), &bare), Some(refused));
}

#[test]
fn a_refusal_tells_what_to_do() {
    let action = Action::Place(quote(Side::Ask, "2.41", "2000"));
    let text = RiskLimits::new(RiskConfig::default()).check(action, &state()).unwrap_err().to_string();
    let expected = "the ask of level 0 is refused: 2000 XRP are more than max_order_xrp = 1000; \
                    lower size_xrp or raise the limit";
    assert_eq!(text, expected);
}

#[test]
fn every_mistake_is_told_at_once() {
    assert_eq!(RiskConfig::default().problems(), []);
    let config = RiskConfig {
        max_inventory_xrp: Some(d("10")),
        min_inventory_xrp: Some(d("10")),
        max_order_xrp: d("0"),
        price_band_bps: d("10001"),
        max_data_age_ledgers: 101,
        triggers: TriggerConfig::default(),
    };
    let keys: Vec<_> = config.problems().iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["min_inventory_xrp", "max_order_xrp", "price_band_bps", "max_data_age_ledgers"]);
    assert!(serde_json::from_str::<RiskConfig>(r#"{"max_orders_xrp": "1"}"#).is_err());
}
