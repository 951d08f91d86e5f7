use proptest::prelude::*;

use super::measure::{Measured, readings, silence};
use super::window::Window;
use super::worth::{Sample, Worth};
use super::*;
use crate::{Drops, RiskConfig};

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn xrp(text: &str) -> Drops {
    Drops::from_xrp(d(text), crate::Rounding::HalfEven).unwrap()
}

/// One trigger on, the others off.
fn only(trigger: Trigger, limit: &str, action: TripAction, resume_after_s: u32) -> RiskConfig {
    let mut triggers = TriggerConfig::default();
    for other in Trigger::ALL {
        triggers.rule_mut(other).limit = Dec::zero();
    }
    *triggers.rule_mut(trigger) = TriggerRule { limit: d(limit), action, resume_after_s };
    RiskConfig { triggers, ..RiskConfig::default() }
}

fn words(events: &[TriggerEvent]) -> Vec<String> {
    let word = |event: &TriggerEvent| match event {
        TriggerEvent::Tripped(trip) => format!("{} {}", trip.trigger, trip.action),
        TriggerEvent::Cleared { trigger, by } => format!("{trigger} cleared by {}", by.as_str()),
    };
    events.iter().map(word).collect()
}

/// A measure below its limit trips nothing, one at its limit trips, and the same below clears after the wait.
fn trips_at_its_limit(risk: &RiskConfig, trigger: Trigger, below: &Measured, at: &Measured, figures: &str) {
    let mut triggers = Triggers::new(risk.triggers.clone(), &[]);
    let on = |triggers: &mut Triggers, measured: &Measured, now_s| {
        words(&triggers.on(&readings(risk, measured).unwrap(), now_s))
    };
    assert_eq!(on(&mut triggers, below, 100), [""; 0], "{trigger} below its limit");
    assert_eq!(on(&mut triggers, at, 104), [format!("{trigger} pause")], "{trigger} at its limit");
    assert!(triggers.deciding().unwrap().reason.contains(figures), "{:?}", triggers.deciding());
    assert_eq!(on(&mut triggers, below, 108), [""; 0], "not at once");
    assert_eq!(on(&mut triggers, below, 117), [""; 0]);
    assert_eq!(on(&mut triggers, below, 118), [format!("{trigger} cleared by itself")]);
    assert_eq!(triggers.counts().get(&trigger), Some(&1));
}

#[test]
fn a_trigger_that_is_off_never_trips_and_a_latch_keeps_its_first_reason() {
    let reading = |text: &str| Reading { trigger: Trigger::Fees, condition: Condition::Holds(text.to_string()) };
    let off = only(Trigger::Fees, "0", TripAction::Stop, 0);
    assert_eq!(Triggers::new(off.triggers, &[]).on(&[reading("first")], 1), []);
    for (action, shown) in [(TripAction::Pause, "second"), (TripAction::Latch, "first"), (TripAction::Stop, "first")] {
        let mut triggers = Triggers::new(only(Trigger::Fees, "1", action, 0).triggers, &[]);
        assert_eq!(triggers.on(&[reading("first")], 1).len(), 1);
        assert_eq!(triggers.on(&[reading("second")], 2), []);
        assert_eq!(triggers.deciding().unwrap().reason, shown, "{action}");
    }
}

#[test]
fn each_trigger_trips_at_its_limit_and_clears_below_it() {
    let ok = Measured { xrp: xrp("100"), spendable_xrp: xrp("90"), ..Measured::default() };
    let pause = |trigger: Trigger, limit: &str| only(trigger, limit, TripAction::Pause, 10);
    let with = |change: fn(&mut Measured)| {
        let mut measured = Measured { xrp: xrp("100"), spendable_xrp: xrp("90"), ..Measured::default() };
        change(&mut measured);
        measured
    };
    let check = |trigger, limit, below: fn(&mut Measured), at: fn(&mut Measured), figures| {
        trips_at_its_limit(&pause(trigger, limit), trigger, &with(below), &with(at), figures);
    };
    check(Trigger::Gap, "5", |m| m.gap_ledgers = 4, |m| m.gap_ledgers = 5, "5 ledgers went by");
    check(Trigger::Gap, "500", |m| m.gap_ledgers = 4, |m| m.history_lost = Some("pruned".into()), "pruned");
    check(Trigger::Rejects, "3", |m| m.rejects = 2, |m| m.rejects = 3, "3 transactions failed");
    check(Trigger::Fees, "1000", |m| m.fees_drops = 999, |m| m.fees_drops = 1_000, "1000 drops");
    check(Trigger::UnknownIntents, "4", |m| m.unknown_intents = 3, |m| m.unknown_intents = 4, "4 transactions");
    check(
        Trigger::PriceMove,
        "50",
        |m| m.moved = Some((d("2"), d("2.0099"))),
        |m| m.moved = Some((d("2"), d("1.99"))),
        "from 2 to 1.99, 50.0 bps",
    );
    check(Trigger::ClockSkew, "60", |m| m.clock_ahead_s = Some(-59), |m| m.clock_ahead_s = Some(-60), "60 s behind");
    check(
        Trigger::ReserveShort,
        "2",
        |m| m.spendable_xrp = Drops::new(2_000_000),
        |m| m.spendable_xrp = Drops::new(1_999_999),
        "1.999999 XRP",
    );
    let bounds = |limit: &str, measured: [&str; 2], figures: &str| {
        let risk = RiskConfig {
            max_inventory_xrp: Some(d("200")),
            min_inventory_xrp: Some(d("50")),
            ..pause(Trigger::Inventory, limit)
        };
        let [below, at] = measured.map(|owned| Measured { xrp: xrp(owned), ..ok.clone() });
        trips_at_its_limit(&risk, Trigger::Inventory, &below, &at, figures);
    };
    bounds("10", ["209.999999", "210"], "10 above max_inventory_xrp");
    bounds("10", ["40.000001", "40"], "10 below min_inventory_xrp");
}

#[test]
fn silence_trips_between_ledgers_and_a_ledger_begins_the_wait() {
    let risk = only(Trigger::Silence, "30", TripAction::Pause, 8);
    let mut triggers = Triggers::new(risk.triggers.clone(), &[]);
    assert_eq!(triggers.on(&[silence(&risk.triggers, 29)], 100), []);
    assert_eq!(words(&triggers.on(&[silence(&risk.triggers, 30)], 100)), ["silence_s pause"]);
    let ledger = readings(&risk, &Measured::default()).unwrap();
    assert_eq!(triggers.on(&ledger, 140), []);
    assert_eq!(triggers.on(&ledger, 144), []);
    assert_eq!(words(&triggers.on(&ledger, 148)), ["silence_s cleared by itself"]);
}

fn sample(at_s: u32, xrp_owned: &str, rlusd: &str, mark: &str) -> Sample {
    Sample { at_s, xrp: xrp(xrp_owned), rlusd: d(rlusd), mark: d(mark) }
}

#[test]
fn a_drawdown_is_counted_from_the_highest_value_and_money_that_moves_is_no_loss() {
    let mut worth = Worth::new(7);
    let pct = |worth: &mut Worth, s: Sample| worth.sample(&s).unwrap().unwrap().drawdown.pct;
    assert_eq!(pct(&mut worth, sample(1_000, "100", "100", "2")), d("0"));
    assert_eq!(pct(&mut worth, sample(1_004, "100", "100", "3")), d("0"));
    assert_eq!(pct(&mut worth, sample(1_008, "100", "100", "2.9")), d("2.5"), "390 of 400");
    // Half of everything leaves: 195 of 400 - 195.
    worth.flow(xrp("-50"), d("-50")).unwrap();
    assert_eq!(pct(&mut worth, sample(1_012, "50", "50", "2.9")), d("4.8780"));
    // And something comes in: the loss in money is the same.
    worth.flow(Drops::ZERO, d("195")).unwrap();
    assert_eq!(pct(&mut worth, sample(1_016, "50", "245", "2.9")), d("2.5"));
    // A fee is not told as a flow: it is a loss.
    assert_eq!(pct(&mut worth, sample(1_020, "50", "244", "2.9")), d("2.75"));
    worth.restart();
    assert_eq!(pct(&mut worth, sample(1_024, "50", "244", "2.9")), d("0"));
}

#[test]
fn a_loss_against_holding_leaves_the_price_out() {
    let mut worth = Worth::new(7);
    worth.sample(&sample(1_000, "100", "100", "2")).unwrap();
    // The price halves with everything held: a drawdown, and no loss against holding.
    let losses = worth.sample(&sample(1_004, "100", "100", "1")).unwrap().unwrap();
    assert_eq!((losses.drawdown.pct, losses.holding.pct), (d("33.3333"), d("0")));
    // 50 XRP were bought at 1.2 on the way: 10 of the 200 that holding is worth.
    let losses = worth.sample(&sample(1_008, "150", "40", "1")).unwrap().unwrap();
    assert_eq!(losses.holding.pct, d("5"));
    // A deposit changes neither the sum lost nor what was traded.
    worth.flow(xrp("200"), Dec::zero()).unwrap();
    let losses = worth.sample(&sample(1_012, "350", "40", "1")).unwrap().unwrap();
    assert_eq!((losses.holding.pct, losses.holding.from), (d("2.5"), d("400")));
}

#[test]
fn a_day_begins_at_midnight_and_a_week_is_forgotten() {
    let day_s = 86_400;
    let mut worth = Worth::new(2);
    let at = |worth: &mut Worth, at_s, rlusd: &str| {
        let losses = worth.sample(&sample(at_s, "0", rlusd, "2")).unwrap().unwrap();
        (losses.day.pct, losses.drawdown.pct)
    };
    assert_eq!(at(&mut worth, day_s - 8, "100"), (d("0"), d("0")));
    assert_eq!(at(&mut worth, day_s - 4, "90"), (d("10"), d("10")));
    assert_eq!(at(&mut worth, day_s, "90"), (d("0"), d("10")), "a new day, the same peak");
    assert_eq!(at(&mut worth, 2 * day_s - 1, "81"), (d("10"), d("19")));
    assert_eq!(at(&mut worth, 2 * day_s, "81"), (d("0"), d("10")), "the day of the peak is out of sight");
    // A ledger from before is another world's.
    assert_eq!(at(&mut worth, 5, "10"), (d("0"), d("0")));
}

#[test]
fn a_value_that_is_not_known_neither_trips_nor_clears() {
    let risk = only(Trigger::Drawdown, "2", TripAction::Pause, 10);
    let mut triggers = Triggers::new(risk.triggers.clone(), &[]);
    let mut worth = Worth::new(7);
    let mut on = |rlusd: Option<&str>, now_s: u32| {
        let losses = rlusd.and_then(|rlusd| worth.sample(&sample(now_s, "0", rlusd, "2")).unwrap());
        words(&triggers.on(&readings(&risk, &Measured { losses, ..Measured::default() }).unwrap(), now_s))
    };
    assert_eq!(on(Some("100"), 100), [""; 0]);
    assert_eq!(on(None, 104), [""; 0]);
    assert_eq!(on(Some("98.0001"), 108), [""; 0], "1.9999 percent");
    assert_eq!(on(Some("98"), 112), ["drawdown_pct pause"]);
    assert_eq!(on(Some("99"), 116), [""; 0]);
    assert_eq!(on(None, 124), [""; 0]);
    assert_eq!(on(Some("99"), 128), [""; 0], "the wait begins anew");
    assert_eq!(on(Some("99"), 138), ["drawdown_pct cleared by itself"]);
}

#[test]
fn a_latch_waits_for_the_operator_and_comes_back_with_its_reason() {
    let risk = only(Trigger::Rejects, "1", TripAction::Latch, 0);
    let rejects = |n| readings(&risk, &Measured { rejects: n, ..Measured::default() }).unwrap();
    let mut triggers = Triggers::new(risk.triggers.clone(), &[]);
    assert_eq!(words(&triggers.on(&rejects(1), 100)), ["rejects latch"]);
    assert_eq!(triggers.on(&rejects(0), 100_000), []);
    let reason = triggers.deciding().unwrap().reason.clone();
    let mut after_restart = Triggers::new(risk.triggers.clone(), &[(Trigger::Rejects, reason.clone())]);
    assert_eq!(after_restart.deciding().map(|trip| trip.reason.clone()), Some(reason));
    assert_eq!(after_restart.on(&rejects(5), 100), [], "it is tripped already");
    assert_eq!(words(&after_restart.resume()), ["rejects cleared by operator"]);
    assert_eq!(after_restart.deciding(), None);
    assert_eq!(after_restart.resume(), []);
}

#[test]
fn the_window_forgets_what_is_old_and_what_lies_ahead() {
    let mut window = Window::new(60);
    window.add(1_000, 5);
    window.add(1_000, 2);
    window.add(900, 1);
    window.add(5_000, 100);
    assert_eq!(window.sum(1_000), 7, "5000 is another world's");
    assert_eq!(window.sum(1_059), 7);
    assert_eq!(window.sum(1_060), 0);
    window.add(1_070, 3);
    window.clear();
    assert_eq!(window.sum(1_070), 0);
}

#[test]
fn settings_that_cannot_be_meant_are_told_with_their_keys() {
    let mut triggers = TriggerConfig::default();
    assert_eq!(triggers.problems(), []);
    triggers.drawdown_pct.limit = d("100");
    triggers.rejects.limit = d("-1");
    triggers.fees_drops.resume_after_s = 90_000;
    triggers.loss_days = 0;
    triggers.rejects_window_s = 1;
    let keys: Vec<&str> = triggers.problems().iter().map(|problem| problem.key).collect();
    assert_eq!(
        keys,
        [
            "triggers.drawdown_pct.limit",
            "triggers.rejects.limit",
            "triggers.fees_drops.resume_after_s",
            "triggers.rejects_window_s",
            "triggers.loss_days"
        ]
    );
    for trigger in Trigger::ALL {
        assert_eq!(Trigger::from_word(trigger.as_str()), Some(trigger));
        assert!(trigger.limit_key().contains(trigger.as_str()) && trigger.resume_key().contains(trigger.as_str()));
    }
    assert_eq!(Trigger::from_word("moon"), None);
}

fn actions() -> impl Strategy<Value = TripAction> {
    prop_oneof![Just(TripAction::Pause), Just(TripAction::Latch), Just(TripAction::Stop)]
}

/// What a trigger may see: `0` gone, `1` holds, `2` unknown; and the seconds until then.
fn story() -> impl Strategy<Value = Vec<(u32, Vec<u8>)>> {
    prop::collection::vec((1..20_u32, prop::collection::vec(0..3_u8, Trigger::ALL.len())), 1..60)
}

fn tell(states: &[u8]) -> Vec<Reading> {
    let reading = |(trigger, state): (Trigger, &u8)| {
        let condition = match state {
            0 => Condition::Gone,
            1 => Condition::Holds(format!("{trigger}")),
            _ => Condition::Unknown,
        };
        Reading { trigger, condition }
    };
    Trigger::ALL.into_iter().zip(states).map(reading).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A pause lasts until its condition has been seen gone, without a break, for as long as was asked; a latch until the
    /// operator resumes; the greatest action decides; the same story gives the same events.
    #[test]
    fn nothing_flaps_and_the_greatest_action_decides(
        chosen in prop::collection::vec((actions(), 0..40_u32), Trigger::ALL.len()),
        story in story(),
    ) {
        let mut config = TriggerConfig::default();
        for (trigger, (action, resume_after_s)) in Trigger::ALL.into_iter().zip(&chosen) {
            let rule = TriggerRule { limit: Dec::one(), action: *action, resume_after_s: *resume_after_s };
            *config.rule_mut(trigger) = rule;
        }
        let (mut triggers, mut again) = (Triggers::new(config.clone(), &[]), Triggers::new(config.clone(), &[]));
        let mut now_s = 1_000;
        let mut gone_since: BTreeMap<Trigger, u32> = BTreeMap::new();
        let mut standing: BTreeMap<Trigger, TripAction> = BTreeMap::new();
        for (pass_s, states) in &story {
            now_s += pass_s;
            for (trigger, state) in Trigger::ALL.into_iter().zip(states) {
                if *state == 0 {
                    gone_since.entry(trigger).or_insert(now_s);
                } else {
                    gone_since.remove(&trigger);
                }
            }
            let events = triggers.on(&tell(states), now_s);
            prop_assert_eq!(&events, &again.on(&tell(states), now_s));
            for event in events {
                match event {
                    TriggerEvent::Tripped(trip) => {
                        prop_assert!(!gone_since.contains_key(&trip.trigger));
                        prop_assert_eq!(standing.insert(trip.trigger, trip.action), None, "tripped twice");
                    }
                    TriggerEvent::Cleared { trigger, by } => {
                        prop_assert_eq!((standing.remove(&trigger), by), (Some(TripAction::Pause), ClearedBy::Itself));
                        let calm_s = now_s - gone_since[&trigger];
                        prop_assert!(calm_s >= config.rule(trigger).resume_after_s, "{} s are too few", calm_s);
                    }
                }
            }
            let shown: BTreeMap<Trigger, TripAction> =
                triggers.standing().map(|trip| (trip.trigger, trip.action)).collect();
            prop_assert_eq!(&shown, &standing);
            prop_assert_eq!(triggers.deciding().map(|trip| trip.action), standing.values().max().copied());
        }
        let latched = standing.values().filter(|action| action.is_latched()).count();
        prop_assert_eq!(triggers.resume().len(), latched);
        prop_assert!(triggers.standing().all(|trip| trip.action == TripAction::Pause));
    }

    /// Deposits and withdrawals, whenever they come, change no loss in money.
    #[test]
    fn flows_are_neither_gain_nor_loss(
        steps in prop::collection::vec((1..30_000_u32, -50..50_i64, -1_000..1_000_i64), 1..40),
    ) {
        let (mut with, mut without) = (Worth::new(3), Worth::new(3));
        let (mut at_s, mut moved) = (1_000_000, 0_i64);
        // At one price, so that what came in earns nothing afterwards.
        let mark = Dec::one();
        for (pass_s, trade, flow) in &steps {
            at_s += pass_s;
            let xrp = Drops::new((10_000 + trade) * 1_000_000);
            let plain = without.sample(&Sample { at_s, xrp, rlusd: Dec::from_i64(50_000), mark }).unwrap().unwrap();
            with.flow(Drops::ZERO, Dec::from_i64(*flow)).unwrap();
            moved += flow;
            let rlusd = Dec::from_i64(50_000 + moved);
            let other = with.sample(&Sample { at_s, xrp, rlusd, mark }).unwrap().unwrap();
            for (one, other) in
                [(plain.drawdown, other.drawdown), (plain.day, other.day), (plain.holding, other.holding)]
            {
                prop_assert_eq!(one.from.sub(one.value).unwrap(), other.from.sub(other.value).unwrap());
            }
        }
    }
}
