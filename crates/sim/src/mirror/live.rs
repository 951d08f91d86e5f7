//! A live node's messages as they come, put together to ledgers: the market of mode paper. Pure: events and times in,
//! effects out.
//!
//! What is asked, and when a node is left, are the rules of `neo record` ([`neo_ledger::watch`]). A ledger is given out when
//! the next one has closed: then all its transactions have come. It has the real index and close time.
//!
//! Where something may be missing, the sides of the book that are not known are told so, and nothing trades on them until a
//! fresh picture has come, which is asked for again every few ledgers. When no ledger comes at all, blank ones are given
//! out at a pace of their own, so that whoever is in the market can leave it; they are made up for by leaving out as many
//! real ones of which nothing is known, so that the indexes agree again. If the picture comes earlier than that, the
//! market's own indexes stay ahead of the real ones until the next hole.

use neo_ledger::{Token, request, watch};

use super::FOUNDING;
use super::read::{Assembler, MirrorLedger};
pub use neo_ledger::watch::Input;

/// Heard ledgers after which a picture that has not come is asked for again.
const ASK_AGAIN: u64 = 3;

/// How long things may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two blank ledgers.
    pub interval_ms: u64,
    /// Without a ledger, until the first blank one.
    pub dark_ms: u64,
    /// Without a ledger, until the market is given up.
    pub outage_ms: u64,
    /// A connection that says nothing for so long is left.
    pub silence_ms: u64,
    /// Between two ledgers of a stand-alone node that is asked to close them.
    pub accept_ms: Option<u64>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open a connection.
    Connect,
    /// Send a request.
    Send(String),
    /// Close the connection, if there is one.
    Leave,
    /// Tell whoever looks on.
    Tell(String),
    /// Both sides of the book are known: the ledgers up to the one that they are known of.
    Begin(Vec<MirrorLedger>),
    /// The ledger that closes next.
    Ledger(Box<MirrorLedger>),
    /// The market is given up: why, and what to do.
    End(String),
}

/// Follows a market.
#[derive(Debug)]
pub struct Live {
    watch: watch::Watch,
    assembler: Assembler,
    pace: Pace,
    connection: u64,
    /// Ledgers before both sides were known.
    before: Vec<MirrorLedger>,
    /// The ledger given out last, without its transactions, once the market has begun.
    last: Option<MirrorLedger>,
    given_ms: u64,
    /// When a ledger was last heard of, and which.
    heard_ms: u64,
    heard: Option<u32>,
    /// Count of ledgers heard of when the book was last asked for.
    asked: u64,
    accept_at_ms: u64,
    /// No ledger comes.
    dark: bool,
    /// Blank ledgers that no real one has made up for.
    ahead: u32,
}

impl Live {
    /// Connects at the first tick, to a node that must be on this network.
    #[must_use]
    pub fn new(network_id: u32, token: Token, pace: Pace, now_ms: u64) -> Live {
        Live {
            watch: watch::Watch::new(network_id, token, None, pace.silence_ms),
            assembler: Assembler::following(token),
            pace,
            connection: 0,
            before: Vec::new(),
            last: None,
            given_ms: now_ms,
            heard_ms: now_ms,
            heard: None,
            asked: 0,
            accept_at_ms: 0,
            dark: false,
            ahead: 0,
        }
    }

    /// Takes what happened.
    pub fn on(&mut self, input: Input<'_>, now_ms: u64) -> Vec<Effect> {
        if let Input::Text(text) = input {
            self.assembler.received(self.connection, text);
        }
        let said = self.watch.on(input, now_ms);
        if matches!(input, Input::Connected) {
            self.asked = self.watch.seen().ledgers;
        }
        let mut effects = self.carry(said);
        let seen = self.watch.seen();
        if seen.last_ledger != self.heard {
            (self.heard, self.heard_ms) = (seen.last_ledger, now_ms);
            self.ask_again(seen.ledgers, &mut effects);
        }
        self.give_whole(now_ms, &mut effects);
        if matches!(input, Input::Tick) {
            self.accept(now_ms, &mut effects);
            self.silence(now_ms, &mut effects);
        }
        effects
    }

    fn carry(&mut self, said: Vec<watch::Effect>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for effect in said {
            effects.push(match effect {
                watch::Effect::Connect => {
                    self.connection += 1;
                    self.assembler.restart();
                    Effect::Connect
                }
                watch::Effect::Send(text) => self.send(text),
                watch::Effect::Leave => Effect::Leave,
                watch::Effect::Gap(_) => {
                    self.assembler.gap();
                    continue;
                }
                watch::Effect::Tell(text) => Effect::Tell(text),
                watch::Effect::Refuse(text) => Effect::End(text),
            });
        }
        effects
    }

    fn send(&mut self, text: String) -> Effect {
        self.assembler.sent(self.connection, &text);
        Effect::Send(text)
    }

    /// A picture that was refused, or came late, is asked for again.
    fn ask_again(&mut self, ledgers: u64, effects: &mut Vec<Effect>) {
        let (book, pool) = (self.assembler.sound() == [true, true], self.assembler.pool_sound());
        if (book && pool) || !self.watch.is_open() || ledgers.saturating_sub(self.asked) < ASK_AGAIN {
            return;
        }
        self.asked = ledgers;
        let books = if book { Vec::new() } else { self.watch.books().to_vec() };
        let pool = (!pool).then(|| self.watch.pool());
        for question in books.into_iter().chain(pool) {
            let question = self.send(question);
            effects.push(question);
        }
    }

    /// Ledgers of which everything has come.
    fn give_whole(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        while let Some(ledger) = self.assembler.next_ledger(false) {
            let known = ledger.sound_after();
            if self.last.is_none() {
                let begins = known == [true, true] && ledger.index > FOUNDING;
                self.before.push(ledger);
                if begins {
                    self.begin(now_ms, effects);
                }
            } else if self.ahead > 0 && known == [false, false] && ledger.pool.is_none() {
                self.ahead -= 1;
            } else {
                self.dark = false;
                self.give(ledger, now_ms, effects);
            }
        }
    }

    fn begin(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        let founding = std::mem::take(&mut self.before);
        self.last = founding.last().map(bare);
        self.given_ms = now_ms;
        effects.push(Effect::Begin(founding));
    }

    fn give(&mut self, mut ledger: MirrorLedger, now_ms: u64, effects: &mut Vec<Effect>) {
        let Some(last) = &self.last else { return };
        ledger.index = last.index.saturating_add(1);
        let (before, after) = (last.sound_after(), ledger.sound_after());
        if before != after {
            let text = match after {
                [true, true] => format!("the whole book is known again with ledger {}", ledger.index),
                _ => format!("a part of the book is not known with ledger {}; nothing trades on it", ledger.index),
            };
            effects.push(Effect::Tell(text));
        }
        if last.pool_sound_after() != ledger.pool_sound_after() {
            let text = if ledger.pool_sound_after() { "known again" } else { "not known; it has no price until then" };
            effects.push(Effect::Tell(format!("with ledger {} the pool is {text}", ledger.index)));
        }
        self.last = Some(bare(&ledger));
        self.given_ms = now_ms;
        effects.push(Effect::Ledger(Box::new(ledger)));
    }

    fn accept(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        let Some(interval_ms) = self.pace.accept_ms else { return };
        if self.watch.is_open() && now_ms >= self.accept_at_ms {
            self.accept_at_ms = now_ms.saturating_add(interval_ms);
            let request = request::ledger_accept(self.watch.id());
            let request = self.send(request);
            effects.push(request);
        }
    }

    /// No ledger comes: time goes on without the market, and after a while it is given up.
    fn silence(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        let silent_ms = now_ms.saturating_sub(self.heard_ms);
        if silent_ms > self.pace.outage_ms {
            let text = "is a node of network.url running, and does it follow its network?";
            effects.push(Effect::End(format!("no ledger of the market came for {silent_ms} ms; {text}")));
            return;
        }
        let began_ms = now_ms.saturating_sub(self.given_ms);
        if self.last.is_none() && self.heard.is_some() && began_ms > self.pace.outage_ms {
            let text = "the node was asked for the book and gave no picture of it";
            effects.push(Effect::End(format!("{text} within {began_ms} ms; use another node")));
            return;
        }
        if silent_ms < self.pace.dark_ms || began_ms < self.pace.interval_ms {
            return;
        }
        let Some(last) = &self.last else { return };
        let seconds = u32::try_from(began_ms / 1_000).unwrap_or(u32::MAX).max(1);
        let close_time = last.close_time.plus_s(seconds);
        let blank = MirrorLedger { close_time, sound: [false, false], pool_sound: false, ..bare(last) };
        if !self.dark {
            self.dark = true;
            self.assembler.gap();
            effects.push(Effect::Tell(format!("no ledger of the market for {silent_ms} ms")));
        }
        self.ahead = self.ahead.saturating_add(1);
        self.give(blank, now_ms, effects);
    }
}

/// A ledger's header.
fn bare(ledger: &MirrorLedger) -> MirrorLedger {
    MirrorLedger {
        index: ledger.index,
        close_time: ledger.close_time,
        base_fee_drops: ledger.base_fee_drops,
        reserve_base_drops: ledger.reserve_base_drops,
        reserve_inc_drops: ledger.reserve_inc_drops,
        txs: Vec::new(),
        sound: ledger.sound_after(),
        snapshots: std::collections::BTreeMap::new(),
        pool_sound: ledger.pool_sound_after(),
        pool: None,
    }
}
