//! Reading a fresh picture of one ledger: at the start, after a gap, and for an audit.

use neo_ledger::pool::AmmInfo;
use neo_ledger::request::{self, Index};
use neo_ledger::result::{AccountInfo, AccountOffers, AccountTx, BookOffers};
use neo_ledger::types::{Asset, Hash};
use neo_ledger::{HeldLine, IssuerTerms, NodeError, Owned, OwnedPage, ProtocolError, TokenTerms};
use serde_json::Value;

use super::super::nodes::Parting;
use super::proof::{LineAt, Proven};
use super::{Asked, FeedCore, FeedEffect, FeedError, Phase};
use crate::messages::{AccountState, OpenOffer};

/// A node of a network that is at most so many ledgers behind the record is late; one farther behind is of a world that
/// began again.
const MAX_LEDGERS_LATE: u32 = 1_000;

/// A fresh picture of the ledger being put together. Each part says which ledger it is of.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// The ledger that it is of: every part is asked for by its number.
    pub(super) at: u32,
    /// Since when it is being read.
    pub(super) since_ms: u64,
    /// When it was asked for last.
    pub(super) asked_ms: u64,
    /// The node has told of the ledger and does not have it yet: it is asked again.
    pub(super) again: bool,
    pub(super) account: Option<AccountInfo>,
    /// Our trust line, or that there is none.
    pub(super) line: Option<Option<HeldLine>>,
    pub(super) offers: Option<(u32, Vec<OpenOffer>)>,
    pub(super) offer_pages: Vec<OpenOffer>,
    pub(super) asks: Option<BookOffers>,
    pub(super) bids: Option<BookOffers>,
    pub(super) owned: Option<(u32, Owned)>,
    pub(super) owned_pages: Owned,
    /// The issuer's settings and the ledger that they were read from.
    pub(super) issuer: Option<(u32, IssuerTerms)>,
    pub(super) history_done: bool,
    /// The ledger that history is asked for from.
    pub(super) history_from: u32,
    /// The node's history does not reach the ledger of the picture yet: it is asked again.
    pub(super) history_short: bool,
}

/// A history that lacks a transaction of ours is read so often.
const JOIN_READS: u32 = 4;

/// A public node is asked for a picture again after so long.
const PUBLIC_PACE_MS: u64 = 2_000;

/// Offers of a side of the book that are asked for; nodes give fewer.
const BOOK_OFFERS: u32 = 200;

/// A fit node is a few ledgers behind at most; one whose world is farther back than this began anew.
const CATCHES_UP: u32 = 16;

impl FeedCore {
    /// A node that has not reached what is recorded has no picture to go on from: it is waited for. Any other is read.
    pub(super) fn sync_or_wait(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let behind = self.processed.map_or(0, |processed| processed.saturating_sub(self.node_at));
        let waits = self.closes_by_itself() && (1..=CATCHES_UP).contains(&behind);
        if waits && !self.catching_up {
            effects.push(FeedEffect::Warn(format!("the node is {behind} ledgers behind the record; it is waited for")));
        }
        self.catching_up = waits;
        if !waits {
            self.start_sync(now_ms, effects);
        }
    }

    /// The followed node does not have our history: its world begins later, or went back. Another node may have it. Where
    /// none does, or none that could is reached before this one is here again, what lies between is unknown, and said so;
    /// from here on nothing is missing, or from `begins` on where the node has told where its history begins.
    pub(super) fn history_missing(
        &mut self,
        reason: &str,
        begins: Option<u32>,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) {
        let from = self.processed.unwrap_or(0);
        let lost = format!("the node has no history from ledger {from} on: {reason}");
        let is_first = self.without_history.insert(self.node);
        self.may_have_history.remove(&self.node);
        let may_have = is_first || !std::mem::take(&mut self.may_have_history).is_empty();
        if may_have && self.without_history.len() < self.nodes.count() {
            self.leave(Parting::Unfit, &lost, effects);
            return;
        }
        self.forget_who_has_history();
        // A repair's hole is further back than what is new: a node may have the one and not the other.
        let newer = self.config.last_processed.filter(|last| *last > from);
        self.processed = newer.or(begins.map(|begins| begins.saturating_sub(1)));
        self.history_lost = Some(match self.history_lost.take() {
            Some(before) => format!("{before}; {lost}"),
            None => lost,
        });
        if self.processed.is_none() {
            self.forget_other_worlds();
        }
        self.start_sync(now_ms, effects);
    }

    fn forget_who_has_history(&mut self) {
        self.without_history.clear();
        self.may_have_history.clear();
    }

    /// What was heard of ledgers that the followed node will not come to soon is of a world that went back. What the stream
    /// has brought of ledgers to come stays: it brings nothing twice.
    fn forget_other_worlds(&mut self) {
        let soon = self.node_at.saturating_add(CATCHES_UP);
        self.forget_transactions_from(soon.saturating_add(1));
    }

    /// Transactions of this ledger and later ones are as if they had never been heard of.
    pub(super) fn forget_transactions_from(&mut self, index: u32) {
        for transaction in self.pending.split_off(&(index, 0)).into_values() {
            self.seen.remove(&transaction.hash);
            self.seen_before.remove(&transaction.hash);
        }
    }

    /// Asks for everything afresh, of the newest ledger that the node has told of; until it is there and joined up with the
    /// history, nobody quotes. By that ledger's number: somebody may close others while it is being read.
    pub(super) fn start_sync(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let at = self.node_at;
        let since_ms = match &self.phase {
            Phase::Syncing(before) if before.at == at => before.since_ms,
            _ => now_ms,
        };
        self.asked.retain(|_, (asked, _)| matches!(asked, Asked::Submit(_) | Asked::LedgerAccept | Asked::Health));
        self.charge_picture(now_ms);
        self.proofs.clear();
        if !self.without_history.is_empty() && !self.without_history.contains(&self.node) {
            self.may_have_history.insert(self.node);
        }
        let (history_done, history_from) = (self.processed.is_none(), self.processed.unwrap_or(0));
        let snapshot = Snapshot { at, since_ms, asked_ms: now_ms, history_done, history_from, ..Snapshot::default() };
        self.phase = Phase::Syncing(Box::new(snapshot));
        self.ask_world(now_ms, effects);
        self.ask_pool(at, now_ms, effects);
        let (account, issuer) = (self.config.account, self.config.token.issuer);
        self.ask(Asked::Account, now_ms, effects, |id| request::account_info(id, account, Index::Ledger(at)));
        self.ask_line(at, now_ms, effects);
        self.ask_offers(at, None, now_ms, effects);
        self.ask_owned(at, None, now_ms, effects);
        self.ask(Asked::Issuer, now_ms, effects, |id| request::account_info(id, issuer, Index::Ledger(at)));
        self.ask_book(at, now_ms, effects);
        if let Some(processed) = self.processed {
            // From the last processed ledger on, itself included: a range that begins after the newest ledger is an
            // error, and what is in the record already is left out.
            self.ask_history(processed, None, now_ms, effects);
        }
    }

    /// Goes on with what could not be answered yet.
    pub(super) fn ask_again(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let limit_ms = self.config.request_timeout_ms;
        // A public node counts a whole picture each time.
        let pace_ms = if self.config.is_public { PUBLIC_PACE_MS } else { 0 };
        match &mut self.phase {
            Phase::Syncing(snapshot) if snapshot.again || snapshot.history_short => {
                let at = snapshot.at;
                if now_ms.saturating_sub(snapshot.asked_ms) < pace_ms {
                    return;
                }
                if now_ms.saturating_sub(snapshot.since_ms) > limit_ms {
                    let reason = format!("the node has told of ledger {at} and does not have all of it");
                    self.leave(Parting::Unfit, &reason, effects);
                } else if snapshot.again {
                    self.start_sync(now_ms, effects);
                } else {
                    (snapshot.history_short, snapshot.asked_ms) = (false, now_ms);
                    let from = snapshot.history_from;
                    self.ask_history(from, None, now_ms, effects);
                }
            }
            Phase::Live => self.prove_again(now_ms, effects),
            Phase::Absent { again: true, .. } => self.ask_absent(now_ms, effects),
            _ => {}
        }
    }

    /// The node does not have the ledger of the picture: a newer one is read, or the same one a little later.
    pub(super) fn picture_not_there(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let newest = self.node_at;
        match &mut self.phase {
            Phase::Syncing(snapshot) if snapshot.at >= newest => snapshot.again = true,
            Phase::Syncing(_) => self.start_sync(now_ms, effects),
            Phase::Absent { again, .. } => *again = true,
            _ => {}
        }
    }

    /// We have no trust line.
    pub(super) fn no_line(&mut self) {
        if let Phase::Syncing(snapshot) = &mut self.phase {
            snapshot.line = Some(None);
        }
    }

    fn ask_offers(&mut self, at: u32, marker: Option<&Value>, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let account = self.config.account;
        self.ask(Asked::Offers, now_ms, effects, |id| request::account_offers(id, account, Index::Ledger(at), marker));
    }

    fn ask_owned(&mut self, at: u32, marker: Option<&Value>, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let account = self.config.account;
        self.ask(Asked::Owned, now_ms, effects, |id| request::account_objects(id, account, Index::Ledger(at), marker));
    }

    fn ask_history(&mut self, from: u32, marker: Option<&Value>, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let account = self.config.account;
        self.ask(Asked::History, now_ms, effects, |id| request::account_tx(id, account, from, None, marker, true));
    }

    /// Asks for both sides of the book at a ledger.
    pub(super) fn ask_book(&mut self, at: u32, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let token = Asset::Token(self.config.token);
        for (asked, pair) in [(Asked::Asks, (Asset::Xrp, token)), (Asked::Bids, (token, Asset::Xrp))] {
            self.ask(asked, now_ms, effects, |id| {
                request::book_offers_at(id, pair, None, Index::Ledger(at), BOOK_OFFERS)
            });
        }
    }

    /// Asks for the issuer's settings: they change without a transaction of ours.
    pub(super) fn ask_issuer(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let issuer = self.config.token.issuer;
        self.ask(Asked::Issuer, now_ms, effects, |id| request::account_info(id, issuer, Index::Validated));
    }

    /// Asks for the pair's pool: trades with it touch neither our account nor an offer of the book.
    pub(super) fn ask_pool(&mut self, at: u32, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let token = self.config.token;
        self.ask(Asked::Pool, now_ms, effects, |id| request::amm_info_at(id, token, Index::Ledger(at)));
    }

    /// A picture is whole without the pool, and a ledger, too: it is told of as it was read last, with its age.
    fn read_pool(&mut self, value: &Value, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        match AmmInfo::from_value(value, self.config.token) {
            Ok(info) => {
                if let Some(account) = self.pool.read(info) {
                    self.ask(Asked::FollowPool, now_ms, effects, |id| request::subscribe_accounts(id, &[account]));
                }
            }
            Err(error) => {
                self.pool.none();
                effects.push(FeedEffect::Warn(format!("what the node says of the pool is not understood: {error}")));
            }
        }
    }

    /// The node has no pool of the pair, or does not tell: the book alone makes prices until the next fresh picture.
    pub(super) fn without_pool(&mut self, error: &NodeError, effects: &mut Vec<FeedEffect>) {
        self.pool.none();
        if error.error != "actNotFound" {
            effects.push(FeedEffect::Warn(format!("the pair's pool is not followed: {error}")));
        }
    }

    pub(super) fn read_part(
        &mut self,
        asked: &Asked,
        value: &Value,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), ProtocolError> {
        match asked {
            Asked::History => return self.read_history(value, now_ms, effects),
            Asked::Pool => {
                self.read_pool(value, now_ms, effects);
                return Ok(());
            }
            Asked::Proof(index) => {
                self.proof_account(*index, AccountInfo::from_value(value)?);
                return Ok(());
            }
            Asked::Header(index) => {
                self.read_header(*index, Some(value), effects);
                return Ok(());
            }
            Asked::Asks | Asked::Bids if self.is_live() => {
                self.proof_book(*asked == Asked::Asks, BookOffers::from_value(value)?);
                return Ok(());
            }
            Asked::Line(index) => {
                let line = HeldLine::from_value(value, self.config.account, self.config.token)?;
                match &mut self.phase {
                    Phase::Syncing(snapshot) => snapshot.line = Some(Some(line)),
                    _ => self.proof_line(*index, Some(line)),
                }
                return Ok(());
            }
            Asked::Issuer => {
                let info = AccountInfo::from_value(value)?;
                let terms = IssuerTerms::of(&info);
                match &mut self.phase {
                    Phase::Syncing(snapshot) => snapshot.issuer = Some((info.ledger_index, terms)),
                    _ => self.terms.issuer = terms,
                }
                return Ok(());
            }
            _ => {}
        }
        let account = self.config.account;
        let mut more = None;
        let Phase::Syncing(snapshot) = &mut self.phase else { return Ok(()) };
        let at = snapshot.at;
        match asked {
            Asked::Account => snapshot.account = Some(AccountInfo::from_value(value)?),
            Asked::Offers => {
                let page = AccountOffers::from_value(value)?;
                snapshot.offer_pages.extend(page.offers.iter().map(|offer| OpenOffer {
                    sequence: offer.seq,
                    taker_gets: offer.taker_gets,
                    taker_pays: offer.taker_pays,
                }));
                match page.marker {
                    Some(marker) => more = Some((Asked::Offers, marker)),
                    None => {
                        snapshot.offers = Some((
                            of_ledger(page.ledger_index, "account_offers")?,
                            std::mem::take(&mut snapshot.offer_pages),
                        ))
                    }
                }
            }
            Asked::Owned => {
                let page = OwnedPage::from_value(value, account)?;
                snapshot.owned_pages.join(page.owned);
                match page.marker {
                    Some(marker) => more = Some((Asked::Owned, marker)),
                    None => {
                        let at = of_ledger(page.ledger_index, "account_objects")?;
                        snapshot.owned = Some((at, std::mem::take(&mut snapshot.owned_pages)));
                    }
                }
            }
            Asked::Asks => snapshot.asks = Some(BookOffers::from_value(value)?),
            Asked::Bids => snapshot.bids = Some(BookOffers::from_value(value)?),
            _ => {}
        }
        match more {
            Some((Asked::Owned, marker)) => self.ask_owned(at, Some(&marker), now_ms, effects),
            Some((_, marker)) => self.ask_offers(at, Some(&marker), now_ms, effects),
            None => {}
        }
        Ok(())
    }

    fn read_history(&mut self, value: &Value, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), ProtocolError> {
        let page = AccountTx::from_value(value)?;
        for transaction in page.transactions {
            self.keep(transaction);
        }
        let processed = self.processed.unwrap_or(0);
        // Version 1 of the API, and nodes that follow it, cut a range to what they have instead of refusing it.
        let begins = page.ledger_index_min;
        if processed > 0 && begins > processed.saturating_add(1) {
            self.history_missing(&format!("it begins with ledger {begins}"), Some(begins), now_ms, effects);
            return Ok(());
        }
        if let Some(marker) = page.marker {
            let from = if let Phase::Syncing(snapshot) = &self.phase { snapshot.history_from } else { processed };
            self.ask_history(from, Some(&marker), now_ms, effects);
        } else if let Phase::Syncing(snapshot) = &mut self.phase {
            // A ledger is validated a little before its transactions can be asked for (rippled, `LedgerMaster.cpp`,
            // `getValidatedRange`: up to the newest that is published, less those that are being saved).
            snapshot.history_done = page.ledger_index_max >= snapshot.at;
            snapshot.history_short = !snapshot.history_done;
            self.forget_who_has_history();
        }
        Ok(())
    }

    /// How many ledgers the followed node of a network is behind what was told of, if it is. One that is very far behind
    /// is no late node but another world.
    pub(super) fn ledgers_behind(&self) -> Option<u32> {
        let behind = self.processed?.saturating_sub(self.node_at);
        (self.closes_by_itself() && (1..=MAX_LEDGERS_LATE).contains(&behind)).then_some(behind)
    }

    /// Whether the transactions since the last ledger that was proven lead to what the picture states. Where they do not,
    /// however often they are read, that is told as a hole.
    fn joins(&mut self, index: u32, root: Hash, line: LineAt) -> bool {
        let proven = self.root_txn.is_some() && self.processed.is_some() && self.history_lost.is_none();
        if !proven || (self.root_after(index) == Some(root) && self.line_after(index) == Some(line)) {
            self.unjoined = 0;
            return true;
        }
        self.unjoined += 1;
        if self.unjoined < JOIN_READS {
            return false;
        }
        self.unjoined = 0;
        let from = self.processed.unwrap_or(0);
        self.history_lost = Some(format!(
            "the node's history from ledger {from} to {index} lacks a transaction of our account, however often it is read"
        ));
        true
    }

    /// When all parts are there and of one ledger, goes live with them; parts of different ledgers are read again.
    pub(super) fn complete_sync(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        if self.world.is_unsure() {
            return Ok(());
        }
        let Phase::Syncing(snapshot) = &mut self.phase else { return Ok(()) };
        let (
            Some(info),
            Some(line),
            Some((offers_at, _)),
            Some((owned_at, _)),
            Some((issuer_at, issuer)),
            Some(asks),
            Some(bids),
            true,
        ) = (
            &snapshot.account,
            &snapshot.line,
            &snapshot.offers,
            &snapshot.owned,
            &snapshot.issuer,
            &snapshot.asks,
            &snapshot.bids,
            snapshot.history_done,
        )
        else {
            return Ok(());
        };
        let index = snapshot.at;
        let terms = TokenTerms { issuer: *issuer, line: line.map(|line| line.terms) };
        let line_at = line.map_or(index, |line| line.ledger_index);
        let parts =
            [info.ledger_index, line_at, *offers_at, *owned_at, *issuer_at, asks.ledger_index, bids.ledger_index];
        if parts.iter().any(|at| *at != index) {
            snapshot.again = true;
            return Ok(());
        }
        let line = LineAt::of(line.as_ref());
        let root = info.previous_txn_id;
        let account = AccountState {
            xrp: info.balance,
            rlusd: line.balance,
            sequence: info.sequence,
            owner_count: info.owner_count,
        };
        if !self.joins(index, root, line) {
            if let Phase::Syncing(snapshot) = &mut self.phase {
                snapshot.again = true;
            }
            effects
                .push(FeedEffect::Warn(format!("the history up to ledger {index} does not join up; it is read again")));
            return Ok(());
        }
        if self.header(index).is_none() || !self.knows_parents(index, now_ms, effects) {
            return Ok(());
        }
        let Phase::Syncing(snapshot) = &self.phase else { return Ok(()) };
        let (Some(asks), Some(bids)) = (&snapshot.asks, &snapshot.bids) else { return Ok(()) };
        if let Err(error) = self.book.reset(index, &asks.offers, &bids.offers) {
            self.leave(Parting::Unfit, &format!("the node's book is not understood: {error}"), effects);
            return Ok(());
        }
        let Some(header) = self.header(index) else { return Ok(()) };
        let (offers, owned) = snapshot_lists(&mut self.phase);
        self.terms = terms;
        self.account = Some(account);
        let proven = Proven { root, line: Some(line) };
        self.audited_at = index;
        self.list_again = false;
        self.phase = Phase::Live;
        self.nodes.serves(self.node);
        self.emit(header, proven, Picture { offers, owned, book_is_fresh: true }, now_ms, effects)?;
        // No message told of a ledger in between: what strangers did in it is on no stream any more.
        let between = index.saturating_add(1)..=self.node_at;
        self.book_gap = between.into_iter().any(|ledger| !self.closed.contains_key(&ledger));
        // What closed while the picture was read is told of as soon as it is proven.
        if self.node_at > index && self.processed == Some(index) {
            self.ask_proof(self.node_at, false, now_ms, effects);
        }
        Ok(())
    }
}

/// A part of a picture is of no use without the ledger that it is of.
fn of_ledger(index: Option<u32>, what: &'static str) -> Result<u32, ProtocolError> {
    index.ok_or(ProtocolError::Missing { what, field: "ledger_index".into() })
}

fn snapshot_lists(phase: &mut Phase) -> (Option<Vec<OpenOffer>>, Option<Owned>) {
    match phase {
        Phase::Syncing(snapshot) => {
            (snapshot.offers.take().map(|(_, offers)| offers), snapshot.owned.take().map(|(_, owned)| owned))
        }
        _ => (None, None),
    }
}

/// What a fresh picture adds to a ledger.
#[derive(Default)]
pub(super) struct Picture {
    pub(super) offers: Option<Vec<OpenOffer>>,
    pub(super) owned: Option<Owned>,
    /// The book was read with it: nothing is applied to it.
    pub(super) book_is_fresh: bool,
}
