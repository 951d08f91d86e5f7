//! What the actors start with: from the configuration, and from what earlier sessions left in the record.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use neo_actors::feed::core::{Closes, FeedConfig};
use neo_actors::feed::looks::Looks;
use neo_actors::orders::adopt::Adoptable;
use neo_actors::orders::core::OrdersConfig;
use neo_actors::orders::fees::FeePaid;
use neo_actors::orders::watch::WatchStart;
use neo_actors::outside::OutsideSlot;
use neo_ledger::keys::Keypair;
use neo_ledger::types::{Hash, LedgerTime};
use neo_market::triggers::worth::{Sample, Worth};
use neo_market::{Dec, Drops, Rounding, Trigger};
use neo_store::open::Store;
use neo_store::record::{CheckpointOwner, Mode};
use neo_store::{OpenOrder, WorthRow};

use crate::config::{Config, Orphans, Speed};
use crate::live::world::World;
use crate::pause::latch;
use crate::supervisor::crew::CrewConfig;
use crate::venue::{Venue, is_simulated};

pub(super) fn of(config: &Config, venue: &Venue, world: &World, key: &Keypair, store: &Store) -> Result<CrewConfig> {
    // Ledger time is whole seconds: any part of one is a whole one.
    let seconds = |duration: Duration| u32::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
    // Nothing of another world is looked for in this one. What was signed for a mirror that is gone is settled by
    // [`lost`](super::lost).
    let another = world.is_another();
    let begins_anew = another || venue.is_new_mirror();
    let inherited = if begins_anew { Vec::new() } else { store.unsettled_intents()? };
    let unsettled = inherited.into_iter().map(|row| -> Result<(Hash, u32)> {
        Ok((row.intent.tx_hash.parse().context("an intent's hash in the record")?, row.intent.last_ledger_sequence))
    });
    // A new mirror has nothing of an earlier one, though its indexes may overlap: history begins with its first ledger. What
    // was open in the earlier one is told of by [`lost`](super::lost).
    let last = store.last_ledger()?.filter(|_| !begins_anew);
    let last_processed = last.as_ref().map(|last| last.index);
    // A simulated world is the engine's own, and one that was killed goes on from what it had saved.
    let is_live = config.session.mode == Mode::Live;
    let last_hash = last.filter(|_| is_live).and_then(|last| last.hash).map(|hash| hash.parse()).transpose();
    let settled = store
        .settled_since(last_processed.unwrap_or(0))?
        .into_iter()
        .filter(|_| !another)
        .map(|hash| -> Result<Hash> { hash.parse().context("a settled intent's hash in the record") });
    let (token, network_id) = (venue.token, venue.network_id);
    let is_public = !is_simulated(config.session.mode) && config.network.kind.network_id().is_some();
    let (depth, dust) = (config.feed.depth, Drops::from_xrp(config.feed.dust_xrp, Rounding::Down)?);
    Ok(CrewConfig {
        nodes: venue.nodes().to_vec(),
        feed: FeedConfig {
            account: key.address(),
            token,
            network_id,
            closes: venue.closes,
            nodes: venue.nodes().len(),
            seed: config.session.seed ^ u64::from(std::process::id()),
            is_public,
            looks: looks(config, venue, is_public),
            depth,
            dust,
            price: config.price.clone(),
            silence_ms: config.feed.silence_ms,
            request_timeout_ms: config.feed.silence_ms,
            audit_ledgers: config.orders.audit_ledgers,
            last_processed,
            last_hash: last_hash.context("the hash of the last ledger in the record")?,
            refetch_from: store.refetch_from()?.filter(|_| !begins_anew),
        },
        outside: OutsideSlot::default(),
        orders: OrdersConfig {
            token,
            network_id,
            quote: config.quote.clone(),
            risk: config.risk.clone(),
            last_ledger_offset: config.orders.last_ledger_offset,
            max_fee: config.orders.max_fee_drops,
            cancel_max_fee: config.orders.cancel_max_fee_drops,
            fee_budget: config.orders.fee_budget_drops_per_day,
            fees_paid: if another { Vec::new() } else { fees_paid(store)? },
            trade_for_s: config.session.duration.map(seconds),
            unsettled: unsettled.collect::<Result<_>>()?,
            settled: settled.collect::<Result<_>>()?,
            adoptable: if another { Vec::new() } else { adoptable(config, store)? },
            orphan_reads: config.orders.orphan_reads,
            cancel_tickets: config.orders.cancel_tickets,
            paused: crate::pause::wanted(store.path()),
            watch: watch(config, venue, world, store)?,
        },
        checkpoint_every: (config.store.checkpoint == CheckpointOwner::Own)
            .then(|| Duration::from_secs(u64::from(config.store.checkpoint_s))),
        frozen_ms: config.supervisor.frozen_ms,
        orders_patience: config.orders_patience(),
        path: store.path().to_path_buf(),
        // Set when the session has a number.
        session: 0,
        recorder: None,
    })
}

/// What is asked for with a ledger. The mirror of a market hands over its ledgers whole, and its book is exact.
fn looks(config: &Config, venue: &Venue, is_public: bool) -> Looks {
    let shared = || venue.nodes().iter().any(|node| !is_private(&node.url));
    match config.session.mode {
        Mode::Replay | Mode::Paper => Looks::EXACT,
        _ if is_public && shared() => Looks::public(config.feed.book_ledgers),
        _ => Looks::OWN_NODE,
    }
}

/// Whether an address is of this machine or of a private network: such a node is nobody else's.
fn is_private(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(bracketed),
        None => authority.split(':').next().unwrap_or(authority),
    };
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// What the triggers begin with. Where the operator resumed from a loss while no engine ran, it is counted from now on.
fn watch(config: &Config, venue: &Venue, world: &World, store: &Store) -> Result<WatchStart> {
    let latched = latch::held(store.path()).context("the latch of the triggers cannot be read")?;
    let held = |trigger: &Trigger| latched.iter().any(|(other, _)| other == trigger);
    let released: Vec<Trigger> = store.standing_latches()?.into_iter().filter(|trigger| !held(trigger)).collect();
    let triggers = &config.risk.triggers;
    let remembers =
        !world.is_another() && triggers.measures_loss() && !released.iter().any(|trigger| trigger.is_loss());
    let mut worth = Worth::new(triggers.loss_days);
    let mut told_flows = Vec::new();
    if remembers {
        let mut failed = None;
        store.worth_history(triggers.loss_days, |row| {
            failed = take_over(&mut worth, &mut told_flows, row).err().or(failed.take());
        })?;
        if let Some(error) = failed {
            return Err(error.context("what a loss is counted from, in the record"));
        }
    }
    // The ledgers of a new mirror, or of another world, are none of those that these were counted in.
    let counts = |trigger: Trigger| triggers.is_on(trigger) && !venue.is_new_mirror() && !world.is_another();
    let rejects = if counts(Trigger::Rejects) && !released.contains(&Trigger::Rejects) {
        store.rejects(triggers.rejects_window_s)?
    } else {
        Vec::new()
    };
    let fees_resumed = match released.contains(&Trigger::Fees) {
        true => Some(LedgerTime(u32::MAX)),
        false if world.is_another() => None,
        false => store.resumed_from(Trigger::Fees)?.and_then(ledger_time),
    };
    Ok(WatchStart {
        worth: Some(worth),
        told_flows,
        rejects: rejects.into_iter().filter_map(ledger_time).collect(),
        fees_resumed,
        latched,
        released,
        ledgers_come: ledgers_come(config, venue),
        by_the_clock: config.session.mode == Mode::Live && config.network.kind.network_id().is_some(),
    })
}

/// `None` for a time before the ledger's epoch, which is no ledger's.
fn ledger_time(at: DateTime<Utc>) -> Option<LedgerTime> {
    LedgerTime::from_unix_s(at.timestamp())
}

/// Whether a ledger comes by itself, and often enough for its absence to mean something: a stand-alone node closes one when
/// somebody asks it to, and a simulated one as slowly as it is told to.
fn ledgers_come(config: &Config, venue: &Venue) -> bool {
    let network = venue.closes == Closes::Network;
    let real_time = match config.session.speed {
        Speed::Times(times) => times >= Dec::one() && config.sim.close_interval_ms <= 10_000,
        Speed::Max => true,
    };
    network && (real_time || !is_simulated(config.session.mode))
}

/// Flows after the last value are told again with the session's first ledger, where the killed engine had not come to
/// the end of theirs.
fn take_over(worth: &mut Worth, told_flows: &mut Vec<Hash>, row: WorthRow) -> Result<()> {
    match row {
        WorthRow::Flow { tx_hash, xrp, rlusd } => {
            told_flows
                .extend(tx_hash.map(|hash| hash.parse::<Hash>()).transpose().context("a flow's transaction hash")?);
            worth.flow(xrp, rlusd)?;
        }
        WorthRow::Held { close_time, xrp, rlusd, mark } => {
            told_flows.clear();
            if let Some(at) = LedgerTime::from_unix_s(close_time.timestamp()) {
                worth.remember(&Sample { at_s: at.0, xrp, rlusd, mark })?;
            }
        }
    }
    Ok(())
}

/// What the budget of fees is charged from the start; a time before the ledger's epoch is no ledger's.
fn fees_paid(store: &Store) -> Result<Vec<FeePaid>> {
    let paid = store.fees_of_last_day()?.into_iter().map(|paid| -> Result<Option<FeePaid>> {
        let hash = paid.tx_hash.parse().context("a fee's transaction hash in the record")?;
        let close_time = LedgerTime::from_unix_s(paid.close_time.timestamp());
        Ok(close_time.map(|close_time| FeePaid { hash, close_time, fee: paid.fee }))
    });
    Ok(paid.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Offers of earlier sessions that may still stand and are to be taken over; one without an Expiration never is.
fn adoptable(config: &Config, store: &Store) -> Result<Vec<Adoptable>> {
    if config.orders.orphans == Orphans::Cancel {
        return Ok(Vec::new());
    }
    let known = |order: OpenOrder| {
        Some(Adoptable {
            sequence: order.offer_sequence,
            side: order.side,
            level: order.level,
            price: order.price,
            placed_ledger: order.ledger_index,
            expires: LedgerTime::from_unix_s(order.expiration?.timestamp())?,
        })
    };
    // A new simulated world counts its numbers from the start again: the newest order of a number is the one meant.
    Ok(store.open_orders()?.into_iter().rev().filter_map(known).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_in_a_private_network_is_ones_own() {
        for url in [
            "ws://127.0.0.1:6006",
            "wss://user:word@10.1.2.3/x",
            "ws://[::1]:6006",
            "ws://LocalHost",
            "ws://[fd00::1]/",
        ] {
            assert!(is_private(url), "{url}");
        }
        for url in
            ["wss://xrplcluster.com", "wss://s1.ripple.com:51233/", "ws://8.8.8.8:1", "ws://localhost.example.com"]
        {
            assert!(!is_private(url), "{url}");
        }
    }
}
