//! The new record put together: rows taken over, sessions closed, what is lost written down.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::merge::{Merge, TABLES, TableAccount};
use super::{Base, Progress, ReadAs, Repair, Repaired, Salvaged, Step, gaps};
use crate::columns::{Columns, time};
use crate::open::Identity;
use crate::read::query;
use crate::record::{Mode, SessionNumber};
use crate::recover::close_from_records;
use crate::schema::SEQUENCED;
use crate::world::{NEWEST_ERA, forsake};

/// A watermark so far beyond the last row is not one.
const WATERMARK_SLACK: i64 = 10_000_000;
/// How far beyond the backup a damaged file is searched whose watermark and last rows cannot be read.
const SEARCHED_BEYOND: i64 = 1_000_000;

impl Repair<'_> {
    /// The row of `meta`: the damaged record's, where it can be read and is of this identity.
    pub(super) fn name(&self, target: &Connection, record: Option<&Connection>) -> rusqlite::Result<()> {
        let ours = (self.identity.mode.as_str(), &self.identity.network, &self.identity.account);
        let there = record.and_then(|record| {
            let id = "SELECT record_id FROM meta WHERE id = 1";
            let id = record.query_row(id, [], |row| row.get::<_, Option<String>>(0)).unwrap_or_default();
            let sql = "SELECT created_at FROM meta WHERE id = 1 AND (mode, network, account) = (?1, ?2, ?3)";
            let created: rusqlite::Result<String> =
                record.query_row(sql, params![ours.0, ours.1, ours.2], |row| row.get(0));
            created.ok().map(|created| (created, id))
        });
        let (created_at, record_id) = there.unwrap_or_else(|| (time(self.now), None));
        target.execute(
            "INSERT INTO meta (id, mode, network, account, created_at, record_id)
             VALUES (1, ?1, ?2, ?3, ?4, coalesce(?5, lower(hex(randomblob(16)))))",
            params![ours.0, ours.1, ours.2, created_at, record_id],
        )?;
        Ok(())
    }

    /// Takes over every row that can be read and believed.
    pub(super) fn salvage(
        &mut self,
        target: &mut Connection,
        record: Option<&Connection>,
        read_as: ReadAs,
    ) -> rusqlite::Result<Salvaged> {
        let (_, watermark) = name_and_watermark(record);
        let backed_up = gaps::last_seq(target)?;
        let ends_at = record.map_or(0, readable_end);
        let watermark = watermark.filter(|mark| *mark <= ends_at.max(backed_up).saturating_add(WATERMARK_SLACK));
        let high = watermark.unwrap_or_else(|| ends_at.max(backed_up.saturating_add(SEARCHED_BEYOND)));
        self.expected = watermark.and_then(|mark| u64::try_from(mark).ok());
        let open_index: String =
            target.query_row("SELECT sql FROM sqlite_schema WHERE name = 'sessions_open'", [], |row| row.get(0))?;
        let tx = target.transaction()?;
        tx.pragma_update(None, "defer_foreign_keys", "ON")?;
        // Two sessions may be open until they are closed.
        tx.execute_batch("DROP INDEX sessions_open")?;
        let mut merge = Merge::new(&tx, watermark)?;
        let mut tables = Vec::new();
        for table in TABLES {
            let step = Step::Salvaging(table.name);
            self.tell(step);
            let (before, expected) = (self.rows, self.expected);
            let watch = &mut *self.watch;
            let account = match record {
                Some(record) => merge.table(record, table, high, &mut |rows| {
                    watch(Progress { step, rows: before.saturating_add(rows), rows_expected: expected });
                })?,
                None => merge.untouched(table)?,
            };
            if SEQUENCED.contains(&table.name) {
                self.rows = self.rows.saturating_add(account.read);
            }
            tables.push(account);
        }
        let from_records = sessions_of_records(&tx, &self.identity, &mut tables)?;
        follow_events(&tx)?;
        crate::thin::leave_out_present(&tx)?;
        tx.commit()?;
        Ok(Salvaged { read_as, watermark, tables, from_records, open_index })
    }

    /// Closes what is open, and writes down what is lost.
    pub(super) fn account(
        &self,
        target: &mut Connection,
        base: Base,
        salvaged: Salvaged,
        cause: String,
        aside: &Path,
    ) -> rusqlite::Result<Repaired> {
        let closed = close_from_records(target)?;
        crate::mark_outs::after_repair(target)?;
        target.execute_batch(&salvaged.open_index)?;
        let stored: i64 = target.query_row("SELECT durable_seq FROM meta WHERE id = 1", [], |row| row.get(0))?;
        let last = gaps::last_seq(target)?;
        let watermark = stored.max(last).max(salvaged.watermark.unwrap_or(0));
        let gaps = gaps::find(target, watermark)?;
        let (refetch_from, refetch_to) = gaps::refetch(target, &gaps)?;
        let tx = target.transaction()?;
        tx.execute("UPDATE meta SET durable_seq = ?1 WHERE id = 1", [watermark])?;
        let name = base.backup.as_ref().map(|(file, _)| file.name.clone());
        let sha256 = base.backup.as_ref().map(|(_, verified)| verified.sha256.clone());
        let no_backup = match (&name, base.refused.first()) {
            (Some(_), _) => None,
            (None, None) => Some(String::from("there was none")),
            (None, Some(newest)) => Some(format!("none was good; the newest, {}: {}", newest.name, newest.reason)),
        };
        let detail = serde_json::json!({
            "read_as": salvaged.read_as,
            "backups_refused": base.refused,
            "sessions_from_records": salvaged.from_records,
        });
        let repair: i64 = tx.query_row(
            "INSERT INTO repairs (id, repaired_at, cause, set_aside, backup, backup_sha256, backup_reason,
                 watermark_read, last_session, refetch_from_ledger, refetch_to_ledger, detail)
             VALUES ((SELECT coalesce(max(id), 0) + 1 FROM repairs), ?1, ?2, ?3, ?4, ?5, ?6, ?7,
                 (SELECT max(number) FROM sessions), ?8, ?9, ?10) RETURNING id",
            params![
                time(self.now),
                cause,
                aside.file_name().unwrap_or_default().to_string_lossy(),
                name,
                sha256,
                no_backup,
                salvaged.watermark.is_some(),
                refetch_from,
                refetch_to,
                detail.to_string()
            ],
            |row| row.get(0),
        )?;
        record_tables(&tx, repair, &salvaged.tables)?;
        for gap in &gaps {
            tx.execute(
                "INSERT INTO repair_gaps (first_seq, last_seq, repair, after_ledger, to_ledger)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![gap.first_seq, gap.last_seq, repair, gap.after_ledger, gap.to_ledger],
            )?;
        }
        tx.commit()?;
        let missing: i64 = gaps.iter().map(|gap| gap.last_seq - gap.first_seq + 1).sum();
        Ok(Repaired {
            db: self.db.to_path_buf(),
            repair,
            cause,
            set_aside: None,
            backup_contents: base.backup.as_ref().map(|(_, verified)| verified.contents.clone()),
            backup: base.backup.map(|(file, _)| file.path),
            backups_refused: base.refused,
            read_as: salvaged.read_as,
            tables: salvaged.tables,
            missing_rows: u64::try_from(missing).unwrap_or(0),
            gaps,
            watermark_read: salvaged.watermark.is_some(),
            sessions_from_records: salvaged.from_records,
            closed,
            refetch_from_ledger: refetch_from,
            contents: crate::backup::contents(target)?,
            settled: None,
        })
    }
}

/// When the record was begun, and its watermark, as far as they can be read.
pub(super) fn name_and_watermark(record: Option<&Connection>) -> (Option<String>, Option<i64>) {
    let Some(record) = record else { return (None, None) };
    let sql = "SELECT created_at, durable_seq FROM meta WHERE id = 1";
    let read = record.query_row(sql, [], |row| {
        row.time("created_at")?;
        Ok((row.get("created_at")?, row.get::<_, i64>("durable_seq")?))
    });
    // What is damaged is not known.
    read.map_or((None, None), |(created_at, watermark)| (Some(created_at), (watermark >= 0).then_some(watermark)))
}

/// Whose records a damaged file says that it holds.
pub(super) fn identity_in(record: &Connection) -> Option<Identity> {
    let read = record.query_row("SELECT mode, network, account FROM meta WHERE id = 1", [], |row| {
        let (network, account) = (row.get("network")?, row.get("account")?);
        Ok(Identity { mode: row.word("mode", Mode::from_word)?, network, account })
    });
    // What is damaged is not known.
    read.ok()
}

/// The highest number of the damaged record that can be read: a table that cannot has none.
fn readable_end(record: &Connection) -> i64 {
    let last = |table: &&str| {
        let sql = format!("SELECT max(seq) FROM {table}");
        record.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0)).unwrap_or_default()
    };
    SEQUENCED.iter().filter_map(last).max().unwrap_or(0)
}

/// Sessions that rows name and that are not there. One whose rows lie between those of its neighbours has existed: it
/// stands again by what its rows prove. Rows of any other are not believed.
fn sessions_of_records(
    tx: &Transaction<'_>,
    identity: &Identity,
    tables: &mut [TableAccount],
) -> rusqlite::Result<Vec<SessionNumber>> {
    let rows = SEQUENCED.map(|table| format!("SELECT seq, session, recorded_at FROM {table}")).join(" UNION ALL ");
    let sql = format!(
        "WITH numbered AS ({rows}), spans AS (SELECT session, min(seq) AS low, max(seq) AS high, min(recorded_at) AS at
             FROM numbered GROUP BY session)
         SELECT session, at FROM spans AS lost
         WHERE session NOT IN (SELECT number FROM sessions) AND session > 0
             AND NOT EXISTS (SELECT 1 FROM spans WHERE session < lost.session AND high > lost.low)
             AND NOT EXISTS (SELECT 1 FROM spans WHERE session > lost.session AND low < lost.high)
         ORDER BY session"
    );
    let mut lost: Vec<(SessionNumber, String)> = query(tx, &sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // The numbers of sessions have no gaps.
    let mut last: SessionNumber =
        tx.query_row("SELECT coalesce(max(number), 0) FROM sessions", [], |row| row.get(0))?;
    lost.retain(|(number, _)| {
        let follows = *number <= last + 1;
        last = if follows { last.max(*number) } else { last };
        follows
    });
    for (number, first_record) in &lost {
        tx.execute(
            "INSERT INTO sessions (number, mode, network, account, started_at, last_seen_at, starting_ledger_index,
                 starting_close_time, starting_value_rlusd, config, config_hash, version, era)
             SELECT ?1, ?2, ?3, ?4, ?5, ?5, s.ledger_index, s.close_time, s.total_value_rlusd,
                 '# not known: the row of this session was lost, and it stands by its records; see the table repairs',
                 'not known', 'not known', ?6
             FROM (SELECT 1) LEFT JOIN (SELECT * FROM valuation_snapshots
                 WHERE session = ?1 AND kind = 'opening' ORDER BY seq LIMIT 1) AS s",
            params![
                number,
                identity.mode.as_str(),
                identity.network,
                identity.account,
                first_record,
                era_of_records(tx, *number)?
            ],
        )?;
    }
    refuse_orphans(tx, tables)?;
    Ok(lost.into_iter().map(|(number, _)| number).collect())
}

/// The era that most rows of a lost session are of, as far as it lies between those of its neighbours: eras only go up.
/// Without such rows that of the session before it, the first of which is of era 0.
fn era_of_records(tx: &Transaction<'_>, number: SessionNumber) -> rusqlite::Result<i64> {
    let before = "SELECT coalesce(max(era), 0) FROM sessions WHERE number < ?1 AND imported = 0";
    let before: i64 = tx.query_row(before, [number], |row| row.get(0))?;
    let after = "SELECT min(era) FROM sessions WHERE number > ?1 AND imported = 0";
    let after: Option<i64> = tx.query_row(after, [number], |row| row.get(0))?;
    let rows = ["fills", "flows", "order_events", "markouts"]
        .map(|table| format!("SELECT era FROM {table} WHERE session = ?1"))
        .join(" UNION ALL ");
    // Where nothing comes after it, at most one era has begun with it and with each session before it.
    let sql = format!(
        "SELECT era FROM ({rows}) WHERE era BETWEEN ?2 AND coalesce(?3, ?1) GROUP BY era ORDER BY count(*) DESC, era LIMIT 1"
    );
    let proven = tx.query_row(&sql, params![number, before, after], |row| row.get(0)).optional()?;
    Ok(proven.unwrap_or(before))
}

/// Rows that refer to what is not there.
fn refuse_orphans(tx: &Transaction<'_>, tables: &mut [TableAccount]) -> rusqlite::Result<()> {
    for account in tables {
        let (column, parent) = match account.table {
            "sessions" | "repairs" => continue,
            "repair_tables" | "repair_gaps" => ("repair", "SELECT id FROM repairs"),
            "imported_sessions" => ("number", "SELECT number FROM sessions"),
            _ => ("session", "SELECT number FROM sessions"),
        };
        let table = account.table;
        let sql = format!("DELETE FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN ({parent})");
        let removed = u64::try_from(tx.execute(&sql, [])?).unwrap_or(0);
        account.refused = account.refused.saturating_add(removed);
        account.added = account.added.saturating_sub(removed);
    }
    tx.execute("UPDATE sessions SET resumed_from = NULL WHERE resumed_from NOT IN (SELECT number FROM sessions)", [])?;
    Ok(())
}

/// An offer is where its last event left it; the backup's row may be from before. Each era counts its offers anew, and its
/// events are of its own offers. What the eras before the newest left behind is forsaken again.
fn follow_events(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let era = "(SELECT era FROM sessions WHERE number = orders.session)";
    let last = format!(
        "FROM order_events AS e WHERE e.offer_sequence = orders.offer_sequence AND e.seq > orders.seq AND e.era = {era}
         ORDER BY e.ledger_index DESC, e.seq DESC LIMIT 1"
    );
    tx.execute(
        &format!(
            "UPDATE orders SET state = (SELECT e.state {last}), remaining_drops = (SELECT e.remaining_drops {last})
             WHERE state IN ('pending', 'resting', 'partly_filled', 'unknown') AND EXISTS (SELECT 1 {last})
                 AND seq = (SELECT max(o.seq) FROM orders AS o JOIN sessions AS s ON s.number = o.session
                     WHERE o.offer_sequence = orders.offer_sequence AND s.era = {era})"
        ),
        [],
    )?;
    let newest = format!("SELECT coalesce(min(number), 0) FROM sessions WHERE number IN {NEWEST_ERA}");
    forsake(tx, tx.query_row(&newest, [], |row| row.get(0))?)?;
    Ok(())
}

fn record_tables(tx: &Transaction<'_>, repair: i64, tables: &[TableAccount]) -> rusqlite::Result<()> {
    let count = crate::columns::count;
    for account in tables {
        tx.execute(
            "INSERT INTO repair_tables (repair, table_name, from_backup, read, added, updated, conflicting, refused,
                 unread) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                repair,
                account.table,
                count(account.from_backup),
                count(account.read),
                count(account.added),
                count(account.updated),
                count(account.conflicting),
                count(account.refused),
                account.unread
            ],
        )?;
    }
    Ok(())
}
