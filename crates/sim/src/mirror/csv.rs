//! Trades of any market as mirrored ledgers: a file `time,side,price,size` and, where there is one, a file of quotes
//! `time,bid,bid_size,ask,ask_size`. Pure: text in, ledgers out.
//!
//! A ledger closes every four seconds and holds what happened in the four before. A trade counts at its own price. With
//! quotes one offer a side stands at the best price, keeps its place while the price stays, and whatever is better than a
//! trade's price has gone before it. Without, nothing is known of the book: two offers stand a basis point beside the last
//! trade so that there is a middle, and nothing trades with them that is in the file.

mod rows;

use std::collections::BTreeMap;

use neo_ledger::{Address, Hash, LedgerTime, sha512_half};
use neo_market::{AmountError, Dec, Drops, Rounding, Side};

use super::read::{MirrorLedger, MirrorTx};
use super::standing::{Share, Sizes, Standing, Touched, quality_of};
use crate::amount::TokenValue;
use crate::scenario::participant;
use crate::state::OfferKey;
pub use rows::CsvError;
use rows::{Quote, Trade, quotes, trades};

/// Milliseconds from one ledger's close to the next.
pub const LEDGER_MS: i64 = 4_000;
/// Index of the first ledger.
const FIRST_INDEX: u32 = 1_000;
/// Most ledgers of a file: three months.
const MOST_LEDGERS: i64 = 2_000_000;
/// Where the two offers stand that make a middle where no quotes are known, in basis points of the last price.
const BESIDE_BPS: i64 = 1;
/// XRP of each of them.
const BESIDE_XRP: i64 = 1_000;
/// What a real ledger asks for, as nothing in the files tells it (mainnet's since December 2024).
const RESERVES: (i64, i64, i64) = (10, 1_000_000, 200_000);

/// True when a file begins like one of trades, and not like a recording.
#[must_use]
pub fn is_trades(beginning: &[u8]) -> bool {
    // A recording is gzip.
    let gzip = beginning.starts_with(&[0x1f, 0x8b]);
    let first = beginning.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    !gzip && std::str::from_utf8(first).is_ok_and(rows::names_trades)
}

/// Trades, and quotes where there are any, as ledgers in order.
///
/// # Errors
/// [`CsvError`] with the line and the column.
pub fn ledgers(trades_text: &str, quotes_text: Option<&str>) -> Result<Vec<MirrorLedger>, CsvError> {
    let (trades, quotes) = (trades(trades_text)?, quotes_text.map(quotes).transpose()?);
    let starts = [trades.first().map(|trade| trade.at_ms), first_of(quotes.as_deref())];
    let Some(start) = starts.into_iter().flatten().min() else { return Err(CsvError::NoTrade) };
    let ends =
        [trades.last().map(|trade| trade.at_ms), quotes.as_deref().and_then(|all| all.last()).map(|one| one.at_ms)];
    let end = ends.into_iter().flatten().max().unwrap_or(start);
    let first_close = (start.div_euclid(LEDGER_MS) + 1) * LEDGER_MS;
    let count = (end - first_close).div_euclid(LEDGER_MS) + 2;
    if count > MOST_LEDGERS {
        return Err(CsvError::TooLong { days: (end - start) / 86_400_000 });
    }
    let mut build = Build::new(quotes.is_some());
    let (mut trades, mut quotes) = (trades.into_iter().peekable(), quotes.unwrap_or_default().into_iter().peekable());
    for step in 0..count {
        let close_ms = first_close + step * LEDGER_MS;
        loop {
            let trade = trades.peek().map(|trade| trade.at_ms).filter(|at| *at < close_ms);
            let quote = quotes.peek().map(|quote| quote.at_ms).filter(|at| *at < close_ms);
            // A quote of the same moment is what the trade left.
            match (trade, quote) {
                (Some(trade), Some(quote)) if quote < trade => build.quote(quotes.next())?,
                (Some(_), _) => build.trade(trades.next())?,
                (None, Some(_)) => build.quote(quotes.next())?,
                (None, None) => break,
            }
        }
        build.close(close_ms)?;
    }
    Ok(build.done)
}

fn first_of(quotes: Option<&[Quote]>) -> Option<i64> {
    quotes.and_then(|all| all.first()).map(|quote| quote.at_ms)
}

/// The book's offer on a side.
#[derive(Clone, Copy)]
struct Best {
    offer: Standing,
    price: Dec,
}

struct Build {
    done: Vec<MirrorLedger>,
    txs: Vec<MirrorTx>,
    owner: Address,
    best: BTreeMap<Side, Best>,
    /// Both sides are quoted in the file.
    quoted: bool,
    /// Both sides have been told of in a ledger before.
    known: bool,
    last_price: Option<Dec>,
    sequence: u32,
    count: u64,
}

impl Build {
    fn new(quoted: bool) -> Build {
        Build {
            done: Vec::new(),
            txs: Vec::new(),
            owner: participant("csv market"),
            best: BTreeMap::new(),
            quoted,
            known: false,
            last_price: None,
            sequence: 0,
            count: 0,
        }
    }

    fn push(&mut self, touched: Vec<Touched>, pool: Option<Share>) {
        let index = u32::try_from(self.txs.len()).unwrap_or(u32::MAX);
        self.count += 1;
        let hash: Hash = sha512_half(&[b"CSV\0", &self.count.to_be_bytes()]);
        self.txs.push(MirrorTx { hash, index, account: self.owner, touched, pool, pool_change: None });
    }

    fn trade(&mut self, trade: Option<Trade>) -> Result<(), CsvError> {
        let Some(Trade { side, price, drops, line, .. }) = trade else { return Ok(()) };
        let mut touched = Vec::new();
        let mut rest = drops;
        if let Some(best) = self.best.get(&side).copied() {
            let better = if side == Side::Ask { best.price < price } else { best.price > price };
            if better || (best.price == price && !self.quoted) {
                // It went, and nobody told how much of it was traded.
                touched.push(gone(best.offer));
                self.best.remove(&side);
            } else if best.price == price {
                let taken = drops.min(best.offer.sizes.xrp);
                let left = best.offer.sizes.xrp - taken;
                let sizes = sizes(price, left).map_err(|error| CsvError::amount(line, "price", price, &error))?;
                let offer = Standing { sizes, ..best.offer };
                touched.push(Touched { offer, before: Some(best.offer.sizes), gone: left == 0 });
                rest = drops - taken;
                match left {
                    0 => drop(self.best.remove(&side)),
                    _ => drop(self.best.insert(side, Best { offer, price })),
                }
            }
        }
        let pool = match rest {
            0 => None,
            xrp => {
                let sizes = sizes(price, xrp).map_err(|error| CsvError::amount(line, "price", price, &error))?;
                Some(Share { side, quality: quality_of(side, sizes), xrp, before: None })
            }
        };
        self.last_price = Some(price);
        self.push(touched, pool);
        Ok(())
    }

    fn quote(&mut self, quote: Option<Quote>) -> Result<(), CsvError> {
        let Some(quote) = quote else { return Ok(()) };
        let mut touched = Vec::new();
        for (side, at) in [(Side::Bid, quote.bid), (Side::Ask, quote.ask)] {
            let (price, drops) = at;
            let sizes =
                sizes(price, drops).map_err(|error| CsvError::amount(quote.line, "bid or ask", price, &error))?;
            match self.best.get(&side).copied() {
                Some(best) if best.price == price => {
                    let offer = Standing { sizes, ..best.offer };
                    self.best.insert(side, Best { offer, price });
                    // What is less now was withdrawn: what was traded is in the other file.
                    touched.push(Touched { offer, before: Some(sizes), gone: false });
                }
                before => {
                    touched.extend(before.map(|before| gone(before.offer)));
                    let offer = self.standing(side, sizes);
                    self.best.insert(side, Best { offer, price });
                    touched.push(Touched { offer, before: None, gone: false });
                }
            }
        }
        if self.known {
            self.push(touched, None);
        }
        Ok(())
    }

    fn standing(&mut self, side: Side, sizes: Sizes) -> Standing {
        self.sequence = self.sequence.saturating_add(1);
        let key = OfferKey { account: self.owner, sequence: self.sequence };
        Standing { key, side, quality: quality_of(side, sizes), sizes, flags: 0, expiration: None }
    }

    /// The offers that make a middle where none is quoted.
    fn beside(&mut self) -> Result<(), AmountError> {
        let Some(last) = self.last_price else { return Ok(()) };
        for (side, away, rounding) in [(Side::Bid, -BESIDE_BPS, Rounding::Down), (Side::Ask, BESIDE_BPS, Rounding::Up)]
        {
            let price = last.mul(Dec::from_parts(10_000 + away, -4)?, Rounding::HalfEven)?.round_digits(8, rounding)?;
            if self.best.get(&side).is_none_or(|best| best.price != price) {
                let offer = self.standing(side, sizes(price, BESIDE_XRP * 1_000_000)?);
                self.best.insert(side, Best { offer, price });
            }
        }
        Ok(())
    }

    fn close(&mut self, close_ms: i64) -> Result<(), CsvError> {
        let close_time = LedgerTime::from_unix_s(close_ms / 1_000).ok_or(CsvError::TooEarly)?;
        if !self.quoted {
            self.beside().map_err(|_| CsvError::TooEarly)?;
        }
        let sound = [self.known; 2];
        // With quotes the first picture alone: what follows is told as it happens.
        let whole = self.best.len() == 2 && !(self.quoted && self.known);
        let snapshots = if whole {
            self.best.iter().map(|(side, best)| (*side, vec![best.offer])).collect()
        } else {
            BTreeMap::new()
        };
        self.known |= whole;
        let (base_fee_drops, reserve_base_drops, reserve_inc_drops) = RESERVES;
        let index = FIRST_INDEX.saturating_add(u32::try_from(self.done.len()).unwrap_or(u32::MAX));
        let txs = std::mem::take(&mut self.txs);
        let ledger = MirrorLedger {
            index,
            close_time,
            base_fee_drops,
            reserve_base_drops,
            reserve_inc_drops,
            txs,
            sound,
            snapshots,
            pool_sound: false,
            pool: None,
        };
        self.done.push(ledger);
        Ok(())
    }
}

fn gone(offer: Standing) -> Touched {
    Touched { offer, before: Some(offer.sizes), gone: true }
}

/// So much XRP at a price.
fn sizes(price: Dec, drops: i64) -> Result<Sizes, AmountError> {
    let token = price.mul(Drops::new(drops).to_xrp()?, Rounding::HalfEven)?.round_digits(16, Rounding::HalfEven)?;
    Ok(Sizes { xrp: drops, token: TokenValue::from_dec(token)? })
}

#[cfg(test)]
mod tests;
