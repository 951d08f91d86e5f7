//! `neo sim-ledger`: the simulated ledger alone.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use neo_ledger::Address;
use neo_sim::follow::{self, Follow, Market};
use neo_sim::server::{self, ServeOptions, Speed};
use neo_sim::{MirrorError, Node, Scenario, ScenarioError};
use neo_store::{Lock, lock_path};

use crate::cli::SimLedgerArgs;
use crate::exit::ExitCode;
use crate::paper::FollowFile;

/// A ledger that nobody is connected to ends by itself after this, when it was started with an endpoint file: its engine
/// died and nobody came back.
const LINGER: Duration = Duration::from_secs(600);

/// Runs it until it is asked to stop.
///
/// # Errors
/// A world that another ledger has, a scenario that is wrong, a world that cannot be read, an address that is taken.
pub fn run(args: &SimLedgerArgs) -> Result<ExitCode> {
    // One ledger for a world: two would write the same files. Held until the process ends.
    let _lock =
        args.endpoint.as_deref().map(|path| Lock::acquire(&lock_path(path), "a simulated ledger")).transpose()?;
    let scenario = match &args.scenario {
        None => Scenario::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            toml::from_str(&text).with_context(|| format!("the scenario {}", path.display()))?
        }
    };
    if let Some(path) = &args.follow {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let file: FollowFile = toml::from_str(&text).with_context(|| format!("the market {}", path.display()))?;
        return mirror(args, &scenario, file.account, file.market(&scenario)?);
    }
    let node = match &args.state {
        Some(path) if path.exists() => {
            let bytes = std::fs::read(path).with_context(|| format!("reading the world {}", path.display()))?;
            let mut node = Node::load(&bytes, &scenario).with_context(|| format!("the world {}", path.display()))?;
            node.begin_run(args.seed);
            node
        }
        _ => Node::new(&scenario, args.seed).context("a new world")?,
    };
    let options = ServeOptions {
        speed: match args.speed.as_str() {
            _ if args.manual => Speed::OnRequest,
            "max" => Speed::Manual,
            times => match times.parse::<f64>() {
                Ok(times) if times.is_finite() && times > 0.0 => Speed::Times(times),
                _ => bail!("--speed {times}: give a number above 0, or max"),
            },
        },
        linger: linger(args),
        // A recording is always replayed from its beginning.
        state_file: args.state.clone().filter(|_| scenario.recording.is_none()),
        endpoint_file: args.endpoint.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    runtime.block_on(server::serve(args.listen, node, options)).context("the simulated ledger")?;
    Ok(ExitCode::Clean)
}

/// Without an endpoint file nobody else looks after it: it goes on until it is asked to stop.
fn linger(args: &SimLedgerArgs) -> Option<Duration> {
    args.linger.or(args.endpoint.is_some().then_some(LINGER))
}

/// The mirror of a real market. It begins when both sides of the book are known; nobody is served before that.
fn mirror(args: &SimLedgerArgs, scenario: &Scenario, account: Option<Address>, market: Follow) -> Result<ExitCode> {
    let token = market.token;
    let options = ServeOptions {
        speed: Speed::Market,
        linger: linger(args),
        // The real market has gone on when it is looked at again: a mirror always begins anew.
        state_file: None,
        endpoint_file: args.endpoint.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let serving = async {
        let mut market = follow::start(market);
        let given_up = |reason: String| ScenarioError::from(MirrorError::Market(reason));
        let founding = match market.recv().await {
            Some(Market::Begin(founding)) => founding,
            Some(Market::End(reason)) => return Err(given_up(reason).into()),
            Some(Market::Ledger(_)) | None => return Err(given_up("it ended without a word".to_string()).into()),
        };
        let node = Node::following(scenario, args.seed, token, account, &founding).context("a new world")?;
        server::serve_market(args.listen, node, options, Some(market)).await.context("the mirrored ledger")
    };
    runtime.block_on(serving)?;
    Ok(ExitCode::Clean)
}
