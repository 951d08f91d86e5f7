//! The engine's numbers for Prometheus: text format 0.0.4. Pure: a snapshot in, text out; [`server`] serves it.
//!
//! What is not known has no sample. Amounts are written as the decimals that they are.

pub mod server;

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use neo_actors::status::{Phase, Status};
use neo_market::Side;

use crate::alerts::Kind;
use crate::alerts::command::Outcome;
use crate::unattended::tally::Counts;

/// What the writer says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterGauges {
    /// Records that wait.
    pub queued: usize,
    /// How long the commit or checkpoint that runs now has been running, in microseconds; 0 while none runs.
    pub commit_running_us: u64,
    /// Class B records that were dropped because the queue was nearly full.
    pub dropped: u64,
    /// Sequence number of the newest durable record.
    pub durable_seq: u64,
    /// Size of the write-ahead log.
    pub wal_bytes: u64,
}

/// Everything that is shown, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What the actors say.
    pub status: Status,
    /// What the writer says.
    pub writer: WriterGauges,
    /// What the supervisor counted.
    pub counts: Counts,
    /// Events that wait for the supervisor.
    pub supervisor_queued: usize,
    /// Real time since the session was put together.
    pub uptime_ms: u64,
    /// Real time since a new validated ledger was seen; unknown before the first.
    pub ledger_age_ms: Option<u64>,
    /// The monotonic clock.
    pub now_ms: u64,
    /// Free space on the record's disk, where known.
    pub disk_free_bytes: Option<u64>,
    /// `store.min_free_mb` in bytes.
    pub disk_min_free_bytes: u64,
    /// Alerts by what became of them.
    pub alerts: BTreeMap<(Kind, Outcome), u64>,
    /// Alerts that a later one of their kind took the place of.
    pub alerts_held_back: BTreeMap<Kind, u64>,
}

/// The whole page.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    session(&mut page, snapshot);
    market(&mut page, snapshot);
    record(&mut page, snapshot);
    health(&mut page, snapshot);
    page.0
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";
/// Every phase and its word.
const PHASES: [(Phase, &str); 4] = [
    (Phase::Starting, "starting"),
    (Phase::Quoting, "quoting"),
    (Phase::Withheld, "withheld"),
    (Phase::Stopping, "stopping"),
];

/// The page so far.
#[derive(Default)]
struct Page(String);

impl Page {
    /// A family without labels; no sample where the value is not known.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: Option<impl Display>) {
        self.family(name, kind, help, value.map(|value| (String::new(), value)));
    }

    /// A family of samples with their labels.
    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        let text = &mut self.0;
        let mut written = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            written = written.and_then(|()| writeln!(text, "{name}{labels} {value}"));
        }
        // A string takes everything.
        debug_assert!(written.is_ok(), "a string refused text");
    }
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn from_ms(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

fn from_us(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

fn flag(value: bool) -> u8 {
    u8::from(value)
}

fn session(page: &mut Page, snapshot: &Snapshot) {
    let status = &snapshot.status;
    let build = labels(&[("version", env!("CARGO_PKG_VERSION")), ("mode", &status.mode)]);
    page.family("neo_build_info", GAUGE, "The engine's version and mode.", [(build, 1)]);
    page.one("neo_session_number", GAUGE, "Number of the running session.", Some(status.session));
    page.one("neo_uptime_seconds", GAUGE, "Real time since the session began.", Some(from_ms(snapshot.uptime_ms)));
    let phases = PHASES.map(|(phase, word)| (labels(&[("phase", word)]), flag(status.phase == phase)));
    page.family("neo_phase", GAUGE, "1 for what the engine is doing now.", phases);
}

fn market(page: &mut Page, snapshot: &Snapshot) {
    let status = &snapshot.status;
    let side = |side: Side| labels(&[("side", side.as_str())]);
    let best = [(Side::Bid, status.best_bid), (Side::Ask, status.best_ask)];
    let best = best.into_iter().filter_map(|(s, price)| price.map(|price| (side(s), price)));
    page.family("neo_best_price_rlusd", GAUGE, "Best price of the others, RLUSD for one XRP.", best);
    let open = Side::BOTH.map(|s| (side(s), status.quotes.iter().filter(|quote| quote.side == s).count()));
    page.family("neo_open_offers", GAUGE, "Offers of ours on the ledger.", open);
    let of_level = |quote: &neo_actors::status::QuoteStatus| {
        labels(&[("side", quote.side.as_str()), ("level", &quote.level.to_string())])
    };
    // One sample a level, whatever the actors say: a page with a sample twice is refused as a whole.
    let prices: BTreeMap<String, _> = status.quotes.iter().map(|quote| (of_level(quote), quote.price)).collect();
    page.family("neo_quote_price_rlusd", GAUGE, "Price of each quote, RLUSD for one XRP.", prices);
    let sizes: BTreeMap<String, _> =
        status.quotes.iter().map(|quote| (of_level(quote), quote.remaining_drops.get())).collect();
    page.family("neo_quote_remaining_drops", GAUGE, "XRP of each quote that is still open, in drops.", sizes);
    let fills = [(side(Side::Bid), status.bid_fills), (side(Side::Ask), status.ask_fills)];
    page.family("neo_fills_total", COUNTER, "Fills in this session.", fills);
    let help = "Transactions that the ledger refused or that died.";
    page.one("neo_transactions_failed_total", COUNTER, help, Some(status.failed_transactions));
    let audits = &status.audits;
    page.one(
        "neo_audits_total",
        COUNTER,
        "Comparisons of what the account owns with a validated ledger.",
        Some(audits.audits),
    );
    let found = [
        ("offers", audits.offers),
        ("owner_count", audits.owner_count),
        ("objects", audits.objects),
        ("balances", audits.balances),
    ];
    let found = found.map(|(what, count)| (labels(&[("what", what)]), count));
    page.family("neo_audit_differences_total", COUNTER, "Differences between the ledger and what is believed.", found);
    let standing = status.trips.iter().map(|trip| (labels(&[("trigger", &trip.trigger), ("action", &trip.action)]), 1));
    page.family("neo_trigger_tripped", GAUGE, "1 for each trigger that is tripped now.", standing);
    let tripped = status.trip_counts.iter().map(|(trigger, count)| (labels(&[("trigger", trigger)]), *count));
    page.family("neo_trips_total", COUNTER, "Trips in this session.", tripped);
    let refused = status.refusals.iter().map(|(kind, count)| (labels(&[("kind", kind)]), *count));
    let help = "Levels, sides or whole ledgers that were not quoted, by the reason.";
    page.family("neo_refusals_total", COUNTER, help, refused);
    let help = "Signed transactions whose fate is open.";
    page.one("neo_transactions_in_flight", GAUGE, help, Some(status.in_flight));
    // Before the first ledger the balances are not known.
    let known = status.ledger_index > 0;
    page.one("neo_balance_drops", GAUGE, "XRP of the account, in drops.", known.then(|| status.xrp_drops.get()));
    page.one("neo_balance_rlusd", GAUGE, "RLUSD of the account.", known.then_some(status.rlusd));
    page.one("neo_value_rlusd", GAUGE, "RLUSD plus XRP at the mark price.", status.total_value_rlusd);
    page.one("neo_starting_value_rlusd", GAUGE, "The same at the session's start.", status.starting_value_rlusd);
}

fn record(page: &mut Page, snapshot: &Snapshot) {
    let (status, writer) = (&snapshot.status, &snapshot.writer);
    page.one("neo_writer_queued_records", GAUGE, "Records that wait for the writer.", Some(writer.queued));
    let help = "How long the commit or checkpoint that runs now has been running; 0 while none runs.";
    page.one("neo_writer_commit_running_seconds", GAUGE, help, Some(from_us(writer.commit_running_us)));
    let help = "Records of lesser class that were dropped because the queue was nearly full.";
    page.one("neo_writer_dropped_records_total", COUNTER, help, Some(writer.dropped));
    page.one("neo_durable_seq", GAUGE, "Sequence number of the newest durable record.", Some(writer.durable_seq));
    page.one("neo_wal_bytes", GAUGE, "Size of the write-ahead log.", Some(writer.wal_bytes));
    let help = "How long the last timed checkpoint held the writer up.";
    page.one("neo_checkpoint_pause_seconds", GAUGE, help, status.last_checkpoint_pause_us.map(from_us));
    let help = "1 while a reader keeps checkpoints from finishing.";
    page.one("neo_checkpoint_busy", GAUGE, help, Some(flag(status.checkpoint_busy)));
    let help = "Checkpoints in a row that did not get through.";
    page.one("neo_checkpoint_blocked_attempts", GAUGE, help, Some(status.checkpoint_blocked));
    let at = status.last_checkpoint_at.and_then(|at| u64::try_from(at.timestamp_millis()).ok());
    let help = "When the last timed checkpoint finished, in Unix time.";
    page.one("neo_checkpoint_last_timestamp_seconds", GAUGE, help, at.map(from_ms));
    let help = "Free space on the record's disk.";
    page.one("neo_disk_free_bytes", GAUGE, help, snapshot.disk_free_bytes);
    let help = "Free space below which the session ends; 0: the disk is not looked at.";
    page.one("neo_disk_min_free_bytes", GAUGE, help, Some(snapshot.disk_min_free_bytes));
}

fn health(page: &mut Page, snapshot: &Snapshot) {
    let (status, counts) = (&snapshot.status, &snapshot.counts);
    page.one("neo_ledger_index", GAUGE, "The newest validated ledger.", Some(status.ledger_index));
    page.one("neo_node_connected", GAUGE, "1 while a node is reached.", counts.connected.map(flag));
    let help = "Real time since a new validated ledger was seen.";
    page.one("neo_node_ledger_age_seconds", GAUGE, help, snapshot.ledger_age_ms.map(from_ms));
    let help = "Events that wait for the supervisor.";
    page.one("neo_supervisor_queued_events", GAUGE, help, Some(snapshot.supervisor_queued));
    let since_ms = snapshot.now_ms.saturating_sub(counts.looked_ms);
    let beats =
        counts.beats_ms.iter().map(|(a, ms)| (labels(&[("actor", a.as_str())]), from_ms(ms.saturating_add(since_ms))));
    let help = "Age of each actor's last sign of life, asked for every second through its mailbox in turn. Over two seconds \
                the mailbox is behind.";
    page.family("neo_actor_heartbeat_age_seconds", GAUGE, help, beats);
    let restarts = neo_actors::ActorName::ALL
        .map(|a| (labels(&[("actor", a.as_str())]), counts.restarts.get(&a).copied().unwrap_or(0)));
    page.family("neo_actor_restarts_total", COUNTER, "Restarts of actors.", restarts);
    let faults = counts.faults.iter().map(|(part, count)| (labels(&[("part", part)]), *count));
    page.family("neo_faults_total", COUNTER, "Faults that the supervisor heard of.", faults);
    let told = snapshot
        .alerts
        .iter()
        .map(|((kind, outcome), count)| (labels(&[("kind", kind.as_str()), ("outcome", outcome.as_str())]), *count));
    let held = snapshot
        .alerts_held_back
        .iter()
        .map(|(kind, count)| (labels(&[("kind", kind.as_str()), ("outcome", "held_back")]), *count));
    page.family("neo_alerts_total", COUNTER, "Alerts by what became of them.", told.chain(held));
}

#[cfg(test)]
mod tests {
    use neo_actors::ActorName;
    use neo_actors::status::{QuoteStatus, TripStatus};
    use neo_market::Drops;

    use super::*;

    fn snapshot() -> Snapshot {
        let quote = |side, level, price: &str, drops| QuoteStatus {
            side,
            level,
            price: price.parse().unwrap(),
            remaining_drops: Drops::new(drops),
        };
        Snapshot {
            status: Status {
                session: 7,
                mode: "sim".to_string(),
                phase: Phase::Quoting,
                ledger_index: 1_234,
                best_bid: Some("2.3987".parse().unwrap()),
                quotes: vec![
                    quote(Side::Bid, 0, "2.3976", 100_000_000),
                    quote(Side::Bid, 1, "2.3952", 99_999_999),
                    quote(Side::Ask, 0, "2.4024", 1),
                ],
                in_flight: 1,
                xrp_drops: Drops::new(9_999_999_999),
                rlusd: "25000.123456789012345".parse().unwrap(),
                total_value_rlusd: Some("49000.000000000000001".parse().unwrap()),
                bid_fills: 3,
                trips: vec![TripStatus {
                    trigger: "rejects".to_string(),
                    action: "pause".to_string(),
                    reason: "5 of them".to_string(),
                    since: None,
                }],
                trip_counts: BTreeMap::from([("rejects".to_string(), 2)]),
                refusals: BTreeMap::from([("no_reserve".to_string(), 7), ("unfunded".to_string(), 1)]),
                ask_fills: 2,
                last_checkpoint_at: Some("2026-04-18T10:00:00.250Z".parse().unwrap()),
                last_checkpoint_pause_us: Some(1_500),
                ..Status::default()
            },
            writer: WriterGauges {
                queued: 4,
                commit_running_us: 12_345,
                dropped: 0,
                durable_seq: 987,
                wal_bytes: 4_120,
            },
            counts: Counts {
                faults: BTreeMap::from([("a \"b\"\\\n".to_string(), 1), ("feed".to_string(), 2)]),
                restarts: BTreeMap::from([(ActorName::Feed, 2)]),
                looked_ms: 59_000,
                beats_ms: vec![(ActorName::Writer, 200)],
                connected: Some(true),
            },
            supervisor_queued: 0,
            uptime_ms: 61_005,
            ledger_age_ms: Some(3_901),
            now_ms: 60_000,
            disk_free_bytes: Some(5_000_000_000),
            disk_min_free_bytes: 64_000_000,
            alerts: BTreeMap::from([((Kind::Fault, Outcome::Delivered), 1)]),
            alerts_held_back: BTreeMap::from([(Kind::Fault, 5)]),
        }
    }

    #[test]
    fn the_page_is_as_it_was() {
        let page = render(&snapshot());
        let golden = include_str!("metrics/golden.txt");
        let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
        // Line ends of a checkout are no matter of the page.
        assert_eq!(page, golden.replace('\r', "").replace("version=\"0.1.0\"", &version), "the page is now:\n{page}");
    }

    #[test]
    fn every_family_has_help_and_type_once_and_the_names_keep_to_the_conventions() {
        let page = render(&snapshot());
        let mut families = Vec::new();
        let mut lines = page.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = line.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
            assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert_eq!(kind == COUNTER, name.ends_with("_total"), "{name}");
            assert!(name.starts_with("neo_") && !families.contains(&name), "{name}");
            families.push(name);
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                let rest = sample.strip_prefix(name).unwrap();
                assert!(rest.starts_with(['{', ' ']), "{sample}");
            }
        }
        assert!(families.len() > 30);
    }

    #[test]
    fn what_is_not_known_has_no_sample() {
        let page = render(&Snapshot::default());
        for name in ["neo_value_rlusd", "neo_balance_drops", "neo_node_connected", "neo_disk_free_bytes"] {
            assert!(page.contains(&format!("# TYPE {name} gauge\n#")), "{name}: {page}");
        }
    }
}
