//! Reading a fresh picture of one ledger: at the start, after a gap, and for an audit.

use neo_ledger::pool::AmmInfo;
use neo_ledger::request::{self, Index};
use neo_ledger::result::{AccountInfo, AccountLines, AccountOffers, AccountTx, BookOffers};
use neo_ledger::types::Asset;
use neo_ledger::{IssuerTerms, LineTerms, NodeError, Owned, OwnedPage, ProtocolError, TokenTerms};
use neo_market::Dec;

use super::super::nodes::Parting;
use super::{Asked, FeedCore, FeedEffect, FeedError, Phase};
use crate::messages::{AccountState, OpenOffer};

/// A node of a network that is at most so many ledgers behind the record is late; one farther behind is of a world that
/// began again.
const MAX_LEDGERS_LATE: u32 = 1_000;

/// A fresh picture of the ledger being put together. Each part says which ledger it is of.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) account: Option<AccountInfo>,
    pub(super) token: Option<(u32, Dec)>,
    pub(super) token_pages: Dec,
    pub(super) offers: Option<(u32, Vec<OpenOffer>)>,
    pub(super) offer_pages: Vec<OpenOffer>,
    pub(super) asks: Option<BookOffers>,
    pub(super) bids: Option<BookOffers>,
    pub(super) owned: Option<(u32, Owned)>,
    pub(super) owned_pages: Owned,
    pub(super) line: Option<LineTerms>,
    /// The issuer's settings and the ledger that they were read from.
    pub(super) issuer: Option<(u32, IssuerTerms)>,
    pub(super) history_done: bool,
    /// The ledger that history is asked for from.
    pub(super) history_from: u32,
}

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
    /// none does, what lies between is unknown, and said so; from here on nothing is missing, or from `begins` on where the
    /// node has told where its history begins.
    pub(super) fn history_missing(
        &mut self,
        reason: &str,
        begins: Option<u32>,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) {
        let from = self.processed.unwrap_or(0);
        let lost = format!("the node has no history from ledger {from} on: {reason}");
        self.without_history.insert(self.node);
        if self.without_history.len() < self.nodes.count() {
            self.leave(Parting::Unfit, &lost, effects);
            return;
        }
        self.without_history.clear();
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

    /// What was heard of ledgers that the followed node will not come to soon is of a world that went back. What the stream
    /// has brought of ledgers to come stays: it brings nothing twice.
    fn forget_other_worlds(&mut self) {
        let soon = self.node_at.saturating_add(CATCHES_UP);
        for transaction in self.pending.split_off(&(soon.saturating_add(1), 0)).into_values() {
            self.seen.remove(&transaction.hash);
            self.seen_before.remove(&transaction.hash);
        }
    }

    /// Asks for everything afresh; until it is there and joined up with the history, nobody quotes.
    pub(super) fn start_sync(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        self.asked.retain(|_, (asked, _)| matches!(asked, Asked::Submit(_) | Asked::LedgerAccept | Asked::Health));
        self.charge_picture(now_ms);
        self.proof = None;
        let (history_done, history_from) = (self.processed.is_none(), self.processed.unwrap_or(0));
        let snapshot = Snapshot { history_done, history_from, ..Snapshot::default() };
        self.phase = Phase::Syncing(Box::new(snapshot));
        self.ask_world(now_ms, effects);
        self.ask_pool(now_ms, effects);
        let account = self.config.account;
        self.ask(Asked::Account, now_ms, effects, |id| request::account_info(id, account, Index::Validated));
        self.ask_state(now_ms, effects);
        if let Some(processed) = self.processed {
            // From the last processed ledger on, itself included: a range that begins after the newest ledger is an
            // error, and what is in the record already is left out by its index.
            self.ask(Asked::History, now_ms, effects, |id| {
                request::account_tx(id, account, processed, None, None, true)
            });
        }
    }

    /// The parts of a fresh picture that are also compared in an audit.
    fn ask_state(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let (account, token) = (self.config.account, self.config.token);
        self.ask(Asked::Lines, now_ms, effects, |id| {
            request::account_lines(id, account, Some(token.issuer), Index::Validated, None)
        });
        self.ask(Asked::Offers, now_ms, effects, |id| request::account_offers(id, account, Index::Validated, None));
        self.ask(Asked::Owned, now_ms, effects, |id| request::account_objects(id, account, Index::Validated, None));
        self.ask_issuer(now_ms, effects);
        self.ask(Asked::Asks, now_ms, effects, |id| {
            request::book_offers(id, Asset::Xrp, Asset::Token(token), None, 200)
        });
        self.ask(Asked::Bids, now_ms, effects, |id| {
            request::book_offers(id, Asset::Token(token), Asset::Xrp, None, 200)
        });
    }

    /// Asks for the issuer's settings: they change without a transaction of ours.
    pub(super) fn ask_issuer(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let issuer = self.config.token.issuer;
        self.ask(Asked::Issuer, now_ms, effects, |id| request::account_info(id, issuer, Index::Validated));
    }

    /// Asks for the pair's pool: trades with it touch neither our account nor an offer of the book.
    pub(super) fn ask_pool(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let token = self.config.token;
        self.ask(Asked::Pool, now_ms, effects, |id| request::amm_info(id, token));
    }

    /// A picture is whole without the pool, and a ledger, too: it is told of as it was read last, with its age.
    fn read_pool(&mut self, value: &serde_json::Value, now_ms: u64, effects: &mut Vec<FeedEffect>) {
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
        value: &serde_json::Value,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), ProtocolError> {
        match asked {
            Asked::History => return self.read_history(value, now_ms, effects),
            Asked::Pool => {
                self.read_pool(value, now_ms, effects);
                return Ok(());
            }
            Asked::Account => {
                let info = AccountInfo::from_value(value)?;
                match &mut self.phase {
                    Phase::Syncing(snapshot) => snapshot.account = Some(info),
                    _ => self.proof = Some(info),
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
        let (account, token) = (self.config.account, self.config.token);
        let mut more = None;
        let Phase::Syncing(snapshot) = &mut self.phase else { return Ok(()) };
        match asked {
            Asked::Lines => {
                let lines = AccountLines::from_value(value)?;
                let held = lines.lines.iter().find(|line| line.currency == token.currency && line.peer == token.issuer);
                if let Some(line) = held {
                    snapshot.token_pages = line.balance;
                    snapshot.line = Some(LineTerms::of(line));
                }
                match lines.marker {
                    Some(marker) => more = Some((Asked::Lines, marker)),
                    None => {
                        snapshot.token = Some((of_ledger(lines.ledger_index, "account_lines")?, snapshot.token_pages))
                    }
                }
            }
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
            Some((Asked::Lines, marker)) => self.ask(Asked::Lines, now_ms, effects, |id| {
                request::account_lines(id, account, Some(token.issuer), Index::Validated, Some(&marker))
            }),
            Some((Asked::Owned, marker)) => self.ask(Asked::Owned, now_ms, effects, |id| {
                request::account_objects(id, account, Index::Validated, Some(&marker))
            }),
            Some((asked, marker)) => self.ask(asked, now_ms, effects, |id| {
                request::account_offers(id, account, Index::Validated, Some(&marker))
            }),
            None => {}
        }
        Ok(())
    }

    fn read_history(
        &mut self,
        value: &serde_json::Value,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), ProtocolError> {
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
            let account = self.config.account;
            let from = if let Phase::Syncing(snapshot) = &self.phase { snapshot.history_from } else { processed };
            self.ask(Asked::History, now_ms, effects, |id| {
                request::account_tx(id, account, from, None, Some(&marker), true)
            });
        } else if let Phase::Syncing(snapshot) = &mut self.phase {
            snapshot.history_done = true;
            self.without_history.clear();
        }
        Ok(())
    }

    /// How many ledgers the followed node of a network is behind what was told of, if it is. One that is very far behind
    /// is no late node but another world.
    pub(super) fn ledgers_behind(&self) -> Option<u32> {
        let behind = self.processed?.saturating_sub(self.node_at);
        (self.closes_by_itself() && (1..=MAX_LEDGERS_LATE).contains(&behind)).then_some(behind)
    }

    /// When all parts are there and of one ledger, goes live with them; parts of different ledgers are read again.
    pub(super) fn complete_sync(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        if self.world.is_unsure() {
            return Ok(());
        }
        let Phase::Syncing(snapshot) = &mut self.phase else { return Ok(()) };
        let (
            Some(info),
            Some((token_at, token)),
            Some((offers_at, _)),
            Some((owned_at, _)),
            Some((issuer_at, issuer)),
            Some(asks),
            Some(bids),
            true,
        ) = (
            &snapshot.account,
            &snapshot.token,
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
        let index = info.ledger_index;
        let terms = TokenTerms { issuer: *issuer, line: snapshot.line };
        if [*token_at, *offers_at, *owned_at, *issuer_at, asks.ledger_index, bids.ledger_index]
            .iter()
            .any(|at| *at != index)
        {
            self.start_sync(now_ms, effects);
            return Ok(());
        }
        if let Err(error) = self.book.reset(index, &asks.offers, &bids.offers) {
            self.leave(Parting::Unfit, &format!("the node's book is not understood: {error}"), effects);
            return Ok(());
        }
        let account =
            AccountState { xrp: info.balance, rlusd: *token, sequence: info.sequence, owner_count: info.owner_count };
        let root = info.previous_txn_id;
        let Some(header) = self.header(index) else { return Ok(()) };
        let (offers, owned) = snapshot_lists(&mut self.phase);
        self.terms = terms;
        self.account = Some(account);
        self.root_txn = Some(root);
        self.audited_at = index;
        self.list_again = false;
        self.phase = Phase::Live;
        self.nodes.serves(self.node);
        self.emit(header, Picture { offers, owned, book_is_fresh: true }, now_ms, effects)
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
