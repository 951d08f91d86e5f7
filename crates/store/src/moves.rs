//! What a session's result is made of, from its rows: the ledgers that it is counted between, and the fills and flows
//! between them.
//!
//! What counts is the ledger of a fill or flow and not the session that recorded it: what a killed engine missed, a later
//! one records from the ledger's history.

use std::collections::BTreeMap;

use neo_market::result::moves::{Change, Move, Moves, Point};
use neo_market::{AmountError, Dec, Drops};
use rusqlite::{Connection, Row};

use crate::columns::Columns;
use crate::error::StoreError;
use crate::open::sqlite;
use crate::read::{Reader, query};
use crate::record::{FlowCause, SessionNumber, SnapshotKind};

/// A session between two validated ledgers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionMoves {
    /// The ledger of the opening balances.
    pub opening_ledger: u32,
    /// The ledger of the closing ones.
    pub closing_ledger: u32,
    /// Both, and what moved the balances after the one and up to the other.
    pub moves: Moves,
}

/// A snapshot, as far as it is needed here.
#[derive(Clone, Copy, Debug)]
struct Snapshot {
    kind: SnapshotKind,
    ledger: u32,
    point: Point,
}

/// A fill or flow: by which session it was recorded, and in which order of its ledger it is taken.
#[derive(Clone, Copy, Debug)]
struct Moved {
    session: SessionNumber,
    ledger: u32,
    /// What adds XRP without a trade first, then trades by their place, then what takes XRP.
    order: (u8, u32),
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Move(Move),
    /// A flow that is no fee, without its price.
    Flow(Change, FlowCause),
}

/// Everything that results are made of, of some sessions.
#[derive(Debug, Default)]
pub(crate) struct Book {
    snapshots: BTreeMap<SessionNumber, Vec<Snapshot>>,
    /// By ledger.
    moved: Vec<Moved>,
    /// Sessions of this engine: number, first ledger, last ledger that is wholly recorded, era.
    sessions: Vec<(SessionNumber, Option<u32>, Option<u32>, i64)>,
}

impl Book {
    /// Reads the sessions from `first` to `last`.
    pub(crate) fn read(conn: &Connection, first: SessionNumber, last: SessionNumber) -> rusqlite::Result<Book> {
        let mut book = Book::default();
        let sql = "SELECT number, starting_ledger_index, last_ledger_index, era FROM sessions
                   WHERE imported = 0 AND number >= ?1 ORDER BY number";
        book.sessions = query(conn, sql, [first], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let sql = "SELECT session, kind, ledger_index, xrp_drops, rlusd, mark_price FROM valuation_snapshots
                   WHERE session BETWEEN ?1 AND ?2 ORDER BY seq";
        for (session, snapshot) in query(conn, sql, [first, last], snapshot)? {
            book.snapshots.entry(session).or_default().push(snapshot);
        }
        let sql = "SELECT session, ledger_index, transaction_index, side, xrp_drops, rlusd, mid_price FROM fills
                   WHERE session >= ?1 ORDER BY seq";
        book.moved = query(conn, sql, [first], fill)?;
        let sql = "SELECT session, ledger_index, cause, xrp_drops, rlusd FROM flows WHERE session >= ?1 ORDER BY seq";
        book.moved.extend(query(conn, sql, [first], flow)?);
        book.moved.sort_by_key(|moved| (moved.ledger, moved.order));
        Ok(book)
    }

    /// What a session's result is made of, or why that is not known.
    pub(crate) fn session(&self, number: SessionNumber) -> Result<SessionMoves, String> {
        let snapshots = self.snapshots.get(&number).map_or(&[][..], Vec::as_slice);
        let this = self.sessions.iter().find(|(session, ..)| *session == number);
        let (whole, era) = this.map_or((None, None), |(_, _, last, era)| (*last, Some(*era)));
        let opening = snapshots.iter().find(|snapshot| snapshot.kind == SnapshotKind::Opening);
        let opening = opening.ok_or("no validated ledger was valued")?;
        let closing = closing(snapshots, whole).ok_or("no ledger is wholly recorded")?;
        let (from, to) = (opening.ledger, closing.ledger);
        // From there on the ledger is another: its world began anew.
        let anew = self.sessions.iter().find(|(session, first, _, of)| {
            *session > number && (era.is_some_and(|era| era != *of) || first.is_some_and(|first| first < to))
        });
        let before = anew.map_or(SessionNumber::MAX, |(session, ..)| *session);
        let begin = self.moved.partition_point(|moved| moved.ledger <= from);
        let end = self.moved.partition_point(|moved| moved.ledger <= to);
        let between = self.moved.get(begin..end).unwrap_or_default().iter();
        let ours = between.filter(|moved| moved.session >= number && moved.session < before);
        let moves = ours.map(|moved| moved.priced(snapshots)).collect();
        let moves = Moves { opening: opening.point, closing: closing.point, moves };
        Ok(SessionMoves { opening_ledger: from, closing_ledger: to, moves })
    }
}

/// The last closing snapshot; of a session without one the last of a ledger of which everything is recorded.
fn closing(snapshots: &[Snapshot], whole: Option<u32>) -> Option<&Snapshot> {
    let closing = snapshots.iter().rfind(|snapshot| snapshot.kind == SnapshotKind::Closing);
    closing.or_else(|| snapshots.iter().rfind(|snapshot| Some(snapshot.ledger) <= whole))
}

impl Moved {
    /// With the price of its ledger: that of the first snapshot at or after it, which thinning keeps.
    fn priced(&self, snapshots: &[Snapshot]) -> Move {
        match self.what {
            What::Move(known) => known,
            What::Flow(change, cause) => {
                let at = snapshots.get(snapshots.partition_point(|snapshot| snapshot.ledger < self.ledger));
                let mark = at.and_then(|snapshot| snapshot.point.mark);
                Move::Flow { change, mark, unexplained: cause == FlowCause::Unexplained }
            }
        }
    }
}

fn snapshot(row: &Row<'_>) -> rusqlite::Result<(SessionNumber, Snapshot)> {
    let point = Point { xrp: row.drops("xrp_drops")?, rlusd: row.dec("rlusd")?, mark: row.dec_opt("mark_price")? };
    let kind = row.word("kind", SnapshotKind::from_word)?;
    Ok((row.get("session")?, Snapshot { kind, ledger: row.get("ledger_index")?, point }))
}

fn fill(row: &Row<'_>) -> rusqlite::Result<Moved> {
    let (side, xrp, rlusd): (_, Drops, Dec) = (row.side("side")?, row.drops("xrp_drops")?, row.dec("rlusd")?);
    let filled = Move::fill(side, xrp, rlusd, row.dec_opt("mid_price")?);
    Ok(Moved {
        session: row.get("session")?,
        ledger: row.get("ledger_index")?,
        order: (1, row.get("transaction_index")?),
        what: What::Move(filled.map_err(absurd)?),
    })
}

fn flow(row: &Row<'_>) -> rusqlite::Result<Moved> {
    let change = Change { xrp: row.drops("xrp_drops")?, rlusd: row.dec("rlusd")? };
    let cause = row.word("cause", FlowCause::from_word)?;
    let what = if cause == FlowCause::Fee { What::Move(Move::Fee { change }) } else { What::Flow(change, cause) };
    let order = (if change.xrp > Drops::ZERO { 0 } else { 2 }, 0);
    Ok(Moved { session: row.get("session")?, ledger: row.get("ledger_index")?, order, what })
}

fn absurd(error: AmountError) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

impl Reader {
    /// What the results of sessions are made of, each by its number, or why that is not known: of those of this engine
    /// from `first` to `last`. Read in one moment.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn moves(
        &self,
        first: SessionNumber,
        last: SessionNumber,
    ) -> Result<BTreeMap<SessionNumber, Result<SessionMoves, String>>, StoreError> {
        let failed = sqlite(&self.path, "reading what results are made of");
        let tx = self.conn.unchecked_transaction().map_err(&failed)?;
        let book = Book::read(&tx, first, last).map_err(&failed)?;
        tx.finish().map_err(&failed)?;
        let wanted = book.sessions.iter().map(|(number, ..)| *number).filter(|number| *number <= last);
        Ok(wanted.map(|number| (number, book.session(number))).collect())
    }
}
