//! What single values cannot show: ranges, and settings that do not go together.

use std::collections::BTreeMap;
use std::fmt::Display;

use neo_ledger::Currency;
use neo_market::{Dec, Drops, Strategy};
use neo_sim::faults::FaultPlan;
use neo_store::record::Mode;

use super::layers::Origin;
use super::sections::{NetworkKind, Speed};
use super::{Config, Problem};

/// A transaction's fee is never above this: more is a mistake, not a fee.
const FEE_CEILING: Drops = Drops::new(2_000_000);
/// Lowest fee that a network accepts (xrpl.org, "Transaction Cost").
const FEE_FLOOR: Drops = Drops::new(10);
/// Longest session: a hundred years. Longer durations overflow ledger time.
const MAX_SESSION_S: u64 = 100 * 365 * 86_400;

/// Every mistake in a configuration whose values all have the right type.
pub(super) fn check(config: &Config, origins: &BTreeMap<String, Origin>) -> Vec<Problem> {
    let mut checks = Checks { origins, problems: Vec::new() };
    checks.session(config);
    checks.network(config);
    checks.account(config);
    let sections =
        [("quote", config.quote.problems()), ("price", config.price.problems()), ("risk", config.risk.problems())];
    for (section, problems) in sections {
        for problem in problems {
            let key = format!("{section}.{}", problem.key);
            checks.require(false, &key, &problem.value, &problem.reason, &problem.fix);
        }
    }
    checks.market(config);
    checks.orders(config);
    checks.store_and_stop(config);
    checks.feed(config);
    checks.supervisor(config);
    checks.unattended(config);
    checks.sim(config);
    checks.problems
}

struct Checks<'a> {
    origins: &'a BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    /// Notes a mistake unless `ok`.
    fn require(&mut self, ok: bool, key: &str, value: impl Display, reason: &str, fix: &str) {
        if !ok {
            let origin = self.origins.get(key).unwrap_or(&Origin::Default);
            self.problems.push(Problem::new(key, &value.to_string(), reason, fix, origin));
        }
    }

    fn session(&mut self, config: &Config) {
        let session = &config.session;
        if let Some(db) = &session.db {
            let reason = "it names no file";
            self.require(
                db.file_name().is_some(),
                "session.db",
                db.display(),
                reason,
                "name a file, such as data/neo.db",
            );
        }
        if let Some(duration) = session.duration {
            let shown = humantime::format_duration(duration);
            let in_range = duration.as_millis() >= 1_000 && duration.as_secs() <= MAX_SESSION_S;
            let fix = "use at least 1s, such as 30m; leave it out to run until stopped";
            self.require(in_range, "session.for", shown, "it is under a second or over a hundred years", fix);
        }
        if let Speed::Times(times) = session.speed {
            let possible = times.is_positive() && times <= Dec::from_i64(10_000);
            let fix = "use a number above 0 and up to 10000, or \"max\"";
            self.require(possible, "session.speed", times, "time cannot run so", fix);
        }
        let own_pace = matches!(session.mode, Mode::Sim | Mode::Replay);
        let real_time = session.speed == Speed::Times(Dec::one());
        let reason = format!("a session in mode {} runs in real time", session.mode);
        self.require(own_pace || real_time, "session.speed", session.speed, &reason, "use \"1\" or leave it out");
        let writable = i64::try_from(session.seed).is_ok();
        self.require(writable, "session.seed", session.seed, "it is over 63 bits", "use 0 to 9223372036854775807");
    }

    fn network(&mut self, config: &Config) {
        let (mode, network) = (config.session.mode, &config.network);
        let kind = network.kind.as_str();
        let embedded = network.kind == NetworkKind::Sim;
        match mode {
            Mode::Sim => {
                let fix = "use \"sim\", or set session.mode to paper or live";
                self.require(embedded, "network.kind", kind, "mode sim trades on the embedded ledger", fix);
            }
            Mode::Paper | Mode::Live => {
                let reason = format!("mode {mode} needs a real network, named on purpose");
                let fix = "use mainnet, testnet, devnet, standalone or custom";
                self.require(!embedded, "network.kind", kind, &reason, fix);
                let fix = "name the node's WebSocket address, such as ws://127.0.0.1:6006";
                let reason = format!("mode {mode} needs a node");
                self.require(network.url.is_some(), "network.url", "(not set)", &reason, fix);
            }
            Mode::Replay => {}
        }
        let more = network.more_urls.iter().map(|url| ("network.more_urls", url));
        for (key, url) in network.url.iter().map(|url| ("network.url", url)).chain(more) {
            let websocket =
                ["ws://", "wss://"].iter().any(|s| url.strip_prefix(s).is_some_and(|rest| !rest.is_empty()));
            let fix = "use ws://HOST:PORT or wss://HOST";
            self.require(websocket, key, url, "it is not a WebSocket address", fix);
            let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
            let no_user = !authority.is_some_and(|authority| authority.contains('@'));
            let fix = "leave user and password out of the address";
            self.require(no_user, key, url, "it carries credentials, which are no configuration", fix);
        }
        if let (Some(id), Some(fixed)) = (network.network_id, network.kind.network_id()) {
            let reason = format!("the id of this network is {fixed}");
            self.require(id == fixed, "network.network_id", id, &reason, "leave it out, or set network.kind to custom");
        }
        let custom = network.kind == NetworkKind::Custom && mode != Mode::Sim;
        let reason = "a network of one's own is known by its id alone";
        let fix = "give the id that server_info reports there";
        self.require(!custom || network.network_id.is_some(), "network.network_id", "(not set)", reason, fix);
        let interval = (250..=60_000).contains(&network.ledger_accept_ms);
        let reason = "a ledger must be worked through before the next one, and offers expire in close times";
        let fix = "use 250 to 60000, such as 4000";
        self.require(interval, "network.ledger_accept_ms", network.ledger_accept_ms, reason, fix);
        let reason = "each node whose ledgers are closed by request has a ledger of its own";
        let alone = !network.ledger_accept || network.more_urls.is_empty();
        self.require(alone, "network.more_urls", network.more_urls.len(), reason, "leave it out");
        let public = network.kind.network_id().is_some();
        let reason = "no public node lets its ledgers be closed by request";
        self.require(!(public && network.ledger_accept), "network.ledger_accept", true, reason, "use false");
    }

    fn account(&mut self, config: &Config) {
        let account = &config.account;
        if matches!(config.session.mode, Mode::Paper | Mode::Live) {
            let fix = "name the token's issuer; RLUSD on mainnet: rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De";
            let reason = "a token is named by its currency and its issuer";
            self.require(account.issuer.is_some(), "account.issuer", "(not set)", reason, fix);
        }
        if config.session.mode == Mode::Live {
            let reason = "mode live needs the account that the signing key belongs to";
            let fix = "name the account's address (begins with r)";
            self.require(account.address.is_some(), "account.address", "(not set)", reason, fix);
        }
        if config.session.mode == Mode::Paper {
            self.paper(config);
        }
        self.signer(config);
        if let (Some(issuer), Some(known)) = (account.issuer, config.network.kind.rlusd_issuer())
            && account.currency == Currency::RLUSD
        {
            let kind = config.network.kind.as_str();
            let reason = format!("the issuer of RLUSD on {kind} is {known}; any other's is another token");
            let fix = format!("use {known}, or correct network.kind");
            self.require(issuer.to_string() == known, "account.issuer", issuer, &reason, &fix);
        }
        if let (Some(address), Some(issuer)) = (account.address, account.issuer) {
            let reason = "an issuer cannot hold its own token";
            self.require(address != issuer, "account.address", address, reason, "name the trading account");
        }
    }

    /// A program that signs: complete, alone, and quick enough that waiting for it is not taken for a freeze.
    fn signer(&mut self, config: &Config) {
        let account = &config.account;
        if account.signer.is_empty() {
            let reason = "it says whose signatures account.signer gives, and there is no account.signer";
            let fix = "leave it out, or name the program that signs";
            let value = account.public_key.as_deref().unwrap_or_default();
            self.require(account.public_key.is_none(), "account.public_key", value, reason, fix);
            return;
        }
        let reason = "the signatures of account.signer are verified with it";
        let fix = "name the key's public key as the ledger's tools write it (begins with aB)";
        self.require(account.public_key.is_some(), "account.public_key", "(not set)", reason, fix);
        if let Some(file) = &account.key_file {
            let reason = "account.signer signs: which key is meant?";
            self.require(false, "account.key_file", file.display(), reason, "leave out the one or the other");
        }
        let (limit_ms, frozen_ms) = (account.signer_timeout_ms, config.supervisor.frozen_ms);
        let (at_once, longest_ms) = (config.signed_at_once(), config.longest_signing_ms());
        let reason = format!(
            "{at_once} cancels signed at once may take {longest_ms} ms, and after supervisor.frozen_ms = {frozen_ms} the \
             engine counts as frozen"
        );
        let fits = limit_ms > 0 && longest_ms < frozen_ms;
        let fix = "use at least 1, and less than supervisor.frozen_ms divided by four offers a level";
        self.require(fits, "account.signer_timeout_ms", limit_ms, &reason, fix);
    }

    /// Settings of quoting that the limits make impossible.
    fn market(&mut self, config: &Config) {
        let (quote, risk) = (&config.quote, &config.risk);
        let reason = format!("it is above risk.max_order_xrp = {}: every quote would be refused", risk.max_order_xrp);
        let fix = "use at most risk.max_order_xrp, or raise that limit";
        let key = if quote.sizes_xrp.is_empty() { "quote.size_xrp" } else { "quote.sizes_xrp" };
        // A share is cut to the limit.
        let largest = quote.largest_size_xrp().unwrap_or(risk.max_order_xrp);
        self.require(largest <= risk.max_order_xrp, key, largest, &reason, fix);
        let last_level = quote.levels.saturating_sub(1);
        for side in neo_market::Side::BOTH {
            // An offset that overflows is reported by the quotes' own checks.
            let leans = quote.inventory_target_pct.is_some() && quote.strategy == Strategy::Fixed;
            let skew = if leans { quote.skew_bps } else { Dec::zero() };
            let farthest = quote.farthest_bps(side, last_level).and_then(|offset| offset.add(skew));
            let inside = farthest.map_or(true, |offset| offset <= risk.price_band_bps);
            let reason =
                format!("the last {side} stands farther out: every such quote would be refused", side = side.as_str());
            let fix = "widen the band, or bring the offsets (max_offset_bps), the step, the levels or the skew in";
            self.require(inside, "risk.price_band_bps", risk.price_band_bps, &reason, fix);
        }
    }

    fn orders(&mut self, config: &Config) {
        let orders = &config.orders;
        let offset = (2..=50).contains(&orders.last_ledger_offset);
        let reason = "a transaction needs 2 ledgers to get in, and blocks its level until it is proven dead";
        self.require(offset, "orders.last_ledger_offset", orders.last_ledger_offset, reason, "use 2 to 50, such as 5");
        let fees = [
            ("orders.max_fee_drops", orders.max_fee_drops),
            ("orders.cancel_max_fee_drops", orders.cancel_max_fee_drops),
        ];
        for (key, fee) in fees {
            let in_range = (FEE_FLOOR..=FEE_CEILING).contains(&fee);
            let reason = "a highest fee is at least the network's 10 drops and at most 2 XRP";
            self.require(in_range, key, fee.get(), reason, "use 10 to 2000000 drops");
        }
        let (quote_fee, cancel_fee) = (orders.max_fee_drops, orders.cancel_max_fee_drops);
        let reason = "a cancel must get in where a quote does: it is below orders.max_fee_drops";
        let fix = "use at least orders.max_fee_drops";
        self.require(cancel_fee >= quote_fee, "orders.cancel_max_fee_drops", cancel_fee.get(), reason, fix);
        let budget = orders.fee_budget_drops_per_day;
        let some = budget == Drops::ZERO || (quote_fee..=Drops::new(100_000_000_000)).contains(&budget);
        let told = "a budget is at least one fee of orders.max_fee_drops and at most 100,000 XRP";
        let fix = "use drops, such as 10000000 for 10 XRP a day, or 0 for no limit";
        self.require(some, "orders.fee_budget_drops_per_day", budget.get(), told, fix);
        let audit = (1..=10_000).contains(&orders.audit_ledgers);
        let reason = "open offers must be compared with the node's from time to time";
        let reads = (1..=20).contains(&orders.orphan_reads);
        let told =
            "one list may be a late node's; at a start nothing is quoted until so many ledgers have listed an orphan";
        self.require(reads, "orders.orphan_reads", orders.orphan_reads, told, "use 1 to 20, such as 3");
        let tickets = orders.cancel_tickets <= 50;
        let told = "each ticket holds an owner reserve back, and an account has room for 250 of all its programs";
        self.require(tickets, "orders.cancel_tickets", orders.cancel_tickets, told, "use 0 to 50, such as 2");
        self.require(audit, "orders.audit_ledgers", orders.audit_ledgers, reason, "use 1 to 10000, such as 16");
    }

    fn store_and_stop(&mut self, config: &Config) {
        let checkpoint_s = config.store.checkpoint_s;
        let reason = "without checkpoints the write-ahead log grows without limit: starts slow down, the disk fills";
        self.require(checkpoint_s != 0, "store.checkpoint_s", checkpoint_s, reason, "use 1 to 3600, such as 60");
        let reason = "over an hour of write-ahead log is kept";
        self.require(checkpoint_s <= 3_600, "store.checkpoint_s", checkpoint_s, reason, "use 1 to 3600, such as 60");
        let limit_ms = config.store.commit_limit_ms;
        let reason = "a disk takes some time to sync, and a quote that waits a minute for its record is worthless";
        let range = (100..=60_000).contains(&limit_ms);
        self.require(range, "store.commit_limit_ms", limit_ms, reason, "use 100 to 60000, such as 5000");
        self.backups(config);
        let (deadline, urgent) = (config.stop.deadline_ms, config.stop.urgent_deadline_ms);
        let reason = "cancels need a few ledgers of 4 s to be validated, and a stop must end";
        let range = (1_000..=600_000).contains(&deadline);
        self.require(range, "stop.deadline_ms", deadline, reason, "use 1000 to 600000, such as 30000");
        let range = (200..=4_500).contains(&urgent);
        let reason = "the system ends the process about 5 s after an urgent stop begins";
        self.require(range, "stop.urgent_deadline_ms", urgent, reason, "use 200 to 4500, such as 3000");
        let reason = "it is above stop.deadline_ms: the urgent stop would be the slower one";
        let fix = "use at most stop.deadline_ms";
        self.require(urgent <= deadline, "stop.urgent_deadline_ms", urgent, reason, fix);
    }

    fn backups(&mut self, config: &Config) {
        let store = &config.store;
        let reason = "at least one backup is kept, and each is a whole copy of the record";
        let range = (1..=1_000).contains(&store.backups_keep);
        self.require(range, "store.backups_keep", store.backups_keep, reason, "use 1 to 1000, such as 10");
        let rules = [("store.backups_daily", store.backups_daily), ("store.backups_weekly", store.backups_weekly)];
        for (key, value) in rules {
            self.require(value <= 1_000, key, value, "each is a whole copy of the record", "use 0 to 1000, such as 7");
        }
        let keep_days = store.snapshots_keep_days;
        let fix = "use 1 to 3660, such as 14, or 0 to keep all";
        self.require(keep_days <= 3_660, "store.snapshots_keep_days", keep_days, "it is over ten years", fix);
        // What is thinned out may be the highest value: a drawdown over a restart would be counted from less.
        let triggers = &config.risk.triggers;
        let days = triggers.loss_days;
        let keeps_the_peak = keep_days == 0 || keep_days >= days || !triggers.measures_loss();
        let reason = format!(
            "a loss is counted from the highest value of {days} days (risk.triggers.loss_days), and snapshots from then are \
             thinned out"
        );
        let fix = format!("use {days} or more, 0 to keep all, or a smaller risk.triggers.loss_days");
        self.require(keeps_the_peak, "store.snapshots_keep_days", keep_days, &reason, &fix);
    }

    /// The mirror of a real market.
    fn paper(&mut self, config: &Config) {
        let reason = "mode paper mirrors books of RLUSD alone";
        let currency = config.account.currency;
        self.require(currency == Currency::RLUSD, "account.currency", currency, reason, "use RLUSD");
        let (id, real) = (config.sim.network_id, config.network.expected_network_id());
        let apart = id > 1_024 && id != real;
        let reason = "what is signed on the mirror must be worth nothing on a real network";
        let fix = format!("use a number above 1024 that is not {real}, such as 65001");
        self.require(apart, "sim.network_id", id, reason, &fix);
        let reason = "in mode paper the market is the real one";
        let tape = config.sim.tape.as_ref().map_or_else(String::new, |file| file.display().to_string());
        self.require(config.sim.tape.is_none(), "sim.tape", tape, reason, "leave it out");
        let none = config.sim.faults == FaultPlan::default();
        self.require(none, "sim.faults", "(set)", reason, "leave it out");
    }

    fn sim(&mut self, config: &Config) {
        let (replays, recording) = (config.session.mode == Mode::Replay, &config.sim.recording);
        let fix = "run `neo replay FILE`";
        let shown = recording.as_ref().map_or_else(|| "(not set)".to_string(), |file| file.display().to_string());
        let reason = "a recording is replayed and not run";
        self.require(replays || recording.is_none(), "sim.recording", shown, reason, fix);
        for problem in config.sim.problems() {
            let key = format!("sim.{}", problem.field);
            self.require(false, &key, problem.value, "no world can be made of it", problem.fix);
        }
        if let (NetworkKind::Sim, Some(id)) = (config.network.kind, config.network.network_id) {
            let reason = format!("the embedded ledger's id is sim.network_id = {}", config.sim.network_id);
            let same = id == config.sim.network_id;
            self.require(same, "network.network_id", id, &reason, "leave it out, or set sim.network_id to the same");
        }
    }

    fn unattended(&mut self, config: &Config) {
        if let Some(address) = config.metrics.listen {
            let reason = "the metrics tell what the account holds, without asking who reads: loopback only";
            let fix = "use 127.0.0.1:9464; to read them from elsewhere, put a proxy with a password before it";
            self.require(address.ip().is_loopback(), "metrics.listen", address, reason, fix);
        }
        let alerts = &config.alerts;
        let named = alerts.command.first().is_none_or(|program| !program.trim().is_empty());
        let reason = "it names no program";
        let fix = "name a program and its arguments, such as [\"/usr/local/bin/page-me\", \"neo\"]";
        self.require(named, "alerts.command", format!("{:?}", alerts.command), reason, fix);
        let day = 86_400;
        let interval = (1..=day).contains(&alerts.min_interval_s);
        let reason = "every event would be an alert, or none for over a day";
        self.require(interval, "alerts.min_interval_s", alerts.min_interval_s, reason, "use 1 to 86400, such as 300");
        let timeout = (1..=300).contains(&alerts.timeout_s);
        let reason = "a program needs some time, and the next alert waits for it";
        self.require(timeout, "alerts.timeout_s", alerts.timeout_s, reason, "use 1 to 300, such as 10");
        let pause = (1..=day).contains(&alerts.pause_s);
        let reason = "every ledger without a quote would be a pause, or none for over a day";
        self.require(pause, "alerts.pause_s", alerts.pause_s, reason, "use 1 to 86400, such as 300");
        let min_free_mb = config.store.min_free_mb;
        let reason = "it is over a terabyte";
        self.require(
            min_free_mb <= 1_000_000,
            "store.min_free_mb",
            min_free_mb,
            reason,
            "use 0 to 1000000, such as 64",
        );
        let keep_days = config.log.keep_days;
        let reason = "today's log is kept in any case, and a file a day for over ten years is no rotation";
        self.require((1..=3_660).contains(&keep_days), "log.keep_days", keep_days, reason, "use 1 to 3660, such as 30");
    }

    fn supervisor(&mut self, config: &Config) {
        let frozen_ms = config.supervisor.frozen_ms;
        let range = (1_000..=120_000).contains(&frozen_ms);
        let reason = "a busy machine must not look frozen, and offers that nobody manages must not stay for long";
        self.require(range, "supervisor.frozen_ms", frozen_ms, reason, "use 1000 to 120000, such as 10000");
    }

    fn feed(&mut self, config: &Config) {
        let feed = &config.feed;
        let silence = (5_000..=600_000).contains(&feed.silence_ms);
        let reason = "a node sends a message every 4 s, and a dead connection must be noticed";
        self.require(silence, "feed.silence_ms", feed.silence_ms, reason, "use 5000 to 600000, such as 20000");
        let outage = (1_000..=86_400_000).contains(&feed.outage_ms);
        let reason = "a session without a node trades nothing, and a short cut must not end it";
        self.require(outage, "feed.outage_ms", feed.outage_ms, reason, "use 1000 to 86400000, such as 60000");
        let fix = "use 0 or more, such as 1";
        self.require(!feed.dust_xrp.is_negative(), "feed.dust_xrp", feed.dust_xrp, "a size is not negative", fix);
        let depth = (1..=400).contains(&feed.depth);
        let reason = "the middle needs a level, and nodes answer with 400 offers a side at most";
        self.require(depth, "feed.depth", feed.depth, reason, "use 1 to 400, such as 20");
        let (book, reason) = (feed.book_ledgers <= 10_000, "between two readings only what the stream tells is known");
        self.require(book, "feed.book_ledgers", feed.book_ledgers, reason, "use 0 to 10000, such as 4");
        let rotate_mb = feed.record_rotate_mb;
        let range = (1..=1_000_000).contains(&rotate_mb);
        let reason = "a part of a recording has some size, and at most a terabyte";
        self.require(range, "feed.record_rotate_mb", rotate_mb, reason, "use 1 to 1000000, such as 256");
        let named = feed.record.as_ref().is_none_or(|file| file.file_name().is_some());
        let shown = feed.record.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
        self.require(named, "feed.record", shown, "it names no file", "name one, such as data/node.jsonl.gz");
    }
}
