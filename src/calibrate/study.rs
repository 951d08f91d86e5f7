//! What the observations say: the figures of `neo calibrate`, as `--json` prints them. Pure.
//!
//! Inside it computes with floats, as `market::model` does; each figure that leaves is a decimal of six digits.

use neo_market::model::calibration::{
    Advice, Bucket, Exposure, Fit, MarkOut, Shortage, adverse_bps, advise, buckets, confirm, fit,
    mark_outs_by_distance, profit_per_hour,
};
use neo_market::model::statistics::{Estimate, Mean, poisson_interval};
use neo_market::model::{to_amount, to_float};
use neo_market::{Dec, Drops, Rounding, Side};
use neo_store::record::{Flow, FlowCause};
use serde::Serialize;

use super::observe::{HORIZONS, Observed};

/// Ranges of distance, in basis points.
const EDGES: [f64; 13] = [-1e9, 0.0, 2.0, 5.0, 8.0, 12.0, 16.0, 20.0, 30.0, 50.0, 80.0, 120.0, 1e9];
/// The horizon that an offer's cost is taken from: five ledgers.
const COST_HORIZON: usize = 1;
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
    pub(super) terms: Terms,
}

/// What turns basis points into RLUSD.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    /// XRP of one offer.
    pub(super) size_xrp: Option<Dec>,
    /// RLUSD for one XRP.
    pub(super) mark: Option<Dec>,
    /// The configured offsets: bid, ask.
    pub(super) offsets: Option<(String, String)>,
    /// Fees paid, in drops.
    pub(super) fees: Drops,
}

impl Terms {
    pub(super) fn add_flow(&mut self, flow: &Flow) {
        if flow.cause == FlowCause::Fee {
            // Fees are negative; a sum beyond all XRP there is cannot be.
            self.fees = Drops::new(self.fees.get().saturating_sub(flow.xrp.get()));
        }
    }

    /// Reads a stored configuration leniently: an older engine's has other keys beside these.
    pub(super) fn of_config(&mut self, config: &str) {
        let Ok(config) = config.parse::<toml::Table>() else { return };
        let Some(quote) = config.get("quote") else { return };
        let text = |key: &str| match quote.get(key)? {
            toml::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let size: Option<Result<Dec, _>> = text("size_xrp").map(|text| text.parse());
        if let Some(Ok(size)) = size {
            self.size_xrp = Some(size);
        }
        self.offsets = crate::offsets::fixed(quote);
    }

    /// RLUSD of one offer.
    fn offer_rlusd(&self) -> Option<f64> {
        Some(to_float(self.size_xrp?) * to_float(self.mark?))
    }

    fn fees_rlusd(&self) -> Option<f64> {
        Some(self.fees.get() as f64 / 1e6 * to_float(self.mark?))
    }
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

fn figure(estimate: Estimate) -> Figure {
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
    /// What one offer there earns an hour, in basis points of its value, before fees.
    pub profit_bps_per_hour: Figure,
    /// What it earns in RLUSD, half of the fees taken off; `None` where the size or the price is not known.
    pub profit_rlusd_per_hour: Option<Figure>,
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

/// What one side says, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SideStudy {
    /// `both`, `bid` or `ask`.
    pub side: &'static str,
    /// The law; `None` where the data do not suffice.
    pub law: Option<Law>,
    /// What the mid moves against us within five ledgers of a fill, in basis points.
    pub adverse_bps: Option<Figure>,
    /// The offset that earns most.
    pub recommended_offset_bps: Option<Figure>,
    /// What it earns an hour, in basis points of one offer's value, before fees.
    pub recommended_profit_bps_per_hour: Option<Figure>,
    /// How often one offer there is filled in an hour.
    pub recommended_fills_per_hour: Option<Dec>,
    /// Profit by offset.
    pub profits: Vec<ProfitPoint>,
    /// Why something of this is missing, and how much more data it takes.
    pub data_do_not_suffice: Vec<String>,
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
    /// Ledgers with a middle before them.
    pub ledgers: u64,
    /// Hours of them.
    pub hours: Option<Dec>,
    /// Sides of ledgers in which something was traded.
    pub traded: u64,
    /// Half of the usual spread: nearer than this not all who would have traded are seen.
    pub floor_bps: Option<Dec>,
}

impl RecordingLine {
    pub(super) fn new(file: String, observed: &Observed) -> RecordingLine {
        RecordingLine {
            file,
            ledgers: observed.ledgers,
            hours: digits(observed.ledgers_s / 3_600.0),
            traded: observed.fills,
            floor_bps: observed.depths.as_ref().and_then(|depths| digits(depths.floor_bps)),
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
    /// The offsets of the latest session: bid, ask.
    pub current_offsets_bps: Option<(String, String)>,
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
    /// What the picture is drawn from.
    #[serde(skip)]
    pub(super) drawn: Drawn,
}

/// The floats behind the picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Drawn {
    pub(super) buckets: Vec<Bucket>,
    pub(super) fit: Option<Fit>,
    pub(super) adverse: Option<Mean>,
    pub(super) advice: Option<Advice>,
}

impl Eq for Drawn {}

impl Study {
    /// Studies the sessions.
    pub(super) fn new(input: &Input) -> Study {
        let sessions = &input.sessions;
        let own = || sessions.iter().filter(|session| !session.imported).map(|session| &session.observed);
        let (ledgers, ledgers_s) =
            own().fold((0, 0.0), |(count, time), observed| (count + observed.ledgers, time + observed.ledgers_s));
        let ledger_s = (ledgers > 0).then(|| ledgers_s / ledgers as f64);
        let fees_per_hour = input.terms.fees_rlusd().filter(|_| ledgers_s > 0.0).map(|fees| fees / ledgers_s * 3_600.0);
        let exposures = exposures_of(sessions, |_| true, None);
        let by_distance = buckets(&exposures, &EDGES);
        let money = (input.terms.offer_rlusd(), fees_per_hour);
        let sides: Vec<SideStudy> = [None, Some(Side::Bid), Some(Side::Ask)]
            .into_iter()
            .map(|side| SideStudy::new(side, sessions, money))
            .collect();
        let adverse = adverse_bps(&mark_outs_of(sessions, COST_HORIZON, None));
        let law = law_of(sessions, None);
        let advice = law.as_ref().ok().zip(adverse.as_ref().ok()).map(|(law, adverse)| advise(law, adverse));
        Study {
            data_suffice: advice.is_some(),
            current_offsets_bps: input.terms.offsets.clone(),
            ledger_s: ledger_s.and_then(digits),
            fees_rlusd_per_hour: fees_per_hour.and_then(digits),
            // A market's trades are no fills of anybody's.
            sessions: match input.recording {
                Some(_) => Vec::new(),
                None => sessions.iter().map(|session| SessionLine::new(session, sessions)).collect(),
            },
            recording: input.recording.clone(),
            fills_by_distance: by_distance.iter().map(|bucket| bucket_line(bucket, ledger_s)).collect(),
            mark_outs: mark_out_lines(sessions),
            sides,
            drawn: Drawn { buckets: by_distance, fit: law.ok(), adverse: adverse.ok(), advice },
        }
    }
}

/// The law of quotes that stood, or of how far a market's trades reached.
fn law_of(sessions: &[Session], side: Option<Side>) -> Result<Fit, Shortage> {
    match sessions {
        [Session { observed: Observed { depths: Some(depths), .. }, .. }] => depths.law(side),
        _ => fit(&exposures_of(sessions, |_| true, side)),
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

impl SideStudy {
    fn new(side: Option<Side>, sessions: &[Session], money: (Option<f64>, Option<f64>)) -> SideStudy {
        let law = law_of(sessions, side);
        let adverse = adverse_bps(&mark_outs_of(sessions, COST_HORIZON, side));
        let missing = [law.as_ref().err(), adverse.as_ref().err()].into_iter().flatten().map(Shortage::to_string);
        let data_do_not_suffice = missing.collect();
        let both = law.as_ref().ok().zip(adverse.as_ref().ok());
        let advice = both.map(|(law, adverse)| advise(law, adverse));
        SideStudy {
            side: side.map_or("both", Side::as_str),
            law: law.as_ref().ok().map(|law| Law {
                a_per_hour: figure(law.a().times(3_600.0)),
                k_per_bps: figure(law.k()),
                fills: law.fills,
            }),
            adverse_bps: adverse.as_ref().ok().map(|mean| figure(mean.estimate())),
            recommended_offset_bps: advice.map(|advice| figure(advice.offset_bps)),
            recommended_profit_bps_per_hour: advice.map(|advice| figure(advice.profit_bps_per_hour)),
            recommended_fills_per_hour: advice.and_then(|advice| digits(advice.fills_per_hour)),
            profits: both.map_or_else(Vec::new, |(law, adverse)| profits(law, adverse, money)),
            data_do_not_suffice,
        }
    }
}

/// Offsets from the cost of a fill to where little is left of the profit.
pub(super) fn curve(fit: &Fit, adverse: &Mean) -> Vec<f64> {
    let step = 4.0 / fit.law().k() / f64::from(CURVE);
    (0..=CURVE).map(|at| adverse.value.max(0.0) + f64::from(at) * step).collect()
}

fn profits(fit: &Fit, adverse: &Mean, (offer, fees): (Option<f64>, Option<f64>)) -> Vec<ProfitPoint> {
    let point = |offset: f64| {
        let profit = profit_per_hour(fit, adverse, offset);
        // Both sides pay the fees; how many transactions there are does not depend on the offset.
        let rlusd = offer.zip(fees).map(|(offer, fees)| {
            let of = |bps: f64| bps / 10_000.0 * offer - fees / 2.0;
            figure(Estimate { value: of(profit.value), low: of(profit.low), high: of(profit.high) })
        });
        ProfitPoint { offset_bps: digits(offset), profit_bps_per_hour: figure(profit), profit_rlusd_per_hour: rlusd }
    };
    curve(fit, adverse).into_iter().map(point).collect()
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
            law_of_others: None,
            chance_of_none: None,
            chance_of_so_few: None,
            chance_of_so_many: None,
            notes: observed.notes.clone(),
        }
    }
}
