//! `neo replay`: a session whose market is a recording's, as fast as the engine follows, and then its report.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use neo_sim::{Origin, Span};
use neo_store::record::Mode;

use crate::cli::{ReplayArgs, settings_of};
use crate::config::{self, Config, Network};
use crate::dashboard::Look;
use crate::exit::ExitCode;
use crate::live::Refusal;
use crate::output::{Out, last_words};
use crate::{report, run};

/// Ledgers at the end of a recording that the session leaves for its stop: its cancels must be seen validated.
const TAIL: u32 = 12;
/// What the account's record is called where nothing else is said.
const DB: &str = "data/neo-replay.db";

/// Replays a recording and prints the session's report.
///
/// # Errors
/// A recording that cannot be mirrored; what keeps a session from starting.
pub fn run(args: &ReplayArgs, out: &mut Out) -> Result<ExitCode> {
    let file = std::path::absolute(&args.file).context("the recording's path")?;
    let mut settings = vec![
        ("session.mode".to_string(), Mode::Replay.to_string()),
        ("session.speed".to_string(), "max".to_string()),
        ("session.db".to_string(), args.db.as_deref().unwrap_or(Path::new(DB)).display().to_string()),
        ("sim.recording".to_string(), file.display().to_string()),
    ];
    if let Some(quotes) = &args.quotes {
        let quotes = std::path::absolute(quotes).context("the quotes' path")?;
        settings.push(("sim.recording_quotes".to_string(), quotes.display().to_string()));
    }
    settings.extend(settings_of(&args.set).map_err(|error| anyhow!(error))?);
    let mut config = match config::load(args.config.as_deref(), &settings) {
        Ok(loaded) => loaded.config,
        Err(mistakes) => {
            last_words(&mistakes.to_string());
            return Ok(ExitCode::Usage);
        }
    };
    let origin = Origin::of(&config.sim).context("a replay has a market")?;
    belongs(&mut config, &origin)?;
    let (span, holes) = Span::with_holes(&origin, tail(&config)?)?;
    tell_holes(&holes)?;
    config.session.duration = Some(trading_time(args.duration.or(config.session.duration), &span)?);
    let look = if args.json { Look::Nothing } else { Look::Bar { first: span.first, last: span.last } };
    let ended = run::begin(&config, &run::Begin { fresh: true, yes: args.yes, repair: None, look })?;
    let told = report::run(&config.session.db_path(), "latest", args.json, out)?;
    if !args.json {
        let Span { ledgers, gaps, transactions, .. } = span;
        out.line(&format!(
            "{ledgers} ledgers, {transactions} transactions of the pair, {gaps} ledgers without a whole book"
        ))?;
    }
    Ok(if ended == ExitCode::Clean { told } else { ended })
}

/// The session trades the recording's pair, on the account of the simulation: no network and no key has a part in it.
pub(crate) fn belongs(config: &mut Config, origin: &Origin) -> Result<()> {
    let token = origin.token()?;
    let named = (config.account.issuer.unwrap_or(token.issuer), config.account.currency);
    if named != (token.issuer, token.currency) {
        let text = format!(
            "the recording is of {token}, and the configuration of {}.{}: set account.currency and account.issuer to the \
             recording's, or leave the issuer out",
            named.1, named.0
        );
        return Err(Refusal { exit: ExitCode::Usage, text }.into());
    }
    config.sim.issuer = Some(token.issuer);
    (config.account.issuer, config.account.address) = (None, None);
    config.network = Network::default();
    Ok(())
}

/// Says what is missing of a recording.
pub(crate) fn tell_holes(holes: &[String]) -> Result<()> {
    for hole in holes {
        Out::stderr().line(&format!("warning: {hole}"))?;
    }
    Ok(())
}

/// Ledgers at the end that a session leaves for its stop.
pub(crate) fn tail(config: &Config) -> Result<usize> {
    Ok(usize::try_from(TAIL.saturating_add(config.sim.mirror_latency_ledgers))?)
}

/// How long a session trades: so that its stop is whole before the recording ends.
pub(crate) fn trading_time(asked: Option<Duration>, span: &Span) -> Result<Duration> {
    let seconds = span.tail_close.0.saturating_sub(span.first_close.0);
    if seconds == 0 {
        let text = format!(
            "the recording has {} ledgers of which both sides of the book are known, and a session needs {} and a few more \
             to stop in order: record longer",
            span.ledgers, TAIL
        );
        return Err(Refusal { exit: ExitCode::Usage, text }.into());
    }
    let whole = Duration::from_secs(u64::from(seconds));
    Ok(asked.unwrap_or(whole).min(whole))
}
