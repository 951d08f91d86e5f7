//! What the actors start with: from the configuration, and from what earlier sessions left in the record.

use std::time::Duration;

use anyhow::{Context as _, Result};
use neo_actors::feed::core::{Closes, FeedConfig};
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

use crate::config::{Config, NetworkKind, Orphans, Speed};
use crate::pause::latch;
use crate::supervisor::crew::CrewConfig;
use crate::venue::{Venue, is_simulated};

pub(super) fn of(config: &Config, venue: &Venue, key: &Keypair, store: &Store) -> Result<CrewConfig> {
    // Ledger time is whole seconds: any part of one is a whole one.
    let seconds = |duration: Duration| u32::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
    let begins_anew = venue.is_new_mirror();
    // What was signed for a mirror that is gone is settled by [`lost`](super::lost): no ledger of the new one tells of it.
    let inherited = if begins_anew { Vec::new() } else { store.unsettled_intents()? };
    let unsettled = inherited.into_iter().map(|row| -> Result<(Hash, u32)> {
        Ok((row.intent.tx_hash.parse().context("an intent's hash in the record")?, row.intent.last_ledger_sequence))
    });
    // A new mirror has nothing of an earlier one, though its indexes may overlap: history begins with its first ledger. What
    // was open in the earlier one is told of by [`lost`](super::lost).
    let last_processed = store.last_processed_ledger()?.filter(|_| !begins_anew);
    let settled = store
        .settled_since(last_processed.unwrap_or(0))?
        .into_iter()
        .map(|hash| -> Result<Hash> { hash.parse().context("a settled intent's hash in the record") });
    let (token, network_id) = (venue.token, venue.network_id);
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
            is_public: !is_simulated(config.session.mode) && config.network.kind.network_id().is_some(),
            depth,
            dust,
            price: config.price.clone(),
            silence_ms: config.feed.silence_ms,
            request_timeout_ms: config.feed.silence_ms,
            audit_ledgers: config.orders.audit_ledgers,
            last_processed,
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
            fees_paid: fees_paid(store)?,
            trade_for_s: config.session.duration.map(seconds),
            unsettled: unsettled.collect::<Result<_>>()?,
            settled: settled.collect::<Result<_>>()?,
            adoptable: adoptable(config, store)?,
            orphan_reads: config.orders.orphan_reads,
            cancel_tickets: config.orders.cancel_tickets,
            paused: crate::pause::wanted(store.path()),
            watch: watch(config, venue, store)?,
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

/// What the triggers begin with. Where the operator resumed from a loss while no engine ran, it is counted from now on.
fn watch(config: &Config, venue: &Venue, store: &Store) -> Result<WatchStart> {
    let latched = latch::held(store.path()).context("the latch of the triggers cannot be read")?;
    let held = |trigger: &Trigger| latched.iter().any(|(other, _)| other == trigger);
    let released: Vec<Trigger> = store.standing_latches()?.into_iter().filter(|trigger| !held(trigger)).collect();
    let triggers = &config.risk.triggers;
    let remembers = triggers.measures_loss() && !released.iter().any(|trigger| trigger.is_loss());
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
    Ok(WatchStart {
        worth: Some(worth),
        told_flows,
        latched,
        released,
        ledgers_come: ledgers_come(config, venue),
        by_the_clock: config.session.mode == Mode::Live && config.network.kind.network_id().is_some(),
    })
}

/// Whether a ledger comes by itself, and often enough for its absence to mean something: a stand-alone node closes one when
/// somebody asks it to, and a simulated one as slowly as it is told to.
fn ledgers_come(config: &Config, venue: &Venue) -> bool {
    let network = venue.closes == Closes::Network && config.network.kind != NetworkKind::Standalone;
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
                worth.sample(&Sample { at_s: at.0, xrp, rlusd, mark })?;
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
