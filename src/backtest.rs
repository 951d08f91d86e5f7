//! `neo backtest`: many configurations over the same market, on all cores of the machine.
//!
//! [`grid`] says which, [`drive`] runs one of them in one thread, [`outcome`] is what it came to, [`jobs`] runs them all,
//! [`table`] and [`picture`] show them. No record is written.

pub mod drive;
pub mod grid;
pub mod jobs;
pub mod outcome;
mod picture;
pub mod scenarios;
pub mod table;

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use neo_sim::{Market, Origin, Span};
use neo_store::record::Mode;
use serde::Serialize;

use crate::calibrate::write_whole;
use crate::cli::{BacktestArgs, settings_of};
use crate::config::{self, Config, ConfigErrors};
use crate::exit::ExitCode;
use crate::live::Refusal;
use crate::output::Out;
use crate::progress::Bar;
use crate::replay;
use grid::{Axis, Variant};
use jobs::{Job, Work};
use table::{Row, SeedOutcome};

/// How long a generated market is traded where nothing else is said.
const USUAL: Duration = Duration::from_secs(6 * 3_600);

/// What is traded on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ground {
    /// The file, the scenario, or `[sim]`.
    pub market: String,
    /// Seconds of the ledger's time that are traded for.
    pub trade_for_s: u32,
    /// Ledgers of a recording, and transactions of the pair in it.
    pub recorded: Option<Recorded>,
}

/// What a recording holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Ledgers from the first of which both sides of the book are known.
    pub ledgers: u64,
    /// Transactions of the pair in them.
    pub transactions: u64,
    /// Ledgers that nothing can trade in, because something is missing.
    pub gaps: u64,
}

/// Everything, as `--json` prints it: the same for the same input, to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tested {
    /// What was traded on.
    #[serde(flatten)]
    pub ground: Ground,
    /// The configurations, the best first.
    pub rows: Vec<Row>,
}

/// Tries all configurations and shows what they came to.
///
/// # Errors
/// A market that cannot be read, a run that failed, and what standard output or a file refused.
pub fn run(args: &BacktestArgs, out: &mut Out) -> Result<ExitCode> {
    let plan = plan(args).map_err(|text| anyhow::Error::from(Refusal { exit: ExitCode::Usage, text }))?;
    let base = Base::of(args)?;
    let mut bar = Bar::stderr();
    bar.draw("reading the market", 0, None);
    let (market, ground) = ground(args, &base)?;
    let jobs = jobs_of(&plan, &base)?;
    let threads = args.jobs.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    let begun = Instant::now();
    let (mut done, of) = (0, jobs.len() as u64);
    bar.draw(&format!("run 1 of {of}"), 0, Some(of));
    let came = jobs::all(&jobs, market.as_ref(), ground.trade_for_s, threads, |_, _| {
        done += 1;
        bar.draw(&format!("run {} of {of}", (done + 1).min(of)), done, Some(of));
    });
    bar.clear().context("the progress bar")?;
    let (outcomes, work) = came?;
    let mut rows = rows(&plan, outcomes)?;
    table::sort(&mut rows);
    if let Some(file) = &args.out {
        write_whole(file, "--out", &table::csv(&rows))?;
    }
    if let Some(file) = &args.picture {
        let svg = picture::svg(&plan.axes, args.paired.as_deref(), &rows).map_err(|error| anyhow!(error))?;
        write_whole(file, "--picture", &svg)?;
    }
    if args.json {
        out.json_line(&Tested { ground, rows })?;
    } else {
        for line in shown(&ground, &rows, &work, begun.elapsed()) {
            out.line(&line)?;
        }
    }
    Ok(ExitCode::Clean)
}

/// What is asked for, as far as it can be wrong without a look at any file.
struct Plan {
    axes: Vec<Axis>,
    variants: Vec<Variant>,
    seeds: Option<Vec<u64>>,
}

fn plan(args: &BacktestArgs) -> Result<Plan, String> {
    if args.file.is_some() && args.scenario.is_some() {
        return Err("give a FILE or a --scenario, not both".to_string());
    }
    if args.quotes.is_some() && args.file.is_none() {
        return Err("--quotes belongs to a FILE of trades (time,side,price,size)".to_string());
    }
    if args.seeds.is_some() && args.file.is_some() {
        return Err("--seeds: a recording happened once; seeds make generated markets, with --scenario".to_string());
    }
    let axes = args.grid.iter().map(|text| Axis::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let variants = grid::variants(&axes, args.paired.as_deref())?;
    let seeds = args.seeds.as_deref().map(grid::seeds).transpose()?;
    let runs = variants.len().saturating_mul(seeds.as_ref().map_or(1, Vec::len));
    if runs > grid::MOST_RUNS {
        return Err(grid::too_many(runs));
    }
    if args.picture.is_some() {
        picture::can_show(&axes, args.paired.as_deref())?;
    }
    Ok(Plan { axes, variants, seeds })
}

/// The settings that all runs have, and the configuration that they make.
struct Base<'a> {
    args: &'a BacktestArgs,
    settings: Vec<(String, String)>,
    config: Config,
}

impl<'a> Base<'a> {
    fn of(args: &'a BacktestArgs) -> Result<Base<'a>> {
        let mut settings = vec![("session.speed".to_string(), "max".to_string())];
        if let Some(file) = &args.file {
            let file = std::path::absolute(file).context("the market's path")?;
            settings.push(("session.mode".to_string(), Mode::Replay.to_string()));
            settings.push(("sim.recording".to_string(), file.display().to_string()));
            if let Some(quotes) = &args.quotes {
                let quotes = std::path::absolute(quotes).context("the quotes' path")?;
                settings.push(("sim.recording_quotes".to_string(), quotes.display().to_string()));
            }
        } else {
            settings.push(("session.mode".to_string(), Mode::Sim.to_string()));
        }
        if let Some(name) = &args.scenario {
            settings.extend(scenarios::settings(name)?);
        }
        settings.extend(settings_of(&args.set).map_err(|error| anyhow!(error))?);
        let config = config::load(args.config.as_deref(), &settings)?.config;
        if config.price.outside_required {
            bail!(
                "price.outside_required is set, and a backtest has no outside price: nothing would be quoted; say --set \
                 price.outside_required=false"
            );
        }
        Ok(Base { args, settings, config })
    }

    /// The configuration of a variant, on the market of all of them.
    fn with(&self, variant: &Variant) -> Result<Config, ConfigErrors> {
        let settings: Vec<(String, String)> = self.settings.iter().chain(variant).cloned().collect();
        let mut config = config::load(self.args.config.as_deref(), &settings)?.config;
        config.sim.issuer = self.config.sim.issuer;
        Ok(config)
    }
}

/// Reads the market, where it is a file.
fn ground(args: &BacktestArgs, base: &Base<'_>) -> Result<(Option<Market>, Ground)> {
    let asked = args.duration.or(base.config.session.duration);
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let Some(origin) = Origin::of(&base.config.sim) else {
        let market = args.scenario.clone().unwrap_or_else(|| "[sim]".to_string());
        return Ok((None, Ground { market, trade_for_s: seconds(asked.unwrap_or(USUAL)), recorded: None }));
    };
    replay::belongs(&mut base.config.clone(), &origin)?;
    let market = Market::read(&origin)?;
    if let Some(why) = market.cut() {
        Out::stderr().line(&format!("warning: the recording cannot be read to its end: {why}"))?;
    }
    replay::tell_holes(market.holes())?;
    let span = market.span(replay::tail(&base.config)?);
    let trade_for_s = seconds(replay::trading_time(asked, &span)?);
    let Span { ledgers, transactions, gaps, .. } = span;
    let recorded = Some(Recorded { ledgers, transactions, gaps });
    Ok((Some(market), Ground { market: origin.file.display().to_string(), trade_for_s, recorded }))
}

fn jobs_of(plan: &Plan, base: &Base<'_>) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for variant in &plan.variants {
        let named: Vec<String> = variant.iter().map(|(key, value)| format!("{}={value}", grid::short(key))).collect();
        let name = if named.is_empty() { "the configuration".to_string() } else { named.join(", ") };
        let config = base.with(variant).with_context(|| name.clone())?;
        for seed in plan.seeds.clone().unwrap_or_else(|| vec![config.session.seed]) {
            jobs.push(Job { config: config.clone(), seed, name: format!("{name}, seed {seed}") });
        }
    }
    Ok(jobs)
}

fn rows(plan: &Plan, outcomes: Vec<outcome::Outcome>) -> Result<Vec<Row>> {
    let seeds = plan.seeds.clone().unwrap_or_else(|| vec![0]);
    let mut outcomes = outcomes.into_iter();
    let mut rows = Vec::new();
    for variant in &plan.variants {
        let of_variant = outcomes.by_ref().take(seeds.len()).zip(&seeds);
        let all = of_variant.map(|(outcome, seed)| SeedOutcome { seed: *seed, outcome }).collect();
        rows.push(Row::new(variant.clone(), all)?);
    }
    Ok(rows)
}

fn shown(ground: &Ground, rows: &[Row], work: &Work, elapsed: Duration) -> Vec<String> {
    let mut lines = table::lines(rows);
    let length = humantime::format_duration(Duration::from_secs(u64::from(ground.trade_for_s)));
    lines.push(String::new());
    lines.push(format!("market: {}, {length} each", ground.market));
    if let Some(Recorded { ledgers, transactions, gaps }) = ground.recorded {
        lines.push(format!(
            "{ledgers} ledgers, {transactions} transactions of the pair, {gaps} ledgers without a whole book"
        ));
    }
    lines.push(
        "result: what is owned at the end beyond what was owned first, at the last price, fees paid; inventory: XRP away \
         from the start"
            .to_string(),
    );
    let seconds = |duration: Duration| duration.as_secs_f64();
    let total = seconds(work.total()).max(1e-9);
    let share = |part: Duration| seconds(part) / total * 100.0;
    lines.push(format!(
        "{} ledgers in {:.1} s: {:.0} a second on each core; of it {:.0} % the ledger, {:.0} % the feed, {:.0} % the orders",
        work.ledgers,
        seconds(elapsed),
        work.ledgers as f64 / total,
        share(work.spent.node),
        share(work.spent.feed),
        share(work.spent.orders),
    ));
    lines
}
