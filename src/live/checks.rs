//! What is wrong with trading as configured, judged from what a node says. Pure.

use chrono::{DateTime, Utc};
use neo_ledger::result::{AccountInfo, LSF_REQUIRE_AUTH, ServerInfo, TrustLine, ValidatedLedger};
use neo_ledger::types::{Address, Token};
use neo_market::{Dec, Drops};

use super::Refusal;
use super::facts::{Facts, LedgerFacts};
use crate::config::{Config, NetworkKind};
use crate::exit::ExitCode;

/// States of a server that follows the network (xrpl.org, "Possible Server States").
const SYNCED: [&str; 3] = ["full", "validating", "proposing"];
/// Ledgers close every four seconds: a node whose newest one is older than this is behind, or the network stands.
const MAX_AGE_S: u64 = 60;
/// Close times are rounded to ten seconds and lie up to one ledger back; a clock farther off than this is wrong.
const MAX_CLOCK_OFF_S: i64 = 60;
/// What costs nothing to move, in billionths; 0 says the same (xrpl.org, "Transfer Fees").
const NO_TRANSFER_FEE: u32 = 1_000_000_000;

/// What trading needs.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The network.
    pub kind: NetworkKind,
    /// The id that the node must report.
    pub network_id: u32,
    /// Whether the engine closes the node's ledgers.
    pub ledger_accept: bool,
    /// The account.
    pub account: Address,
    /// The token.
    pub token: Token,
    /// The key's own address; `None` where no key is asked for.
    pub key: Option<Address>,
    /// Offers that stand at once.
    pub offers: u32,
    /// Highest fee of a quote.
    pub max_fee: Drops,
}

impl Wanted {
    /// What a configuration asks for.
    ///
    /// # Errors
    /// A configuration without an issuer.
    pub fn of(config: &Config, account: Address, key: Option<Address>) -> Result<Wanted, Refusal> {
        let absent = || Refusal {
            exit: ExitCode::Usage,
            text: "account.issuer is not set: a token is named by its currency and its issuer".to_string(),
        };
        Ok(Wanted {
            kind: config.network.kind,
            network_id: config.network.expected_network_id(),
            ledger_accept: config.network.ledger_accept,
            account,
            token: config.account.token().ok_or_else(absent)?,
            key,
            offers: u32::from(config.quote.levels).saturating_mul(2),
            max_fee: config.orders.max_fee_drops,
        })
    }

    fn stands_alone(&self) -> bool {
        self.kind == NetworkKind::Standalone
    }
}

/// What a check means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Ok,
    /// Somebody should do something; a session may begin.
    Problem,
    /// No session begins.
    Refuse(ExitCode),
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub check: &'static str,
    /// What it means.
    pub verdict: Verdict,
    /// What was seen, and what to do where something is wrong.
    pub text: String,
}

/// A finding that is in order.
#[must_use]
pub fn ok(check: &'static str, text: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Ok, text: text.into() }
}

/// A finding that somebody should act on.
#[must_use]
pub fn problem(check: &'static str, text: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Problem, text: text.into() }
}

/// A finding that no session begins with until the configuration is corrected.
fn misconfigured(check: &'static str, text: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Refuse(ExitCode::Usage), text: text.into() }
}

/// A finding that no session begins with until the world is another.
fn impossible(check: &'static str, text: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Refuse(ExitCode::Failed), text: text.into() }
}

/// True when the node is one to ask for the ledger.
#[must_use]
pub fn is_fit(server: &ServerInfo, wanted: &Wanted) -> bool {
    node(server, wanted).iter().all(|finding| finding.verdict == Verdict::Ok)
}

/// Every check, in the order in which things are to be put right.
#[must_use]
pub fn judge(facts: &Facts, wanted: &Wanted, now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = node(&facts.server, wanted);
    let (Some(ledger), Some(validated)) = (&facts.ledger, &facts.server.validated) else { return findings };
    findings.extend(ledger_accept(ledger));
    findings.extend(account(ledger, wanted, validated));
    findings.push(fee(ledger, wanted));
    findings.push(clock(ledger, wanted, now));
    findings
}

/// What is wrong with the node itself.
#[must_use]
pub fn node(server: &ServerInfo, wanted: &Wanted) -> Vec<Finding> {
    let found = server.network_id.unwrap_or(0);
    let mut findings = vec![if found == wanted.network_id {
        ok("network", format!("{}, id {found}, rippled {}", wanted.kind.as_str(), server.build_version))
    } else {
        misconfigured(
            "network",
            format!(
                "the node is on network {found}, the configuration says {} ({}): correct network.url or network.kind; \
                 nothing was signed",
                wanted.network_id,
                wanted.kind.as_str()
            ),
        )
    }];
    findings.push(if server.amendment_blocked {
        impossible(
            "amendments",
            "the node is amendment blocked: it does not know the network's rules any more. Use another node, or update \
             it",
        )
    } else {
        ok("amendments", "the node knows the network's rules")
    });
    let state = &server.server_state;
    findings.push(match &server.validated {
        _ if !SYNCED.contains(&state.as_str()) => impossible(
            "sync",
            format!("the node is {state}, not yet synced with its network: wait until it is full, or use another node"),
        ),
        None => impossible("sync", "the node has no validated ledger: wait until it is synced, or use another node"),
        // Where nobody closes ledgers the newest one is old.
        Some(ledger) if !wanted.stands_alone() && ledger.age_s.is_some_and(|age| age > MAX_AGE_S) => impossible(
            "sync",
            format!(
                "the node's newest validated ledger is {} s old: it is behind its network. Wait, or use another node",
                ledger.age_s.unwrap_or(0)
            ),
        ),
        Some(ledger) => ok("sync", format!("{state}, ledger {} is validated", ledger.ledger_index)),
    });
    findings
}

fn ledger_accept(ledger: &LedgerFacts) -> Option<Finding> {
    Some(match ledger.ledger_accept.as_ref()? {
        Ok(()) => ok("ledger_accept", "the node closes a ledger when it is asked to"),
        Err(error) => misconfigured(
            "ledger_accept",
            format!(
                "the node does not close ledgers on request ({error}): set network.ledger_accept to false, or use the \
                 admin port of a stand-alone node"
            ),
        ),
    })
}

fn account(ledger: &LedgerFacts, wanted: &Wanted, validated: &ValidatedLedger) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(account) = &ledger.account else {
        let text = format!(
            "account {} is not on this ledger: send it at least {} XRP, or correct account.address",
            wanted.account,
            xrp(reserve(validated, wanted.offers.saturating_add(1)))
        );
        return vec![impossible("account", text)];
    };
    findings.push(ok("account", format!("{}, sequence {}", account.account, account.sequence)));
    findings.extend(wanted.key.map(|key| signer(key, account)));
    findings.extend(token(ledger, wanted));
    findings.push(funds(account, ledger.line.as_ref(), wanted, validated));
    findings
}

/// Whether a key, named by its own address, may sign for the account.
#[must_use]
pub fn signer(key: Address, account: &AccountInfo) -> Finding {
    let regular = match account.regular_key {
        Some(regular) => format!("whose regular key is {regular}"),
        None => "which has no regular key".to_string(),
    };
    if account.regular_key == Some(key) {
        return ok("key", format!("{key} is the account's regular key"));
    }
    let owner = account.account;
    if key != owner {
        let text = format!(
            "the key given is that of {key}; the account is {owner}, {regular}: give the seed of the account or of its \
             regular key, or correct account.address"
        );
        return misconfigured("key", text);
    }
    if account.master_is_disabled() {
        let text = format!("the master key of {owner} is disabled, {regular}: give the seed of the regular key");
        return misconfigured("key", text);
    }
    ok("key", "the account's master key")
}

fn token(ledger: &LedgerFacts, wanted: &Wanted) -> Vec<Finding> {
    let token = wanted.token;
    let Some(issuer) = &ledger.issuer else {
        let text =
            format!("the issuer {} is not on this ledger: correct account.issuer, or network.kind", token.issuer);
        return vec![misconfigured("issuer", text)];
    };
    let mut findings = vec![ok("issuer", format!("{}", token.issuer))];
    let Some(line) = &ledger.line else {
        let text = format!("the account has no trust line for {} of {}: run neo setup", token.currency, token.issuer);
        findings.push(impossible("trust line", text));
        return findings;
    };
    let unauthorized = issuer.flags & LSF_REQUIRE_AUTH != 0 && !line.authorized_by_peer;
    findings.push(if unauthorized {
        impossible("trust line", "the issuer has not authorised the trust line: ask it to")
    } else if line.limit <= line.balance {
        // An offer is filled beyond the limit all the same; only payments are not.
        ok("trust line", format!("holds {}, limit {}: offers fill beyond it", line.balance, line.limit))
    } else {
        ok("trust line", format!("holds {}, limit {}", line.balance, line.limit))
    });
    findings.push(freeze(issuer, line));
    findings.push(match issuer.tick_size {
        Some(digits) => ok("tick size", format!("{digits} significant digits of a rate")),
        None => ok("tick size", "none: rates are not rounded"),
    });
    findings.push(match issuer.transfer_rate.filter(|rate| *rate != 0 && *rate != NO_TRANSFER_FEE) {
        None => ok("transfer rate", "none: moving the token is free"),
        Some(rate) => problem(
            "transfer rate",
            format!(
                "the issuer takes {} billionths of what is moved: whoever sells the token pays it; bids stand lower by it",
                rate.saturating_sub(NO_TRANSFER_FEE)
            ),
        ),
    });
    findings
}

fn freeze(issuer: &AccountInfo, line: &TrustLine) -> Finding {
    if line.deep_frozen_by_peer {
        return problem("freeze", "the issuer has frozen the trust line deeply: nothing can be traded; ask the issuer");
    }
    if line.frozen_by_peer {
        return problem("freeze", "the issuer has frozen the trust line: asks only, no bid is funded; ask the issuer");
    }
    if issuer.has_global_freeze() {
        return problem("freeze", "the issuer has frozen all its tokens: nothing can be sold for them; wait");
    }
    if line.frozen {
        return problem("freeze", "the account itself froze this trust line: clear it with a TrustSet");
    }
    ok("freeze", "nothing is frozen")
}

fn funds(account: &AccountInfo, line: Option<&TrustLine>, wanted: &Wanted, validated: &ValidatedLedger) -> Finding {
    let needed = reserve(validated, account.owner_count.saturating_add(wanted.offers));
    let held = line.map_or_else(Dec::zero, |line| line.balance);
    let states = format!(
        "{} XRP and {held} of the token; reserve {} XRP now, {} XRP with {} offers ({} and {} each)",
        xrp(account.balance),
        xrp(reserve(validated, account.owner_count)),
        xrp(needed),
        wanted.offers,
        xrp(validated.reserve_base),
        xrp(validated.reserve_inc)
    );
    if account.balance <= needed {
        return problem("funds", format!("{states}: send the account more XRP, or quote fewer levels"));
    }
    if !held.is_positive() {
        return problem("funds", format!("{states}: without the token nothing is bid; send some"));
    }
    ok("funds", states)
}

/// What an account with so many objects must keep.
fn reserve(validated: &ValidatedLedger, objects: u32) -> Drops {
    let each = validated.reserve_inc.get().saturating_mul(i64::from(objects));
    Drops::new(validated.reserve_base.get().saturating_add(each))
}

fn fee(ledger: &LedgerFacts, wanted: &Wanted) -> Finding {
    let (open, max) = (ledger.fee.open_ledger_fee, wanted.max_fee);
    if open > max {
        let text = format!(
            "a transaction costs {} drops now, more than orders.max_fee_drops = {}: quotes wait until it falls",
            open.get(),
            max.get()
        );
        return problem("fee", text);
    }
    ok("fee", format!("{} drops, at most {}", open.get(), max.get()))
}

fn clock(ledger: &LedgerFacts, wanted: &Wanted, now: DateTime<Utc>) -> Finding {
    let off_s = now.timestamp().saturating_sub(ledger.close_time.to_unix_s());
    if wanted.stands_alone() || wanted.kind == NetworkKind::Custom {
        return ok("clock", format!("{off_s} s after the last close; such a node's ledgers run by their own time"));
    }
    if off_s.abs() > MAX_CLOCK_OFF_S {
        let text = format!(
            "this machine's clock is {off_s} s after the last ledger's close time: set it (NTP); records carry its time"
        );
        return problem("clock", text);
    }
    ok("clock", format!("{off_s} s after the last close"))
}

/// Drops as XRP, for people.
fn xrp(drops: Drops) -> String {
    drops.to_xrp().map_or_else(|_| format!("{} drops of", drops.get()), |xrp| xrp.to_string())
}

#[cfg(test)]
mod tests;
