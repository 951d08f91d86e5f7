//! The tables, and how a file of an older engine becomes one of this engine.
//!
//! Drops are INTEGER, decimals TEXT, times TEXT (RFC 3339, UTC, milliseconds); nothing that counts is REAL. The views
//! offer REAL for plotting only.
//!
//! Every row that the writer adds has a sequence number, `seq`, which is the rowid of its table: the numbers of all
//! tables together are 1, 2, 3, ... without a gap, and `meta.durable_seq` is the last one. A number that is missing or
//! there twice is a lost or a foreign row; one that is gone on purpose is named in `thinned`. Rows that only change another row (a session's end, an intent's or an
//! order's state, a stop stage, a refusal's count, the end of a trip) have none, and neither have those of `markouts`: each closed
//! session has three for each of its fills, so that a lost one is seen without a number.

use rusqlite::{Connection, TransactionBehavior};

/// `application_id` of our files: "NEO1".
pub const APPLICATION_ID: i64 = 0x4E45_4F31;

/// One step of `user_version` each; a step that was ever released is never changed again.
const MIGRATIONS: [&str; 8] = [INITIAL, IMPORTED, REPAIRS, THINNED, MARK_SOURCES, RISK, MARKOUTS, ERAS];

/// The `user_version` that this engine writes and reads.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// The tables whose rows carry a sequence number.
pub const SEQUENCED: [&str; 10] = [
    "intents",
    "orders",
    "order_events",
    "fills",
    "flows",
    "valuation_snapshots",
    "checkpoints",
    "faults",
    "refusals",
    "trips",
];

/// Those of them that a file has: one of an older version, such as a backup, lacks the newer ones.
pub(crate) fn sequenced_in(conn: &Connection) -> rusqlite::Result<Vec<&'static str>> {
    let mut statement = conn.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    let mut there = Vec::new();
    for table in SEQUENCED {
        if statement.exists([table])? {
            there.push(table);
        }
    }
    Ok(there)
}

/// The tables that every version has, by which a file is known for a record.
pub(crate) const ALWAYS: &[&str] =
    &["intents", "orders", "order_events", "fills", "flows", "valuation_snapshots", "checkpoints", "faults"];

/// Brings the file from `found` to [`VERSION`] in one transaction: all steps or none.
pub(crate) fn migrate(conn: &mut Connection, found: i64) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(found).unwrap_or(0);
    for step in MIGRATIONS.iter().skip(done) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()
}

const INITIAL: &str = "
CREATE TABLE meta (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    mode        TEXT NOT NULL,
    network     TEXT NOT NULL,
    account     TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    durable_seq INTEGER NOT NULL DEFAULT 0 CHECK (durable_seq >= 0)
) STRICT;

CREATE TABLE sessions (
    number                INTEGER PRIMARY KEY CHECK (number > 0),
    mode                  TEXT NOT NULL,
    network               TEXT NOT NULL,
    account               TEXT NOT NULL,
    started_at            TEXT NOT NULL,
    last_seen_at          TEXT NOT NULL,
    starting_ledger_index INTEGER,
    starting_close_time   TEXT,
    starting_value_rlusd  TEXT,
    last_ledger_index     INTEGER,
    last_close_time       TEXT,
    coalesced_rows        INTEGER NOT NULL DEFAULT 0,
    ended_at              TEXT,
    ended_at_source       TEXT,
    ending_ledger_index   INTEGER,
    ending_close_time     TEXT,
    ending_value_rlusd    TEXT,
    ending_value_reason   TEXT,
    end_reason            TEXT,
    end_detail            TEXT,
    config                TEXT NOT NULL,
    config_hash           TEXT NOT NULL,
    version               TEXT NOT NULL,
    seed                  TEXT,
    resumed_from          INTEGER REFERENCES sessions (number),
    CHECK ((ended_at IS NULL) = (ended_at_source IS NULL)),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
    CHECK (ended_at IS NULL OR (ending_value_rlusd IS NULL) = (ending_value_reason IS NOT NULL))
) STRICT;

-- At most one session is open, whatever happens.
CREATE UNIQUE INDEX sessions_open ON sessions ((ended_at IS NULL)) WHERE ended_at IS NULL;

CREATE TABLE stop_stages (
    session INTEGER NOT NULL REFERENCES sessions (number),
    stage   TEXT NOT NULL,
    outcome TEXT NOT NULL,
    ms      INTEGER NOT NULL CHECK (ms >= 0),
    error   TEXT,
    PRIMARY KEY (session, stage)
) STRICT, WITHOUT ROWID;

CREATE TABLE intents (
    seq                  INTEGER PRIMARY KEY,
    session              INTEGER NOT NULL REFERENCES sessions (number),
    tx_hash              TEXT NOT NULL UNIQUE,
    purpose              TEXT NOT NULL,
    sequence             INTEGER NOT NULL,
    offer_sequence       INTEGER,
    last_ledger_sequence INTEGER NOT NULL,
    fee_drops            INTEGER NOT NULL CHECK (fee_drops >= 0),
    blob                 TEXT NOT NULL,
    ledger_index         INTEGER NOT NULL,
    recorded_at          TEXT NOT NULL,
    state                TEXT NOT NULL,
    engine_result        TEXT,
    settled_ledger_index INTEGER,
    updated_at           TEXT NOT NULL
) STRICT;

CREATE INDEX intents_unsettled ON intents (seq) WHERE state IN ('intended', 'submitted', 'unknown');

CREATE TABLE orders (
    seq             INTEGER PRIMARY KEY,
    session         INTEGER NOT NULL REFERENCES sessions (number),
    offer_sequence  INTEGER NOT NULL,
    tx_hash         TEXT NOT NULL UNIQUE,
    side            TEXT NOT NULL,
    level           INTEGER NOT NULL,
    price           TEXT NOT NULL,
    size_drops      INTEGER NOT NULL CHECK (size_drops >= 0),
    rlusd           TEXT NOT NULL,
    mid_price       TEXT,
    replaces        INTEGER,
    expiration      TEXT,
    ledger_index    INTEGER NOT NULL,
    close_time      TEXT NOT NULL,
    recorded_at     TEXT NOT NULL,
    state           TEXT NOT NULL,
    remaining_drops INTEGER NOT NULL CHECK (remaining_drops >= 0)
) STRICT;

CREATE INDEX orders_offer ON orders (offer_sequence, seq);
CREATE INDEX orders_open ON orders (seq) WHERE state IN ('pending', 'resting', 'partly_filled', 'unknown');

CREATE TABLE order_events (
    seq             INTEGER PRIMARY KEY,
    session         INTEGER NOT NULL REFERENCES sessions (number),
    offer_sequence  INTEGER NOT NULL,
    state           TEXT NOT NULL,
    remaining_drops INTEGER NOT NULL CHECK (remaining_drops >= 0),
    tx_hash         TEXT,
    detail          TEXT,
    ledger_index    INTEGER NOT NULL,
    close_time      TEXT NOT NULL,
    recorded_at     TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX order_events_once
    ON order_events (offer_sequence, ledger_index, state, coalesce(tx_hash, ''));

CREATE TABLE fills (
    seq               INTEGER PRIMARY KEY,
    session           INTEGER NOT NULL REFERENCES sessions (number),
    tx_hash           TEXT NOT NULL,
    offer_sequence    INTEGER NOT NULL,
    role              TEXT NOT NULL,
    side              TEXT NOT NULL,
    xrp_drops         INTEGER NOT NULL CHECK (xrp_drops >= 0),
    rlusd             TEXT NOT NULL,
    price             TEXT NOT NULL,
    mid_price         TEXT,
    ledger_index      INTEGER NOT NULL,
    transaction_index INTEGER NOT NULL,
    close_time        TEXT NOT NULL,
    recorded_at       TEXT NOT NULL,
    UNIQUE (tx_hash, offer_sequence, role)
) STRICT;

CREATE INDEX fills_session ON fills (session);

CREATE TABLE flows (
    seq          INTEGER PRIMARY KEY,
    session      INTEGER NOT NULL REFERENCES sessions (number),
    tx_hash      TEXT,
    cause        TEXT NOT NULL,
    xrp_drops    INTEGER NOT NULL,
    rlusd        TEXT NOT NULL,
    detail       TEXT,
    ledger_index INTEGER NOT NULL,
    close_time   TEXT NOT NULL,
    recorded_at  TEXT NOT NULL,
    UNIQUE (tx_hash, cause)
) STRICT;

CREATE TABLE valuation_snapshots (
    seq               INTEGER PRIMARY KEY,
    session           INTEGER NOT NULL REFERENCES sessions (number),
    kind              TEXT NOT NULL,
    ledger_index      INTEGER NOT NULL,
    close_time        TEXT NOT NULL,
    total_value_rlusd TEXT,
    xrp_drops         INTEGER NOT NULL,
    reserve_drops     INTEGER NOT NULL,
    rlusd             TEXT NOT NULL,
    mark_price        TEXT,
    mark_source       TEXT NOT NULL,
    mark_age_ledgers  INTEGER NOT NULL,
    best_bid          TEXT,
    best_ask          TEXT,
    our_bid           TEXT,
    our_ask           TEXT,
    recorded_at       TEXT NOT NULL
) STRICT;

CREATE TABLE checkpoints (
    seq                 INTEGER PRIMARY KEY,
    session             INTEGER NOT NULL REFERENCES sessions (number),
    cause               TEXT NOT NULL,
    busy                INTEGER NOT NULL CHECK (busy IN (0, 1)),
    wal_frames          INTEGER NOT NULL,
    checkpointed_frames INTEGER NOT NULL,
    wal_bytes           INTEGER NOT NULL,
    pause_us            INTEGER NOT NULL,
    recorded_at         TEXT NOT NULL
) STRICT;

CREATE TABLE faults (
    seq         INTEGER PRIMARY KEY,
    session     INTEGER NOT NULL REFERENCES sessions (number),
    actor       TEXT NOT NULL,
    cause       TEXT NOT NULL,
    backtrace   TEXT,
    action      TEXT NOT NULL,
    recorded_at TEXT NOT NULL
) STRICT;

CREATE TABLE backups (
    name           TEXT PRIMARY KEY,
    sha256         TEXT NOT NULL,
    size           INTEGER NOT NULL CHECK (size >= 0),
    taken_at       TEXT NOT NULL,
    session_number INTEGER REFERENCES sessions (number)
) STRICT, WITHOUT ROWID;

CREATE VIEW session_list AS
    SELECT 'S' || number AS session, mode, network, account, started_at, ended_at, ended_at_source, end_reason,
           (SELECT count(*) FROM fills WHERE fills.session = sessions.number) AS fills,
           starting_value_rlusd, ending_value_rlusd, ending_value_reason
    FROM sessions ORDER BY number;

CREATE VIEW fills_plot AS
    SELECT seq, session, close_time, ledger_index, side, role, xrp_drops / 1e6 AS xrp,
           CAST(rlusd AS REAL) AS rlusd, CAST(price AS REAL) AS price, CAST(mid_price AS REAL) AS mid_price
    FROM fills;

CREATE VIEW valuations_plot AS
    SELECT seq, session, close_time, ledger_index, kind, CAST(total_value_rlusd AS REAL) AS total_value_rlusd,
           xrp_drops / 1e6 AS xrp, CAST(rlusd AS REAL) AS rlusd, CAST(mark_price AS REAL) AS mark_price
    FROM valuation_snapshots;
";

/// Sessions of the predecessor as history. They have no sequence numbers: the writer did not add them. One whose end is
/// not known stays NULL without being open.
const IMPORTED: &str = "
ALTER TABLE sessions ADD COLUMN imported INTEGER NOT NULL DEFAULT 0 CHECK (imported IN (0, 1));

DROP INDEX sessions_open;
CREATE UNIQUE INDEX sessions_open ON sessions ((ended_at IS NULL)) WHERE ended_at IS NULL AND imported = 0;

CREATE TABLE imported_sessions (
    number        INTEGER PRIMARY KEY REFERENCES sessions (number),
    source_file   TEXT NOT NULL,
    source_sha256 TEXT NOT NULL,
    source_id     TEXT NOT NULL,
    imported_at   TEXT NOT NULL,
    unknown       TEXT NOT NULL,
    converted     TEXT NOT NULL,
    source_row    TEXT NOT NULL
) STRICT;

CREATE TABLE imported_fills (
    key          TEXT PRIMARY KEY,
    session      INTEGER REFERENCES sessions (number),
    at           TEXT,
    side         TEXT,
    xrp          TEXT,
    rlusd        TEXT,
    price        TEXT,
    tx_hash      TEXT,
    ledger_index INTEGER,
    unknown      TEXT,
    converted    TEXT,
    source_row   TEXT NOT NULL
) STRICT;

CREATE INDEX imported_fills_session ON imported_fills (session);

CREATE TABLE imported_valuations (
    key               TEXT PRIMARY KEY,
    session           INTEGER REFERENCES sessions (number),
    at                TEXT,
    total_value_rlusd TEXT,
    unknown           TEXT,
    converted         TEXT,
    source_row        TEXT NOT NULL
) STRICT;

CREATE INDEX imported_valuations_session ON imported_valuations (session);

DROP VIEW session_list;
CREATE VIEW session_list AS
    SELECT 'S' || number AS session, mode, network, account, started_at, ended_at, ended_at_source, end_reason,
           (SELECT count(*) FROM fills WHERE fills.session = sessions.number)
               + (SELECT count(*) FROM imported_fills WHERE imported_fills.session = sessions.number) AS fills,
           starting_value_rlusd, ending_value_rlusd, ending_value_reason, imported
    FROM sessions ORDER BY number;
";

/// A name of its own for each record, by which its `-wal` is told from another's; and what repairs could not bring back.
/// A number that a repair knows to be lost is no sign of a new loss.
const REPAIRS: &str = "
ALTER TABLE meta ADD COLUMN record_id TEXT;
UPDATE meta SET record_id = lower(hex(randomblob(16)));

CREATE TABLE repairs (
    id                  INTEGER PRIMARY KEY,
    repaired_at         TEXT NOT NULL,
    cause               TEXT NOT NULL,
    set_aside           TEXT NOT NULL,
    backup              TEXT,
    backup_sha256       TEXT,
    backup_reason       TEXT,
    watermark_read      INTEGER NOT NULL CHECK (watermark_read IN (0, 1)),
    last_session        INTEGER,
    refetch_from_ledger INTEGER,
    refetch_to_ledger   INTEGER,
    detail              TEXT,
    CHECK ((backup IS NULL) = (backup_sha256 IS NULL)),
    CHECK ((backup IS NULL) = (backup_reason IS NOT NULL))
) STRICT;

CREATE TABLE repair_tables (
    repair      INTEGER NOT NULL REFERENCES repairs (id),
    table_name  TEXT NOT NULL,
    from_backup INTEGER NOT NULL CHECK (from_backup >= 0),
    read        INTEGER NOT NULL CHECK (read >= 0),
    added       INTEGER NOT NULL CHECK (added >= 0),
    updated     INTEGER NOT NULL CHECK (updated >= 0),
    conflicting INTEGER NOT NULL CHECK (conflicting >= 0),
    refused     INTEGER NOT NULL CHECK (refused >= 0),
    unread      TEXT,
    PRIMARY KEY (repair, table_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE repair_gaps (
    first_seq    INTEGER NOT NULL CHECK (first_seq > 0),
    last_seq     INTEGER NOT NULL CHECK (last_seq >= first_seq),
    repair       INTEGER NOT NULL REFERENCES repairs (id),
    after_ledger INTEGER,
    to_ledger    INTEGER,
    PRIMARY KEY (first_seq)
) STRICT, WITHOUT ROWID;
";

/// What was thinned out of old snapshots, hour by hour: the numbers begin with `first_seq`, and `steps` is a JSON array of
/// the step from each to the next. The indexes are for the rule, which keeps the snapshots at fills and at flows that are no
/// fees.
const THINNED: &str = "
CREATE TABLE thinned (
    first_seq    INTEGER PRIMARY KEY CHECK (first_seq > 0),
    last_seq     INTEGER NOT NULL CHECK (last_seq >= first_seq),
    session      INTEGER NOT NULL REFERENCES sessions (number),
    first_ledger INTEGER NOT NULL,
    last_ledger  INTEGER NOT NULL,
    rows_removed INTEGER NOT NULL CHECK (rows_removed > 0),
    steps        TEXT NOT NULL,
    rule         TEXT NOT NULL,
    keep_days    INTEGER NOT NULL CHECK (keep_days > 0),
    thinned_at   TEXT NOT NULL
) STRICT;

CREATE INDEX fills_ledger ON fills (ledger_index);
CREATE INDEX flows_moved ON flows (ledger_index) WHERE cause <> 'fee';
";

/// What the mark price of a snapshot was made from: a JSON array of objects with `source`, `price`, `age_ledgers` or `age_s`
/// at the mark's ledger, and `weight`. NULL for snapshots of older engines and without a price.
const MARK_SOURCES: &str = "
ALTER TABLE valuation_snapshots ADD COLUMN mark_sources TEXT;
";

/// What was not quoted and why, and the triggers that had quotes withdrawn. A refusal that stands is one row, whose end
/// and count move on; a trip is cleared in its row.
const RISK: &str = "
CREATE TABLE refusals (
    seq                INTEGER PRIMARY KEY,
    session            INTEGER NOT NULL REFERENCES sessions (number),
    side               TEXT,
    level              INTEGER,
    kind               TEXT NOT NULL,
    reason             TEXT NOT NULL,
    first_ledger_index INTEGER NOT NULL,
    first_close_time   TEXT NOT NULL,
    last_ledger_index  INTEGER NOT NULL CHECK (last_ledger_index >= first_ledger_index),
    last_close_time    TEXT NOT NULL,
    count              INTEGER NOT NULL CHECK (count > 0),
    recorded_at        TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX refusals_once
    ON refusals (session, kind, first_ledger_index, coalesce(side, ''), coalesce(level, -1));

CREATE TABLE trips (
    seq                  INTEGER PRIMARY KEY,
    session              INTEGER NOT NULL REFERENCES sessions (number),
    trigger              TEXT NOT NULL,
    action               TEXT NOT NULL,
    reason               TEXT NOT NULL,
    ledger_index         INTEGER NOT NULL,
    close_time           TEXT NOT NULL,
    cleared_ledger_index INTEGER,
    cleared_close_time   TEXT,
    cleared_by           TEXT,
    recorded_at          TEXT NOT NULL,
    CHECK ((cleared_ledger_index IS NULL) = (cleared_by IS NULL)),
    CHECK ((cleared_ledger_index IS NULL) = (cleared_close_time IS NULL))
) STRICT;

CREATE INDEX trips_standing ON trips (trigger) WHERE cleared_by IS NULL;
";

/// The middle some validated ledgers after each fill, kept apart from the snapshots, which are thinned out. A fill has a row
/// for each number of ledgers when its session is closed: what was not measured has a reason instead of a price.
const MARKOUTS: &str = "
CREATE TABLE markouts (
    id             INTEGER PRIMARY KEY,
    session        INTEGER NOT NULL REFERENCES sessions (number),
    tx_hash        TEXT NOT NULL,
    offer_sequence INTEGER NOT NULL,
    role           TEXT NOT NULL,
    ledgers        INTEGER NOT NULL CHECK (ledgers > 0),
    ledger_index   INTEGER NOT NULL,
    mid_price      TEXT,
    reason         TEXT,
    UNIQUE (tx_hash, offer_sequence, role, ledgers),
    CHECK ((mid_price IS NULL) = (reason IS NOT NULL))
) STRICT;

CREATE INDEX markouts_session ON markouts (session);

INSERT INTO markouts (session, tx_hash, offer_sequence, role, ledgers, ledger_index, reason)
    SELECT session, tx_hash, offer_sequence, role, after.ledgers, ledger_index + after.ledgers,
           'recorded by a version that did not look'
    FROM fills, (SELECT 1 AS ledgers UNION ALL SELECT 5 UNION ALL SELECT 30) AS after ORDER BY seq, after.ledgers;
";

/// The worlds that a record has seen: a stand-alone node that is reset begins its ledger anew, and a script that runs there
/// again makes the same transactions, hash for hash. Each is another row in another era. Which chain a session followed, the
/// hash of its last processed ledger tells.
const ERAS: &str = "
ALTER TABLE sessions ADD COLUMN era INTEGER NOT NULL DEFAULT 0 CHECK (era >= 0);
ALTER TABLE sessions ADD COLUMN last_ledger_hash TEXT;

DROP VIEW session_list;
DROP VIEW fills_plot;

CREATE TABLE fills_of_eras (
    seq               INTEGER PRIMARY KEY,
    session           INTEGER NOT NULL REFERENCES sessions (number),
    tx_hash           TEXT NOT NULL,
    offer_sequence    INTEGER NOT NULL,
    role              TEXT NOT NULL,
    side              TEXT NOT NULL,
    xrp_drops         INTEGER NOT NULL CHECK (xrp_drops >= 0),
    rlusd             TEXT NOT NULL,
    price             TEXT NOT NULL,
    mid_price         TEXT,
    ledger_index      INTEGER NOT NULL,
    transaction_index INTEGER NOT NULL,
    close_time        TEXT NOT NULL,
    recorded_at       TEXT NOT NULL,
    era               INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tx_hash, offer_sequence, role, era)
) STRICT;
INSERT INTO fills_of_eras SELECT *, 0 FROM fills;
DROP TABLE fills;
ALTER TABLE fills_of_eras RENAME TO fills;
CREATE INDEX fills_session ON fills (session);
CREATE INDEX fills_ledger ON fills (ledger_index);

CREATE TABLE flows_of_eras (
    seq          INTEGER PRIMARY KEY,
    session      INTEGER NOT NULL REFERENCES sessions (number),
    tx_hash      TEXT,
    cause        TEXT NOT NULL,
    xrp_drops    INTEGER NOT NULL,
    rlusd        TEXT NOT NULL,
    detail       TEXT,
    ledger_index INTEGER NOT NULL,
    close_time   TEXT NOT NULL,
    recorded_at  TEXT NOT NULL,
    era          INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tx_hash, cause, era)
) STRICT;
INSERT INTO flows_of_eras SELECT *, 0 FROM flows;
DROP TABLE flows;
ALTER TABLE flows_of_eras RENAME TO flows;
CREATE INDEX flows_moved ON flows (ledger_index) WHERE cause <> 'fee';

CREATE TABLE markouts_of_eras (
    id             INTEGER PRIMARY KEY,
    session        INTEGER NOT NULL REFERENCES sessions (number),
    tx_hash        TEXT NOT NULL,
    offer_sequence INTEGER NOT NULL,
    role           TEXT NOT NULL,
    ledgers        INTEGER NOT NULL CHECK (ledgers > 0),
    ledger_index   INTEGER NOT NULL,
    mid_price      TEXT,
    reason         TEXT,
    era            INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tx_hash, offer_sequence, role, ledgers, era),
    CHECK ((mid_price IS NULL) = (reason IS NOT NULL))
) STRICT;
INSERT INTO markouts_of_eras SELECT *, 0 FROM markouts;
DROP TABLE markouts;
ALTER TABLE markouts_of_eras RENAME TO markouts;
CREATE INDEX markouts_session ON markouts (session);

ALTER TABLE order_events ADD COLUMN era INTEGER NOT NULL DEFAULT 0;
DROP INDEX order_events_once;
CREATE UNIQUE INDEX order_events_once
    ON order_events (offer_sequence, ledger_index, state, coalesce(tx_hash, ''), era);

CREATE VIEW session_list AS
    SELECT 'S' || number AS session, mode, network, account, started_at, ended_at, ended_at_source, end_reason,
           (SELECT count(*) FROM fills WHERE fills.session = sessions.number)
               + (SELECT count(*) FROM imported_fills WHERE imported_fills.session = sessions.number) AS fills,
           starting_value_rlusd, ending_value_rlusd, ending_value_reason, imported
    FROM sessions ORDER BY number;

CREATE VIEW fills_plot AS
    SELECT seq, session, close_time, ledger_index, side, role, xrp_drops / 1e6 AS xrp,
           CAST(rlusd AS REAL) AS rlusd, CAST(price AS REAL) AS price, CAST(mid_price AS REAL) AS mid_price
    FROM fills;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fills_of_an_older_version_say_that_it_did_not_look() {
        let conn = Connection::open_in_memory().unwrap();
        for step in MIGRATIONS.iter().take_while(|step| **step != MARKOUTS) {
            conn.execute_batch(step).unwrap();
        }
        conn.execute_batch(
            "INSERT INTO sessions (number, mode, network, account, started_at, last_seen_at, config, config_hash, version)
             VALUES (1, 'sim', 'n', 'a', 't', 't', 'c', 'h', 'v');
             INSERT INTO fills VALUES (9, 1, 'H', 7, 'maker', 'bid', 5, '12', '2.4', NULL, 100, 3, 't', 't')",
        )
        .unwrap();
        conn.execute_batch(MARKOUTS).unwrap();
        let rows =
            "SELECT tx_hash || offer_sequence || role || ledgers || ' ' || ledger_index || ' ' || reason FROM markouts";
        let rows: Vec<String> = crate::read::query(&conn, rows, [], |row| row.get(0)).unwrap();
        let reason = "recorded by a version that did not look";
        assert_eq!(rows, [(1, 101), (5, 105), (30, 130)].map(|(n, at)| format!("H7maker{n} {at} {reason}")));
    }
}
