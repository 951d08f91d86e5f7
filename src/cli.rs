//! The command line: what can be asked, in words that teach. What is done with it is elsewhere.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A market maker for the XRP Ledger's XRP/RLUSD book whose sessions always close.
#[derive(Debug, Parser)]
#[command(name = "neo", version, propagate_version = true, subcommand_required = false, after_help = AFTER_HELP)]
pub struct Cli {
    /// Without a command, a session is run on config/sim.toml.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const AFTER_HELP: &str = "\
Try it: `neo run --for 10m --speed 20` trades ten minutes on the embedded simulated ledger, then `neo report latest`
shows what happened. Ctrl-C ends a session in order: offers cancelled, everything recorded, `ended_at` written.

Exit codes: 0 clean, 1 failed, 2 usage or configuration, 3 database, 4 stop deadline passed, 70 fault.";

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one session: quote, get filled, and close it in order.
    Run(RunArgs),
    /// Run sessions under supervision: an engine that crashes is started again, and what it left is closed.
    Supervise(SuperviseArgs),
    /// List the sessions of a record.
    Sessions(ReadArgs),
    /// Show one session: how it ended, what was filled, whether the books balance. Exit code 0 only for a clean one.
    Report(ReportArgs),
    /// Learn from sessions which offsets to quote with: fills by distance, the law of arrivals, profit, and how sure it is.
    Calibrate(CalibrateArgs),
    /// Write rows of the record as CSV or JSON, for those who analyse elsewhere; an engine may run.
    Export(ExportArgs),
    /// Ask the running engine to stop, wait, and exit with its outcome.
    Stop(StopArgs),
    /// Show what the running engine does.
    Status(ReadArgs),
    /// Withdraw the quotes and keep the session: until `neo resume`, over restarts too. An engine need not run.
    Pause(PauseArgs),
    /// End a pause: the engine quotes again.
    Resume(ReadArgs),
    /// Emergency: cancel every offer of the account, with or without an engine or a record, and see them gone on the ledger.
    CancelAll(CancelAllArgs),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at everything that a session on a real ledger needs, and say what to do. Exit code 0 only when all is well.
    Preflight(PreflightArgs),
    /// Make the trust line that the account needs to hold the token, on request.
    Setup(SetupArgs),
    /// Trade on a recording of a node: ours among the real offers, filled by what was really traded; then the report.
    Replay(ReplayArgs),
    /// Try many configurations over the same market, on all cores: a table and a picture of what each earns.
    Backtest(BacktestArgs),
    /// Record what a node says, word for word and with the times; no key and no record is needed.
    Record(RecordArgs),
    /// Run the simulated ledger alone, for any client of rippled's WebSocket and JSON-RPC API.
    SimLedger(SimLedgerArgs),
    /// Close the sessions of a predecessor's database: ended_at from the latest fill or snapshot of each.
    Backfill(BackfillArgs),
    /// Take a predecessor's sessions, fills and valuations into the record as history.
    Import(ImportArgs),
    /// Check that a record is whole and true, and its backups readable. Exit code 0 nothing found, 1 findings, 3 malformed.
    Verify(ReadArgs),
    /// Close the sessions that a killed engine left open; with --repair, mend a damaged record first.
    Recover(RecoverArgs),
    /// Take a verified backup of a record, also while an engine runs on it.
    Backup(BackupArgs),
    /// Put a backup in the place of a record; the former record is set aside, never deleted.
    Restore(RestoreArgs),
    /// Thin out old valuation snapshots of a record that no engine runs on; a session does it by itself.
    Thin(ThinArgs),
}

/// Which record.
#[derive(Clone, Debug, Default, Args)]
pub struct DbArg {
    /// The record's file [default: data/neo-sim.db, or what the configuration says]
    #[arg(long, value_name = "FILE", env = "NEO_SESSION__DB")]
    pub db: Option<PathBuf>,
}

/// How to run a session.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Stop after this much trading time, e.g. 30m [default: until asked]
    #[arg(long = "for", value_name = "DURATION")]
    pub duration: Option<String>,
    /// How to trade [default: sim]. sim: on a simulated market. paper: on the mirror of a real one, followed through
    /// network.url without a key; our offers are matched there, by what really trades. live: real offers, real money
    #[arg(long, value_name = "sim|paper|live")]
    pub mode: Option<String>,
    /// The record's file; one file holds one mode, network and account [default: data/neo-MODE.db]
    #[arg(long, value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// The configuration file [default: config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Seed of the simulated world; the same seed gives the same session at --speed max
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Replay real trades onto the simulated book: CSV with t_ms,price,qty_xrp,notional_usd,taker_side.
    /// Without --for the session ends with the tape
    #[arg(long, value_name = "FILE")]
    pub tape: Option<PathBuf>,
    /// Close the simulated ledger's ledgers N times faster than real time, or as fast as the engine follows (max)
    #[arg(long, value_name = "N|max")]
    pub speed: Option<String>,
    /// Begin a new record, on a new simulated world instead of the one of the last session (modes sim and paper)
    #[arg(long)]
    pub fresh: bool,
    /// With --fresh on a record that has sessions: do not ask
    #[arg(long)]
    pub yes: bool,
    /// If the record is damaged: set it aside untouched, take the newest good backup, add every row that can still be
    /// read, and fetch the account's history again from the first hole. Without it a damaged record starts nothing
    #[arg(long)]
    pub repair: bool,
    /// One JSON object a line on stdout; logs on stderr
    #[arg(long)]
    pub json: bool,
    /// Set any configuration key, e.g. --set quote.levels=3 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// What to look at.
#[derive(Clone, Debug, Args)]
#[command(after_help = PREFLIGHT_HELP)]
pub struct PreflightArgs {
    /// The configuration file, such as config/testnet.toml [default: config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Set any configuration key, e.g. --set network.url=ws://127.0.0.1:6006 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

const PREFLIGHT_HELP: &str = "\
Looks at the key, the network, the node, the account and its funds and reserve, the trust line, freezes, tick size,
transfer rate, fee, clock, disk, record and backups; nothing is signed and nothing is changed. The seed comes from
NEO_WALLET_SEED, or from the file that account.key_file names. A stand-alone node whose ledgers the engine closes
(network.ledger_accept) is asked for one close.";

/// What to set up.
#[derive(Clone, Debug, Args)]
#[command(after_help = SETUP_HELP)]
pub struct SetupArgs {
    /// The configuration file, such as config/testnet.toml [default: config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Most of the token that payments may bring; offers are filled beyond it
    #[arg(long, value_name = "N", default_value = "1000000")]
    pub limit: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Set any configuration key, e.g. --set network.url=ws://127.0.0.1:6006 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

const SETUP_HELP: &str = "\
Shows the one transaction (TrustSet), asks, signs it, sends it, and waits until a validated ledger has it or can have it
no more. A trust line that is there already is left as it is. It costs the fee, and its reserve stays locked with it.";

/// What to record.
#[derive(Clone, Debug, Args)]
#[command(after_help = RECORD_HELP)]
pub struct RecordArgs {
    /// Where to, such as node.jsonl.gz; what is there already is never written over: the next part gets a number
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The configuration file, such as config/testnet.toml [default: config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Stop after this much time, e.g. 30m [default: until asked]
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Say at the end, as JSON, what was recorded
    #[arg(long)]
    pub json: bool,
    /// Set any configuration key, e.g. --set network.url=ws://127.0.0.1:6006 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// What to replay.
#[derive(Clone, Debug, Args)]
#[command(after_help = REPLAY_HELP)]
pub struct ReplayArgs {
    /// The recording's first part, as `neo record` or [feed] record wrote it (the other parts are found beside it), or a
    /// CSV of trades: time,side,price,size (`neo backtest --help` has the columns)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The configuration file: what to quote, and with what funds (sim.maker_xrp, sim.maker_rlusd) [default:
    /// config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The new record [default: data/neo-replay.db]
    #[arg(long, value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// With a CSV of trades, one of quotes: time,bid,bid_size,ask,ask_size
    #[arg(long, value_name = "FILE")]
    pub quotes: Option<PathBuf>,
    /// Stop after this much trading time, e.g. 30m [default: a few ledgers before the recording ends]
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Where the record is there already: set it aside without asking
    #[arg(long)]
    pub yes: bool,
    /// The report as JSON
    #[arg(long)]
    pub json: bool,
    /// Set any configuration key, e.g. --set quote.bid_offset_bps=20 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

const REPLAY_HELP: &str = "\
The recorded book stands on the simulated ledger, offer by offer, and ours stand in it: each is filled by what was really
traded at its price or beyond it, after what stood before it in its price's queue, in the ledger after the one in which
the engine decided (sim.mirror_latency_ledgers: so many later still). A real offer that would have crossed ours trades with
it first. The market does not answer to us: real offers stay as recorded. The same recording and configuration give
the same fills, orders and snapshots. Exit code as of `neo report`.";

/// What to try.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = BACKTEST_HELP)]
pub struct BacktestArgs {
    /// A recording (`neo record`), or a CSV of trades: time,side,price,size [default: the simulated market of [sim]]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// With a CSV of trades, one of quotes: time,bid,bid_size,ask,ask_size
    #[arg(long, value_name = "FILE")]
    pub quotes: Option<PathBuf>,
    /// A simulated market: calm, trending, jumps, informed, thin-book, amm-dominated, ..., or a scenario's file
    #[arg(long, value_name = "NAME|FILE")]
    pub scenario: Option<String>,
    /// A key and its values: FROM..TO:STEP, both in it, or A,B,C (may be repeated; each is crossed with the others)
    #[arg(long, value_name = "KEY=VALUES")]
    pub grid: Vec<String>,
    /// Keys of the grid that are walked side by side, such as bid,ask (their beginnings will do)
    #[arg(long, value_name = "KEY,KEY")]
    pub paired: Option<String>,
    /// Seeds of simulated markets, each configuration with each: 1..20 or 1,5,9 [default: session.seed]
    #[arg(long, value_name = "SEEDS")]
    pub seeds: Option<String>,
    /// Trade for so much of the ledger's time [default: all of a recording, 6h of a simulated market]
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Runs at the same time [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// All figures of all runs as JSON
    #[arg(long)]
    pub json: bool,
    /// Write the table here as CSV too, to the last digit
    #[arg(long, value_name = "FILE.csv")]
    pub out: Option<PathBuf>,
    /// Draw it: the result by one key, a line for each word of a second one, or a heat map of two
    #[arg(long, value_name = "FILE.svg")]
    pub picture: Option<PathBuf>,
    /// The configuration file: what to quote where the grid says nothing [default: config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set any configuration key for all runs, e.g. --set quote.levels=1 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

const BACKTEST_HELP: &str = "\
  neo backtest node.jsonl.gz --grid bid_offset_bps=5..50:5 --grid ask_offset_bps=5..50:5 --paired bid,ask
  neo backtest --scenario informed --seeds 1..20 --grid bid_offset_bps=5..30:5 --grid skew_bps=0,10,20 --picture grid.svg

A key of [quote] or [risk] needs no section; any other is written whole (session.seed). Each run is the engine's own feed,
orders and valuer on the simulated ledger, as `neo run` and `neo replay` have them, without a record: see `neo replay
--help` for how offers are filled. Result: what is owned at the end beyond what was owned at the start, at the last price,
with all fees paid: what quoting earned against holding. Drawdown is the result's; inventory is XRP away from the start's;
mark-out is the gain of fills against the middle five ledgers later. Where there are seeds the figures are means, but for
the worst drawdown and the largest inventory. The same input gives the same table, to the byte. A setting that wins among
many on one recording has partly been lucky: try it on another one.

CSV: the first line names the columns (others may be there too). time: milliseconds since 1970 UTC, or
2026-04-18T10:00:00.250Z; side: what the taker did with XRP, buy or sell; price: RLUSD for one XRP; size: XRP. A ledger
closes every four seconds. With quotes one offer a side stands at the best price, ours wait behind it, and what is better
than a trade's price has gone before it. Without, nothing is known of the queue: a trade at our price or beyond it fills
ours, by no more than was traded, and two offers a basis point beside the last trade make the middle.";

const RECORD_HELP: &str = "\
Ledgers, the token's book against XRP, its pool's account and, where account.address is set, that account; on each
connection first the node's state, both sides of the book, the pool and the account. A connection that ends is opened
again, and the recording says where something is missing. In mode sim it is the simulated ledger of a running session.
Parts: feed.record_rotate_mb and feed.record_keep. Read it with `zcat node.jsonl.gz | jq -c 'select(.dir==\"recv\").msg'`.
Exit code 1 when messages had to be left out.";

/// How to supervise.
#[derive(Clone, Debug, Args)]
#[command(after_help = SUPERVISE_HELP)]
pub struct SuperviseArgs {
    /// So many restarts within --within; one more is a crash loop and ends it
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub max_restarts: usize,
    /// See --max-restarts
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub within: Duration,
    /// Wait before the first restart; doubled with each one within --within, half of it drawn at random
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
    /// No wait is longer
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub wait_max: Duration,
    /// Seed of the random part of the waits [default: the process id]
    #[arg(long, value_name = "N")]
    pub jitter_seed: Option<u64>,
    /// The engine's command line: run and its options
    #[arg(last = true, required = true, value_name = "run ...")]
    pub command: Vec<OsString>,
}

const SUPERVISE_HELP: &str = "\
Try it: `neo supervise -- run --speed 20`, then kill the engine (`neo status` shows its process id) and watch.

Started again: an engine killed by a signal; exit codes 70 (fault) and any unknown one; 4 (a stop hung) unless somebody
had asked for that stop. Not started again: 0, 1 (something for a person to look at), 2 and 3 (a restart cannot mend
them). SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on, a second one too; then the engine's own stop is waited for and
nothing is started again. The exit code is the last engine's; 70 stands for one that was killed.";

/// Read something.
#[derive(Clone, Debug, Args)]
pub struct ReadArgs {
    /// Which record.
    #[command(flatten)]
    pub db: DbArg,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Which session to show.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// S3, 3 or latest; for results side by side and their sums S30..S38, S3,S5 or all
    #[arg(default_value = "latest")]
    pub session: String,
    /// How to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// What to calibrate from.
#[derive(Clone, Debug, Args)]
#[command(after_help = CALIBRATE_HELP)]
pub struct CalibrateArgs {
    /// How to read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Which sessions: S30..S38, S30, S3,S5..S7 or latest [default: all]
    #[arg(long, value_name = "SESSIONS")]
    pub sessions: Option<String>,
    /// From what a recorded market traded instead: a recording (`neo record`), or a CSV of trades (`neo backtest --help`)
    #[arg(long, value_name = "FILE", conflicts_with = "sessions")]
    pub recording: Option<PathBuf>,
    /// With a CSV of trades, one of quotes: time,bid,bid_size,ask,ask_size
    #[arg(long, value_name = "FILE", requires = "recording")]
    pub quotes: Option<PathBuf>,
    /// What distances are measured from: the price that quotes stand around ([price]), or the middle of the book
    /// [default: reference]
    #[arg(long, value_name = "PRICE")]
    pub from: Option<MeasureFrom>,
    /// The configuration file: the current offsets, sizes and tolerances, and with --recording [price] [default: the
    /// latest session's; with --recording config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set any configuration key, e.g. --set quote.bid_offset_bps=20 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Also draw it: fills by distance with the fitted law, and the profit by offset
    #[arg(long, value_name = "FILE.svg")]
    pub picture: Option<PathBuf>,
}

/// What distances are measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MeasureFrom {
    /// The middle of the book without our own offers.
    Mid,
    /// The price that quotes stand around: `[price]`.
    Reference,
}

const CALIBRATE_HELP: &str = "\
  neo calibrate --picture fit.svg                                       from the record's sessions
  neo calibrate --recording node.jsonl.gz --config config/mainnet.toml  from what a market traded

Each offer that rested counts in each ledger, at its distance from the price that quotes stood around: filled or not. From
that, bids and asks apart: fills by distance, the law of arrivals A exp(-k d) by maximum likelihood, what the price does after
a fill (1, 5 and 30 ledgers), and the offset that earns most: 1/k plus what a fill costs, with the ledger's fees. All intervals
hold the truth in 95 of 100 cases. Distances must differ for k to be seen: quote two levels, or different offsets in different
sessions. Each session's fills are held against the law of the other sessions: how likely were so few, or so many?

With --recording nobody need have quoted: each ledger's farthest trade on a side, measured from the price before it, would have
filled an offer there or nearer, by no more than was traded, and where the price went afterwards is what that fill would have
cost. The current offsets are imagined in it, moved and renewed by the engine's own plan: how often would they have been filled,
for how many transactions, and how likely was none at all? An offer behind others in its queue gets less.

Where the data do not suffice the answer says why, and which offsets to quote for how many hours more, with exit code 0; in
--json the figure is null and data_do_not_suffice says why. Of a predecessor's session count its fills, its length and, where
its row names them (bid_offset_bps, ask_offset_bps), its offsets. The record is only read; an engine may run.";

/// What to export.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub struct ExportArgs {
    /// Which rows
    #[arg(value_name = "WHAT")]
    pub what: ExportWhat,
    /// Which record.
    #[command(flatten)]
    pub db: DbArg,
    /// Of one session: S3, 3 or latest [default: of all]
    #[arg(long, value_name = "SESSION")]
    pub session: Option<String>,
    /// csv: a line of names, then a line a row; json: one JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    pub format: ExportFormat,
    /// Write it here instead of on stdout: the whole file appears at the end, or none; an older one is replaced
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Rows that can be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportWhat {
    /// What traded
    Fills,
    /// Offers as placed, and what became of them
    Orders,
    /// Valuation snapshots
    Valuations,
    /// Fees, deposits, withdrawals, and what nothing explains
    Flows,
    /// What was not quoted, and why
    Refusals,
    /// Triggers that tripped, and how that ended
    Trips,
    /// The middle 1, 5 and 30 ledgers after each fill, or why it is not known
    Markouts,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated values, quoted as RFC 4180 says
    Csv,
    /// One JSON object a line
    Json,
}

const EXPORT_HELP: &str = "\
Columns are the record's: seq, session, ... ; xrp_drops are whole drops (1 XRP = 1000000), RLUSD and prices are decimals to
the last digit, times RFC 3339 in UTC: close_time the ledger's, recorded_at the real clock's. In JSON decimals are text, so
that no reader makes a float of them. What is unknown is an empty field, or null; an empty text is \"\". Lines end with LF.
Rows come in the order they were recorded, as far as they were when the command began. Rows of imported sessions are the
predecessor's, and not exported.

  neo export fills --session latest --out fills.csv
  neo export flows --format json | jq -r 'select(.cause == \"fee\") | .xrp_drops' | paste -sd+ | bc";

/// How to stop.
#[derive(Clone, Debug, Args)]
pub struct StopArgs {
    /// Which record.
    #[command(flatten)]
    pub db: DbArg,
    /// In a hurry: send the cancels, do not wait for the ledger
    #[arg(long)]
    pub urgent: bool,
    /// How long to wait for the outcome
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// How to pause.
#[derive(Clone, Debug, Args)]
#[command(after_help = PAUSE_HELP)]
pub struct PauseArgs {
    /// Which record.
    #[command(flatten)]
    pub db: DbArg,
    /// Why: shown by `neo status` and kept in the file
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How long to wait until no offer is left
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

const PAUSE_HELP: &str = "\
A pause is a file: NAME.db.pause beside the record, or KILL in the record's folder for every engine that has its record
there. You can make and remove them by hand; the engine looks four times a second, and what is in the file is the reason.
Exit code 0 when no offer is left, 1 when the wait is over before.";

/// How to cancel everything.
#[derive(Clone, Debug, Args)]
#[command(after_help = CANCEL_ALL_HELP)]
pub struct CancelAllArgs {
    /// The configuration file, such as config/testnet.toml [default: config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The record of the engine that may run; it need not exist.
    #[command(flatten)]
    pub db: DbArg,
    /// Do not show the offers first and ask
    #[arg(long)]
    pub yes: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// How long a running engine may take to withdraw, and the ledger to get on by one
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
    /// Set any configuration key, e.g. --set network.url=ws://127.0.0.1:6006 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

const CANCEL_ALL_HELP: &str = "\
Every offer of the account, whoever placed it and on whatever book. A running engine is paused first and withdraws its
own; it stays paused until `neo resume`. What the ledger then still shows is cancelled directly, and so is everything where
no engine runs, or where it has not withdrawn when --wait is over. Three rounds that change nothing are the last ones.
Exit code 0 when a validated ledger shows no offer and none that was signed before can come any more, else 1.
The fee may be as high as orders.cancel_max_fee_drops. No record is needed and none is written: the next session finds
in the account's history what happened.";

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration and print what is effective, with the origin of every value.
    Check(ConfigCheckArgs),
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
pub struct ConfigCheckArgs {
    /// The file [default: config/sim.toml where it exists]
    pub file: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Set any configuration key, e.g. --set quote.levels=3 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// What `neo sim-ledger --help` says after the options.
const SIM_LEDGER_HELP: &str = "\
WebSocket and JSON-RPC (HTTP POST) are on the same port, in API versions 1 and 2, as on a rippled 2.6.1:
  neo sim-ledger --manual
  curl -s http://127.0.0.1:6006 -d '{\"method\":\"ledger_accept\"}'
A scenario file with the line `market = false` gives an empty ledger. Fund accounts from the master account
rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh, seed snoPBrXtMeMyMHUVTgbuqAfg1SUTb, as on a stand-alone rippled.
Clients need the network's id: 65001, or the scenario's network_id.";

/// How to run the simulated ledger.
#[derive(Clone, Debug, Args)]
#[command(after_help = SIM_LEDGER_HELP)]
pub struct SimLedgerArgs {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6006")]
    pub listen: SocketAddr,
    /// What happens on it: the `[sim]` table of a configuration, as a file of its own
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// N times faster than real time, or max: the next ledger closes when a client asks with ledger_accept, and in real
    /// time once all have left
    #[arg(long, value_name = "N|max", default_value = "1", conflicts_with = "manual")]
    pub speed: String,
    /// Close a ledger when a client asks with ledger_accept, and never else, as a stand-alone rippled
    #[arg(long)]
    pub manual: bool,
    /// Follow a real market instead of making one up: TOML with urls and network_id of its nodes, the mode paper of
    /// `neo run` without the engine. The scenario names the token's issuer; nothing is sent to those nodes but questions
    #[arg(long, value_name = "FILE", conflicts_with_all = ["speed", "manual", "state"])]
    pub follow: Option<PathBuf>,
    /// Keep the world here: read at the start, saved at the end
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Write the address and process id here while it runs
    #[arg(long, value_name = "FILE")]
    pub endpoint: Option<PathBuf>,
    /// End when no client has been connected for so long [default: never, or 10m when started by `neo run`]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub linger: Option<Duration>,
}

/// How to read a predecessor's database.
#[derive(Clone, Debug, Args)]
pub struct OldArgs {
    /// The predecessor's database
    #[arg(value_name = "OLD.db")]
    pub old: PathBuf,
    /// Name what cannot be told, e.g. --map fills.time=filled_at, --map fills=trades or --map zone=+02:00
    /// (may be repeated)
    #[arg(long = "map", value_name = "WHAT=COLUMN")]
    pub map: Vec<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// How to close a predecessor's sessions.
#[derive(Clone, Debug, Args)]
pub struct BackfillArgs {
    /// What to read.
    #[command(flatten)]
    pub old: OldArgs,
    /// Show what would be set, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// How to import a predecessor's sessions.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// What to read.
    #[command(flatten)]
    pub old: OldArgs,
    /// Which record.
    #[command(flatten)]
    pub db: DbArg,
}

/// What to back up.
#[derive(Clone, Debug, Args)]
pub struct BackupArgs {
    /// How to read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// The configuration file, for how many backups are kept [default: config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take none: list those there are, the newest first
    #[arg(long)]
    pub list: bool,
}

/// What to thin out.
#[derive(Clone, Debug, Args)]
#[command(after_help = THIN_HELP)]
pub struct ThinArgs {
    /// How to read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// The configuration file, for [store] snapshots_keep_days [default: config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Count what would go, and change nothing; an engine may run
    #[arg(long)]
    pub dry_run: bool,
}

const THIN_HELP: &str = "\
Of snapshots older than [store] snapshots_keep_days stay: the first of each minute, those at fills, deposits and
withdrawals, the least and the most of each hour, and the first and the last of each session. Nothing else is ever
removed: not a fill, not an order, not a fee. A backup is taken first. `neo verify` knows each row that went.";

/// What to recover.
#[derive(Clone, Debug, Args)]
pub struct RecoverArgs {
    /// How to read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// If the record is damaged: set it aside untouched, take the newest good backup and add every row that can still be
    /// read
    #[arg(long)]
    pub repair: bool,
    /// The configuration file: who checkpoints ([store] checkpoint), and whose record it is where neither it nor a backup
    /// tells [default: config/sim.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to restore.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// latest, the name of a backup (`neo backup --list`), or the path of a file
    #[arg(default_value = "latest")]
    pub backup: String,
    /// How to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

impl RunArgs {
    /// The flags as configuration keys.
    ///
    /// # Errors
    /// A text that says which `--set` is not KEY=VALUE.
    pub fn settings(&self) -> Result<Vec<(String, String)>, String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let flags = [
            ("session.for", self.duration.clone()),
            ("session.mode", self.mode.clone()),
            ("session.db", path(&self.db)),
            ("session.seed", self.seed.map(|seed| seed.to_string())),
            ("session.speed", self.speed.clone()),
            ("sim.tape", path(&self.tape)),
        ];
        let named = flags.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_string(), value)));
        Ok(named.chain(settings_of(&self.set)?).collect())
    }
}

/// `KEY=VALUE` texts as pairs.
///
/// # Errors
/// A text that says which one is not.
pub fn settings_of(set: &[String]) -> Result<Vec<(String, String)>, String> {
    set.iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_string(), value.trim().to_string())),
            None => Err(format!("--set {text}: write it as KEY=VALUE, e.g. --set quote.levels=3")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_become_configuration_keys() {
        let cli =
            Cli::try_parse_from(["neo", "run", "--for", "30m", "--speed", "max", "--set", "quote.levels=3"]).unwrap();
        let Some(Command::Run(args)) = cli.command else { panic!("run") };
        let settings = args.settings().unwrap();
        assert!(settings.contains(&("session.for".into(), "30m".into())));
        assert!(settings.contains(&("quote.levels".into(), "3".into())));
        assert!(settings_of(&["levels".into()]).is_err());
    }
}
