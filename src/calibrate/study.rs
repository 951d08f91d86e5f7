//! What the observations say: the figures of `neo calibrate`, as `--json` prints them. Pure.
//!
//! Inside it computes with floats, as `market::model` does; each figure that leaves is a decimal of six digits.

use std::collections::BTreeMap;

use neo_market::model::calibration::{
    Advice, Bucket, Cost, Economics, Exposure, Fit, MarkOut, Shortage, WIDTH, Wanted, advise, buckets, confirm, fit,
    mark_outs_by_distance, profit_per_hour, wanted,
};
use neo_market::model::statistics::{Estimate, Mean, poisson_interval};
use neo_market::model::{to_amount, to_float};
use neo_market::{Dec, Rounding, Side};
use serde::Serialize;

use super::current::CurrentLine;
use super::observe::{COST_HORIZON, HORIZONS, Observed};
use super::terms::Terms;

/// Ranges of distance, in basis points.
const EDGES: [f64; 13] = [-1e9, 0.0, 2.0, 5.0, 8.0, 12.0, 16.0, 20.0, 30.0, 50.0, 80.0, 120.0, 1e9];
/// Offsets of the profit's curve.
const CURVE: u32 = 24;

/// One session and what it tells.
pub(super) struct Session {
    pub(super) number: i64,
    pub(super) imported: bool,
    pub(super) observed: Observed,
}

/// Everything that is studied.
pub(super) struct Input {
    /// Sessions; one that stands for the market where it is a recording's.
    pub(super) sessions: Vec<Session>,
    /// The recording, where it is one.
    pub(super) recording: Option<RecordingLine>,
    /// What distances are measured from.
    pub(super) measured_from: String,
    pub(super) terms: Terms,
}

/// A figure with its interval of 95 %; `null` where it is no finite number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// The best guess.
    pub value: Option<Dec>,
    /// The interval's lower end.
    pub low: Option<Dec>,
    /// The interval's upper end.
    pub high: Option<Dec>,
}

/// A float as a decimal of six digits.
pub(super) fn digits(value: f64) -> Option<Dec> {
    let Ok(exact) = to_amount(value, 60, Rounding::HalfEven) else { return None };
    let Ok(rounded) = exact.round_digits(6, Rounding::HalfEven) else { return None };
    Some(rounded)
}

pub(super) fn figure(estimate: Estimate) -> Figure {
    Figure { value: digits(estimate.value), low: digits(estimate.low), high: digits(estimate.high) }
}

/// Fills by distance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BucketLine {
    /// From this distance; `null` is without end.
    pub from_bps: Option<Dec>,
    /// To below this one; `null` is without end.
    pub to_bps: Option<Dec>,
    /// Hours quoted there, each offer counted.
    pub quoted_h: Option<Dec>,
    /// Fills.
    pub fills: u64,
    /// Fills of one offer an hour.
    pub fills_per_hour: Figure,
    /// Chance that one offer is filled in a ledger; `None` without a ledger's length.
    pub chance_per_ledger: Option<Figure>,
}

/// What fills of a range of distance gained after a number of ledgers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MarkOutLine {
    /// Ledgers after the fill.
    pub ledgers: u32,
    /// From this distance; `null` is without end.
    pub from_bps: Option<Dec>,
    /// To below this one; `null` is without end.
    pub to_bps: Option<Dec>,
    /// Fills.
    pub fills: u64,
    /// Mean gain against the mid then, in basis points.
    pub gain_bps: Figure,
}

/// A point of the profit's curve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProfitPoint {
    /// Basis points from the mid.
    pub offset_bps: Option<Dec>,
    /// What one offer there earns an hour, in basis points of its value, after fees.
    pub profit_bps_per_hour: Figure,
    /// The same in RLUSD; `None` where the size or the price is not known.
    pub profit_rlusd_per_hour: Option<Figure>,
    /// The same in basis points without a law, counted trade by trade; of a recording only.
    pub counted_bps_per_hour: Option<Figure>,
}

/// The law A exp(-k d).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Law {
    /// Arrivals an hour at the mid.
    pub a_per_hour: Figure,
    /// Decay a basis point.
    pub k_per_bps: Figure,
    /// Fills it rests on.
    pub fills: u64,
}

/// What the offset that is configured now earns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CurrentOffset {
    /// Basis points.
    pub offset_bps: Dec,
    /// How often one offer there is filled in an hour.
    pub fills_per_hour: Figure,
    /// What it earns an hour after fees, in basis points of its value.
    pub profit_bps_per_hour: Figure,
    /// True when it is within the interval of the recommended offset: the data then give no reason to change it.
    pub within_the_interval: bool,
}

/// What would tell k to within a quarter of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WantedLine {
    /// Hours more; of quotes each offer counted, of a recording each side.
    pub more_hours: Option<Dec>,
    /// True when these are the least: nothing was filled yet.
    pub at_least: bool,
    /// The two distances to quote at, all the time; `null` where what is done now, continued, does.
    pub levels_bps: Option<(Option<Dec>, Option<Dec>)>,
    /// Fills, or trades, that all of it would bring.
    pub fills: Option<Dec>,
}

impl WantedLine {
    fn new(wanted: &Wanted) -> WantedLine {
        WantedLine {
            more_hours: digits(wanted.more_hours),
            at_least: wanted.at_least,
            levels_bps: wanted.levels_bps.map(|(near, far)| (digits(near), digits(far))),
            fills: digits(wanted.fills),
        }
    }
}

/// What one side says, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SideStudy {
    /// `both`, `bid` or `ask`.
    pub side: &'static str,
    /// The law; `None` where the data do not suffice.
    pub law: Option<Law>,
    /// What the price moves against us within five ledgers of a fill, in basis points.
    pub adverse_bps: Option<Figure>,
    /// So much more for each basis point of distance; 0 where none is seen.
    pub adverse_slope: Option<Dec>,
    /// The part of an offer that a fill takes; `None` where it is not known and taken for the whole.
    pub filled_share: Option<Figure>,
    /// The fee of one transaction, in basis points of an offer's value; `None` where it is not known and left out.
    pub fee_bps: Option<Dec>,
    /// Transactions an hour that move or renew one offer; `None` where they are not known and left out.
    pub renewals_per_hour: Option<Dec>,
    /// The offset that earns most.
    pub recommended_offset_bps: Option<Figure>,
    /// The same as a setting: half a step of the price nearer, as the engine rounds away from the middle.
    pub recommended_setting: Option<String>,
    /// What it earns an hour after fees, in basis points of one offer's value.
    pub recommended_profit_bps_per_hour: Option<Figure>,
    /// How often one offer there is filled in an hour.
    pub recommended_fills_per_hour: Option<Dec>,
    /// Set where the law would have it nearer than anything was seen: then that distance is what is recommended.
    pub nearest_seen_bps: Option<Dec>,
    /// False when even there nothing is earned for certain; `None` without a recommendation.
    pub earns: Option<bool>,
    /// The offset that is configured now.
    pub current: Option<CurrentOffset>,
    /// Profit by offset.
    pub profits: Vec<ProfitPoint>,
    /// Why something of this is missing, and how much more data it takes.
    pub data_do_not_suffice: Vec<String>,
    /// How much more would tell k to within a quarter of itself; `None` where it is known so well, or nothing was quoted.
    pub wanted: Option<WantedLine>,
    /// What the picture is drawn from.
    #[serde(skip)]
    pub(super) drawn: DrawnSide,
}

/// Was a session filled, and was that to be expected?
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionLine {
    /// `S39`.
    pub session: String,
    /// It is history from an old database.
    pub imported: bool,
    /// Whether it was filled at all.
    pub filled: bool,
    /// Fills.
    pub fills: u64,
    /// Hours of ledgers.
    pub hours: Option<Dec>,
    /// Fills an hour, with Garwood's exact interval.
    pub fills_per_hour: Option<Figure>,
    /// Fills that its quotes were in place for, of known distance.
    pub placed_fills: Option<u64>,
    /// Fills expected by the law of the other sessions, or of all where theirs do not suffice.
    pub expected_fills: Option<Dec>,
    /// The same with the interval of the law's rate where its quotes stood on average.
    pub expected_between: Option<Figure>,
    /// True when the law is that of the other sessions alone.
    pub law_of_others: Option<bool>,
    /// Chance of no fill.
    pub chance_of_none: Option<Dec>,
    /// Chance of so few or fewer.
    pub chance_of_so_few: Option<Dec>,
    /// Chance of so many or more.
    pub chance_of_so_many: Option<Dec>,
    /// What could not be used.
    pub notes: Vec<String>,
}

/// A recorded market that was studied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordingLine {
    /// Its file.
    pub file: String,
    /// Ledgers with a price before them to measure from.
    pub ledgers: u64,
    /// Hours of them.
    pub hours: Option<Dec>,
    /// Sides of ledgers in which something was traded.
    pub traded: u64,
    /// Half of the usual spread: nearer than this not all who would have traded are seen.
    pub floor_bps: Option<Dec>,
    /// Ledgers that had two sides and no price that could be trusted, by the reason.
    pub without_price: BTreeMap<&'static str, u64>,
    /// What the current offsets would have met, level by level.
    pub current: Vec<CurrentLine>,
    /// Why there is none of that.
    pub no_current: Option<String>,
}

impl RecordingLine {
    pub(super) fn new(file: String, observed: &Observed, without_price: BTreeMap<&'static str, u64>) -> RecordingLine {
        RecordingLine {
            file,
            ledgers: observed.ledgers,
            hours: digits(observed.ledgers_s / 3_600.0),
            traded: observed.fills,
            floor_bps: observed.depths.as_ref().and_then(|depths| digits(depths.floor_bps)),
            without_price,
            current: Vec::new(),
            no_current: None,
        }
    }
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Study {
    /// The recording, where the market is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingLine>,
    /// True when both a law and a recommendation could be made.
    pub data_suffice: bool,
    /// What distances are measured from.
    pub measured_from: String,
    /// The offsets that are configured now, or were in the latest session: bid, ask.
    pub current_offsets_bps: Option<(String, String)>,
    /// Whose offsets these are.
    pub current_offsets_of: Option<String>,
    /// Mean seconds of a ledger.
    pub ledger_s: Option<Dec>,
    /// Fees an hour over the sessions of this engine, in RLUSD.
    pub fees_rlusd_per_hour: Option<Dec>,
    /// The sessions.
    pub sessions: Vec<SessionLine>,
    /// Fills by distance, both sides.
    pub fills_by_distance: Vec<BucketLine>,
    /// Gains after fills, by distance, both sides.
    pub mark_outs: Vec<MarkOutLine>,
    /// Both sides together, then each.
    pub sides: Vec<SideStudy>,
    /// What to do next, where something is missing.
    pub next_steps: Vec<String>,
    /// What the picture is drawn from.
    #[serde(skip)]
    pub(super) drawn: Drawn,
}

/// The floats behind the picture's points.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Drawn {
    pub(super) buckets: Vec<Bucket>,
}

impl Eq for Drawn {}

/// The floats behind a side's lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DrawnSide {
    pub(super) fit: Option<Fit>,
    pub(super) economics: Option<Economics>,
    pub(super) advice: Option<Advice>,
    pub(super) current: Option<f64>,
}

impl Eq for DrawnSide {}

impl Study {
    /// Studies the sessions.
    pub(super) fn new(input: &Input) -> Study {
        let sessions = &input.sessions;
        let own = || sessions.iter().filter(|session| !session.imported).map(|session| &session.observed);
        let (ledgers, ledgers_s) =
            own().fold((0, 0.0), |(count, time), observed| (count + observed.ledgers, time + observed.ledgers_s));
        let ledger_s = (ledgers > 0).then(|| ledgers_s / ledgers as f64);
        let terms = with_renewals(&input.terms, own(), input.recording.is_some());
        let paid = || Some(input.terms.fees.get() as f64 / 1e6 * to_float(input.terms.mark?));
        let fees_per_hour = paid().filter(|_| ledgers_s > 0.0 && input.recording.is_none());
        let by_distance = buckets(&exposures_of(sessions, |_| true, None), &EDGES);
        let sides: Vec<SideStudy> = [None, Some(Side::Bid), Some(Side::Ask)]
            .into_iter()
            .map(|side| SideStudy::new(side, sessions, &terms))
            .collect();
        let both = sides.first();
        let law = both.and_then(|both| both.drawn.fit);
        let mut recording = input.recording.clone();
        for line in recording.iter_mut().flat_map(|recording| &mut recording.current) {
            line.expect(law.as_ref());
        }
        Study {
            data_suffice: both.is_some_and(|both| both.drawn.advice.is_some()),
            measured_from: input.measured_from.clone(),
            current_offsets_bps: input.terms.offsets.clone(),
            current_offsets_of: input.terms.offsets.as_ref().map(|_| input.terms.offsets_of.clone()),
            ledger_s: ledger_s.and_then(digits),
            fees_rlusd_per_hour: fees_per_hour.and_then(|fees| digits(fees / ledgers_s * 3_600.0)),
            // A market's trades are no fills of anybody's.
            sessions: match recording {
                Some(_) => Vec::new(),
                None => sessions.iter().map(|session| SessionLine::new(session, sessions)).collect(),
            },
            fills_by_distance: by_distance.iter().map(|bucket| bucket_line(bucket, ledger_s)).collect(),
            mark_outs: mark_out_lines(sessions),
            next_steps: both.map_or_else(Vec::new, |both| next_steps(both, recording.is_some())),
            recording,
            sides,
            drawn: Drawn { buckets: by_distance },
        }
    }
}

/// Of sessions the renewals are what their fees paid for beyond the fills.
fn with_renewals<'a>(terms: &Terms, own: impl Iterator<Item = &'a Observed>, recorded: bool) -> Terms {
    let mut terms = terms.clone();
    if recorded || terms.transactions == 0 {
        return terms;
    }
    let (mut fills, mut offers_s) = (0_u64, 0.0);
    for observed in own {
        fills = fills.saturating_add(observed.fills);
        offers_s += observed.exposures.iter().map(|(_, each)| each.time_s).sum::<f64>();
    }
    let renewals = terms.transactions.saturating_sub(fills) as f64;
    terms.renewals_per_hour = (offers_s > 0.0).then(|| renewals / offers_s * 3_600.0);
    terms
}

/// What an operator does where something is missing.
fn next_steps(both: &SideStudy, recorded: bool) -> Vec<String> {
    let Some(wanted) = &both.wanted else {
        let nothing = match recorded {
            true => "record the market for longer: neo record FILE --for 24h",
            false => "run a session, which records quotes and prices: neo run --for 2h",
        };
        let none = both.law.is_none();
        return none.then(|| nothing.to_string()).into_iter().collect();
    };
    let least = if wanted.at_least { "at least " } else { "about " };
    let shown = |value: Option<Dec>| match value.map(|value| value.round_digits(3, Rounding::HalfEven)) {
        Some(Ok(value)) => value.to_string(),
        Some(Err(_)) | None => "-".to_string(),
    };
    let (hours, fills) = (shown(wanted.more_hours), shown(wanted.fills));
    let aim = format!("k to within {:.0} %", 100.0 * WIDTH);
    vec![match (&wanted.levels_bps, recorded) {
        (_, true) => {
            let each = wanted.more_hours.and_then(|hours| digits(to_float(hours) / 2.0));
            format!("for {aim}: record {least}{} hours more ({fills} trades in all)", shown(each))
        }
        (Some((near, far)), false) => {
            let one = |side| format!("--set 'quote.{side}_offsets_bps=[{}, {}]'", shown(*near), shown(*far));
            let each = wanted.more_hours.and_then(|hours| digits(to_float(hours) / 2.0));
            format!(
                "for {aim}: {least}{} hours of both sides at {} and {} bps ({fills} fills in all): neo run --set quote.levels=2 {} {}",
                shown(each),
                shown(*near),
                shown(*far),
                one("bid"),
                one("ask")
            )
        }
        (None, false) => {
            format!("for {aim}: {least}{hours} hours more of offers as they stand now ({fills} fills in all)")
        }
    }]
}

/// The law of quotes that stood, or of how far a market's trades reached.
fn law_of(sessions: &[Session], side: Option<Side>) -> Result<Fit, Shortage> {
    match sessions {
        [Session { observed: Observed { depths: Some(depths), .. }, .. }] => depths.law(side),
        _ => fit(&exposures_of(sessions, |_| true, side)),
    }
}

/// The part of an offer that a fill takes; of a recording that at a distance.
fn share_of(sessions: &[Session], side: Option<Side>, distance_bps: f64, size: Option<f64>) -> Option<Mean> {
    if let [Session { observed: Observed { depths: Some(depths), .. }, .. }] = sessions {
        return depths.share(side, distance_bps, size?);
    }
    let of = sessions.iter().flat_map(|session| &session.observed.shares);
    Mean::of(&of.filter(|(of, _)| side.is_none_or(|side| *of == side)).map(|(_, share)| *share).collect::<Vec<_>>())
}

fn wanted_of(sessions: &[Session], side: Option<Side>, fit: Option<&Fit>) -> Option<Wanted> {
    match sessions {
        [Session { observed: Observed { depths: Some(depths), .. }, .. }] => depths.wanted(side),
        _ => wanted(&exposures_of(sessions, |_| true, side), fit),
    }
}

fn exposures_of(sessions: &[Session], which: impl Fn(&Session) -> bool, side: Option<Side>) -> Vec<Exposure> {
    let of = sessions.iter().filter(|session| which(session)).flat_map(|session| &session.observed.exposures);
    of.filter(|(of, _)| side.is_none_or(|side| *of == side)).map(|(_, exposure)| *exposure).collect()
}

fn mark_outs_of(sessions: &[Session], horizon: usize, side: Option<Side>) -> Vec<MarkOut> {
    let of = sessions.iter().filter_map(|session| session.observed.mark_outs.get(horizon)).flatten();
    of.filter(|(of, _)| side.is_none_or(|side| *of == side)).map(|(_, mark_out)| *mark_out).collect()
}

/// An edge of a range; the outermost are without end.
fn edge(bps: f64) -> Option<Dec> {
    if bps.abs() >= 1e8 { None } else { digits(bps) }
}

fn bucket_line(bucket: &Bucket, ledger_s: Option<f64>) -> BucketLine {
    BucketLine {
        from_bps: edge(bucket.from_bps),
        to_bps: edge(bucket.to_bps),
        quoted_h: digits(bucket.exposed_s / 3_600.0),
        fills: bucket.fills,
        fills_per_hour: figure(bucket.fills_per_hour),
        chance_per_ledger: ledger_s.map(|time_s| figure(bucket.chance(time_s))),
    }
}

fn mark_out_lines(sessions: &[Session]) -> Vec<MarkOutLine> {
    let mut lines = Vec::new();
    for (at, ledgers) in HORIZONS.into_iter().enumerate() {
        for (from, to, mean) in mark_outs_by_distance(&mark_outs_of(sessions, at, None), &EDGES) {
            let gain_bps = figure(mean.estimate());
            lines.push(MarkOutLine { ledgers, from_bps: edge(from), to_bps: edge(to), fills: mean.count, gain_bps });
        }
    }
    lines
}

/// A law with what its offers are up against, and the offset that follows.
type Found = (Fit, Economics, Result<Advice, Shortage>);

fn found_of(side: Option<Side>, sessions: &[Session], terms: &Terms, fit: &Fit, cost: Cost) -> Found {
    // Where an offer would stand if it were filled whole: what is reached there is taken.
    let first = advise(fit, &terms.economics(cost, None)).map_or(0.0, |advice| advice.offset_bps.value);
    let economics = terms.economics(cost, share_of(sessions, side, first, terms.size()));
    (*fit, economics, advise(fit, &economics))
}

impl SideStudy {
    fn new(side: Option<Side>, sessions: &[Session], terms: &Terms) -> SideStudy {
        let law = law_of(sessions, side);
        let of_reach = sessions.iter().any(|session| session.observed.depths.is_some());
        let cost = Cost::of(&mark_outs_of(sessions, COST_HORIZON, side), of_reach);
        let both = law.as_ref().ok().zip(cost.as_ref().ok());
        let found = both.map(|(law, cost)| found_of(side, sessions, terms, law, *cost));
        let none_earns = found.as_ref().and_then(|(.., advice)| advice.as_ref().err());
        let missing = [law.as_ref().err(), cost.as_ref().err(), none_earns].into_iter().flatten();
        let advice = found.as_ref().and_then(|(.., advice)| advice.as_ref().ok()).copied();
        let economics = found.as_ref().map(|(_, economics, _)| *economics);
        let share = economics.map(|economics| economics.share).filter(|share| share.count > 0);
        let fit = law.as_ref().ok().copied();
        let profits =
            fit.zip(economics).map_or_else(Vec::new, |(fit, with)| profits(&fit, &with, side, sessions, terms));
        let offset = side.and_then(|side| terms.offset(side));
        let current = fit.zip(economics).zip(offset);
        SideStudy {
            side: side.map_or("both", Side::as_str),
            law: fit.map(|law| Law {
                a_per_hour: figure(law.a().times(3_600.0)),
                k_per_bps: figure(law.k()),
                fills: law.fills,
            }),
            adverse_bps: cost.as_ref().ok().map(|cost| figure(cost.estimate())),
            adverse_slope: cost.as_ref().ok().and_then(|cost| digits(cost.slope)),
            filled_share: share.map(|share| figure(share.estimate())),
            fee_bps: economics.filter(|with| with.fee_bps > 0.0).and_then(|with| digits(with.fee_bps)),
            renewals_per_hour: terms.renewals_per_hour.and_then(digits),
            recommended_offset_bps: advice.map(|advice| figure(advice.offset_bps)),
            recommended_setting: side.zip(advice).and_then(|(side, advice)| setting(side, &advice, terms)),
            recommended_profit_bps_per_hour: advice.map(|advice| figure(advice.profit_bps_per_hour)),
            recommended_fills_per_hour: advice.and_then(|advice| digits(advice.fills_per_hour)),
            nearest_seen_bps: fit
                .zip(advice)
                .and_then(|(fit, advice)| digits(fit.seen_from_bps.filter(|from| *from >= advice.offset_bps.value)?)),
            earns: advice.map(|advice| advice.profit_bps_per_hour.low > 0.0),
            current: current.map(|((fit, with), offset)| current_offset(&fit, &with, offset, advice.as_ref())),
            profits,
            data_do_not_suffice: missing.map(Shortage::to_string).collect(),
            wanted: wanted_of(sessions, side, fit.as_ref()).as_ref().map(WantedLine::new),
            drawn: DrawnSide { fit, economics, advice, current: offset.map(to_float) },
        }
    }
}

/// The engine rounds prices away from the middle, by half a step on average.
fn setting(side: Side, advice: &Advice, terms: &Terms) -> Option<String> {
    let nearer = (advice.offset_bps.value - terms.tick_bps().unwrap_or(0.0) / 2.0).max(0.0);
    let Ok(offset) = to_amount(nearer, 2, Rounding::HalfEven) else { return None };
    Some(format!("quote.{}_offset_bps={offset}", side.as_str()))
}

fn current_offset(fit: &Fit, with: &Economics, offset_bps: Dec, advice: Option<&Advice>) -> CurrentOffset {
    let offset = to_float(offset_bps);
    CurrentOffset {
        offset_bps,
        fills_per_hour: figure(fit.rate(offset).times(3_600.0)),
        profit_bps_per_hour: figure(profit_per_hour(fit, with, offset)),
        within_the_interval: advice.is_some_and(|advice| advice.offset_bps.holds(offset)),
    }
}

/// Offsets from the cost of a fill to where little is left of the profit.
pub(super) fn curve(fit: &Fit, with: &Economics) -> Vec<f64> {
    let step = 4.0 / fit.law().k() / f64::from(CURVE);
    (0..=CURVE).map(|at| with.cost.mean.value.max(0.0) + f64::from(at) * step).collect()
}

fn profits(fit: &Fit, with: &Economics, side: Option<Side>, sessions: &[Session], terms: &Terms) -> Vec<ProfitPoint> {
    let point = |offset: f64| {
        let profit = profit_per_hour(fit, with, offset);
        let rlusd = terms.offer_rlusd().map(|offer| figure(profit.times(offer / 10_000.0)));
        let counted = match sessions {
            [Session { observed: Observed { depths: Some(depths), .. }, .. }] => {
                terms.size().and_then(|size| depths.counted(side, offset, size))
            }
            _ => None,
        };
        let fees = |value: f64| value - with.fee_bps * (3_600.0 * fit.law().rate(offset) + with.renewals_per_hour);
        let after = counted.map(|Estimate { value, low, high }| Estimate {
            value: fees(value),
            low: fees(low),
            high: fees(high),
        });
        ProfitPoint {
            offset_bps: digits(offset),
            profit_bps_per_hour: figure(profit),
            profit_rlusd_per_hour: rlusd,
            counted_bps_per_hour: after.map(figure),
        }
    };
    curve(fit, with).into_iter().map(point).collect()
}

/// The rate's interval where quotes stood on average, as a share of the expected fills.
pub(super) fn between(law: &Fit, exposures: &[Exposure], expected: f64) -> Estimate {
    let time = exposures.iter().map(|each| each.time_s).sum::<f64>();
    let mean = exposures.iter().map(|each| each.distance_bps * each.time_s).sum::<f64>() / time;
    let rate = law.rate(mean);
    rate.times(expected / rate.value)
}

impl SessionLine {
    fn new(session: &Session, all: &[Session]) -> SessionLine {
        let observed = &session.observed;
        let own = exposures_of(std::slice::from_ref(session), |_| true, None);
        let others = fit(&exposures_of(all, |other| other.number != session.number, None));
        let law_of_others = others.is_ok();
        let Ok(law) = others.or_else(|_| fit(&exposures_of(all, |_| true, None))) else {
            return SessionLine::counted(session);
        };
        if own.is_empty() {
            return SessionLine::counted(session);
        }
        let told = confirm(&law.law(), &own);
        SessionLine {
            placed_fills: Some(told.fills),
            expected_fills: digits(told.expected),
            expected_between: Some(figure(between(&law, &own, told.expected))),
            law_of_others: Some(law_of_others),
            chance_of_none: digits(told.chance_of_none),
            chance_of_so_few: digits(told.chance_of_so_few),
            chance_of_so_many: digits(told.chance_of_so_many),
            filled: observed.fills > 0,
            ..SessionLine::counted(session)
        }
    }

    /// Without a law to hold it against.
    fn counted(session: &Session) -> SessionLine {
        let observed = &session.observed;
        let hours = observed.ledgers_s / 3_600.0;
        let known = hours > 0.0;
        SessionLine {
            session: format!("S{}", session.number),
            imported: session.imported,
            filled: observed.fills > 0,
            fills: observed.fills,
            hours: digits(hours).filter(|_| known),
            fills_per_hour: known.then(|| figure(poisson_interval(observed.fills).times(1.0 / hours))),
            placed_fills: None,
            expected_fills: None,
            expected_between: None,
            law_of_others: None,
            chance_of_none: None,
            chance_of_so_few: None,
            chance_of_so_many: None,
            notes: observed.notes.clone(),
        }
    }
}
