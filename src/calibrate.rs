//! `neo calibrate`: which offsets to quote with, from what sessions recorded, and how sure that is.

mod current;
mod imagined;
mod market;
mod observe;
mod picture;
mod study;
mod terms;
#[cfg(test)]
mod tests;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use neo_market::{Drops, ReferenceConfig};
use neo_sim::mirror::depth::{From, Reached, reached};
use neo_sim::{Market, Origin};
use neo_store::record::EndedAtSource;
use neo_store::{Reader, Recorded, SessionRow, StoreError};

use crate::cli::{CalibrateArgs, MeasureFrom, settings_of};
use crate::config::{self, Config};
use crate::exit::ExitCode;
use crate::export::refuse_precious;
use crate::live::Refusal;
use crate::output::Out;
use current::CurrentLine;
use imagined::Imagined;
use observe::{Observed, SessionRows, observe, observe_imported, seconds};
use study::{Input, RecordingLine, Session, Study};
use terms::Terms;

/// Calibrates from the sessions of `db`, or from a recording.
///
/// # Errors
/// [`StoreError`], a recording or configuration that cannot be read, and what standard output or the picture's file refused.
pub fn run(db: &Path, args: &CalibrateArgs, out: &mut Out) -> Result<ExitCode> {
    if let Some(file) = &args.recording {
        return tell(&of_market(file, args)?, args, out);
    }
    let reader = Reader::open(db)?;
    let rows = match chosen(&reader.sessions()?, args.sessions.as_deref()) {
        Ok(rows) => rows,
        Err(mistake) => {
            Out::stderr().line(&format!("error: {mistake}"))?;
            return Ok(ExitCode::Usage);
        }
    };
    let (measured, mut terms) = (args.from.unwrap_or(MeasureFrom::Reference), terms(&reader, &rows)?);
    let sessions = rows.iter().map(|row| session(&reader, row, measured)).collect::<Result<Vec<_>, _>>()?;
    if args.config.is_some() || !args.set.is_empty() {
        of_configuration(&mut terms, &configuration(args)?, &whose(args))?;
    }
    let measured_from = match measured {
        MeasureFrom::Mid => "the middle of the book".to_string(),
        MeasureFrom::Reference => "the price that quotes stood around, as each valuation has it".to_string(),
    };
    tell(&Study::new(&Input { sessions, recording: None, measured_from, terms }), args, out)
}

/// The effective configuration, with what `--set` says.
fn configuration(args: &CalibrateArgs) -> Result<Config> {
    let settings =
        settings_of(&args.set).map_err(|text| anyhow::Error::from(Refusal { exit: ExitCode::Usage, text }))?;
    Ok(config::load(args.config.as_deref(), &settings)?.config)
}

/// Whose offsets these are, in words.
fn whose(args: &CalibrateArgs) -> String {
    match (&args.config, args.set.is_empty()) {
        (Some(file), true) => format!("of {}", file.display()),
        (Some(file), false) => format!("of {} and --set", file.display()),
        (None, _) => "of the configuration".to_string(),
    }
}

fn of_configuration(terms: &mut Terms, config: &Config, whose: &str) -> Result<()> {
    terms.of_config(&config.to_toml().context("the configuration as text")?, whose);
    Ok(())
}

/// What a recorded market says, without a session.
fn of_market(file: &Path, args: &CalibrateArgs) -> Result<Study> {
    let config = configuration(args)?;
    let token = neo_sim::Scenario::default().token();
    let origin = Origin { file: file.to_path_buf(), quotes: args.quotes.clone(), token };
    let market = Market::read(&origin)?;
    if let Some(why) = market.cut() {
        Out::stderr().line(&format!("warning: the recording cannot be read to its end: {why}"))?;
    }
    // What is demanded of a live outside price, no recording can give.
    let price = ReferenceConfig { outside_required: false, ..config.price.clone() };
    let (from, measured_from) = match args.from.unwrap_or(MeasureFrom::Reference) {
        MeasureFrom::Mid => (From::Mid, "the middle of the book".to_string()),
        MeasureFrom::Reference => (From::Reference(&price), made_again(&price)),
    };
    let depth = reached(market.ledgers(), from)?;
    let observed = market::observe(&depth.ledgers);
    let mut recording = RecordingLine::new(file.display().to_string(), &observed, depth.without_price);
    let mut terms = Terms { mark: depth.ledgers.last().map(|last| last.from), ..Terms::default() };
    of_configuration(&mut terms, &config, &whose(args))?;
    match imagined::all(&depth.ledgers, &config.quote)? {
        Ok(found) => {
            of_recording(&mut terms, &depth.ledgers, &found)?;
            recording.current = found.into_iter().map(CurrentLine::new).collect();
        }
        Err(why) => recording.no_current = Some(why),
    }
    let sessions = vec![Session { number: 0, imported: false, observed }];
    Ok(Study::new(&Input { sessions, recording: Some(recording), measured_from, terms }))
}

/// The price of `[price]`, as far as a recording has what it is made of.
fn made_again(price: &ReferenceConfig) -> String {
    let missing = match price.source {
        neo_market::reference::PriceSource::Blend => {
            "; the pool's and an outside price are not: their weights go to the others"
        }
        _ => "",
    };
    format!(
        "the price that [price] source = \"{}\" makes of the recorded book and trades{missing}",
        price.source.as_str()
    )
}

/// Fees by what the ledgers asked for, transactions by the plan that moved the imagined offers.
fn of_recording(terms: &mut Terms, ledgers: &[Reached], found: &[Imagined]) -> Result<()> {
    let total = found.iter().fold((0_u64, 0_u64, 0.0), |(all, fills, hours), one| {
        (all.saturating_add(one.transactions), fills.saturating_add(one.fills), hours + one.hours())
    });
    let (transactions, fills, hours) = total;
    let mut asked = Drops::ZERO;
    for one in ledgers {
        asked = asked.add(one.base_fee)?;
    }
    // The mean fee, over as many transactions as there were ledgers.
    (terms.fees, terms.transactions) = (asked, ledgers.len() as u64);
    terms.renewals_per_hour = (hours > 0.0).then(|| transactions.saturating_sub(fills) as f64 / hours);
    Ok(())
}

fn tell(study: &Study, args: &CalibrateArgs, out: &mut Out) -> Result<ExitCode> {
    if let Some(file) = &args.picture {
        write_whole(file, "--picture", &picture::svg(study))?;
    }
    if args.read.json {
        out.json_line(study)?;
    } else {
        for line in text::lines(study) {
            out.line(&line)?;
        }
    }
    Ok(ExitCode::Clean)
}

/// The sessions that were asked for, of those there are; all by default.
pub(crate) fn chosen(all: &[SessionRow], asked: Option<&str>) -> Result<Vec<SessionRow>, String> {
    let last = all.last().map(|row| row.number);
    let Some(asked) = asked else { return Ok(all.to_vec()) };
    let mistake = |part: &str| format!("--sessions {part:?}: write S30..S38, S30, S3,S5..S7 or latest");
    let number = |text: &str| match text.trim().trim_start_matches(['S', 's']).parse::<i64>() {
        Ok(number) if number > 0 => Some(number),
        Ok(_) | Err(_) => None,
    };
    let mut ranges = Vec::new();
    for part in asked.split(',') {
        let range = match part.split_once("..") {
            Some((from, to)) => number(from).zip(number(to)),
            None if part.trim().eq_ignore_ascii_case("latest") => last.map(|last| (last, last)),
            None => number(part).map(|one| (one, one)),
        };
        let (from, to) = range.filter(|(from, to)| from <= to).ok_or_else(|| mistake(part))?;
        if !all.iter().any(|row| (from..=to).contains(&row.number)) {
            return Err(format!("--sessions {part:?}: the record has none of these; `neo sessions` lists them"));
        }
        ranges.push(from..=to);
    }
    Ok(all.iter().filter(|row| ranges.iter().any(|range| range.contains(&row.number))).cloned().collect())
}

fn session(reader: &Reader, row: &SessionRow, measured: MeasureFrom) -> Result<Session, StoreError> {
    fn records<T>(rows: Vec<Recorded<T>>) -> Vec<T> {
        rows.into_iter().map(|row| row.record).collect()
    }
    let number = row.number;
    let observed: Observed = match reader.imported_row(number)? {
        Some(old) => {
            let known = matches!(row.ended_at_source, Some(EndedAtSource::Backfilled | EndedAtSource::Imported));
            let length_s = row.ended_at.filter(|_| known).map(|end| seconds(row.started_at, end));
            observe_imported(&reader.imported_fills(number)?, &old, length_s)
        }
        None => observe(
            &SessionRows {
                orders: reader.orders(number)?.into_iter().map(|row| row.order).collect(),
                events: records(reader.order_events(number)?),
                fills: records(reader.fills(number)?),
                valuations: records(reader.valuations(number)?),
            },
            measured,
        ),
    };
    Ok(Session { number, imported: row.imported, observed })
}

/// What one offer is worth and what the fees were, for profits in RLUSD: of the latest session of this engine.
fn terms(reader: &Reader, rows: &[SessionRow]) -> Result<Terms, StoreError> {
    let mut terms = Terms::default();
    for row in rows.iter().filter(|row| !row.imported) {
        for flow in reader.flows(row.number)? {
            terms.add_flow(&flow.record);
        }
    }
    if let Some(row) = rows.iter().rev().find(|row| !row.imported) {
        terms.of_config(&row.config, "of the latest session");
        terms.mark = reader.last_valuation(row.number)?.and_then(|snapshot| snapshot.mark_price);
    }
    Ok(terms)
}

/// Writes a file whole or not at all: beside it first, then renamed.
pub(crate) fn write_whole(file: &Path, option: &str, text: &str) -> Result<()> {
    refuse_precious(file, option)?;
    let name = file.file_name().ok_or_else(|| anyhow!("{} is no name of a file", file.display()))?;
    let beside = file.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file));
    if written.is_err() && beside.exists() {
        fs::remove_file(&beside).with_context(|| format!("removing {}", beside.display()))?;
    }
    written.with_context(|| format!("writing {}; does its folder exist?", file.display()))
}
