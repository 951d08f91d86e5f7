//! Closing the predecessor's sessions: `ended_at` from the latest fill or snapshot of each, marked as backfilled.
//!
//! In one transaction, after a verified copy: `ended_at` of the sessions that had none and have a record, and one row
//! each in the new table `neo_backfill`. No other table, row or column is touched, and the database's own triggers stay
//! off. A second run finds nothing to do.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, TransactionBehavior, params};
use serde::Serialize;
use serde_json::Value as Json;

use crate::columns::time;
use crate::old::copy::copy;
use crate::old::error::OldError;
use crate::old::history::{End, OldSession, end_of, form_of, owned, sessions, traces, utc};
use crate::old::layout::{BACKFILL_TABLE, Layout, Purpose, discover, quote};
use crate::old::mapping::Mapping;
use crate::old::open::{Intention, open, sqlite};
use crate::old::times::{Form, Moment, Zone, read};
use crate::old::values::{Key, json};

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It had no `ended_at` and has one now; on a dry run, would have.
    Set,
    /// It had one and was left as it is.
    Kept,
    /// It has none, and no fill or snapshot to take one from.
    NoRecord,
    /// It has none and keeps none, for the reason given.
    LeftOpen,
}

/// One session before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// `S12`, or the id where it is no number.
    pub session: String,
    /// What became of it.
    pub outcome: Outcome,
    /// `ended_at` before, as stored.
    pub before: Json,
    /// `ended_at` after, as stored; on a dry run, as it would be.
    pub after: Json,
    /// The column that `after` is from, e.g. `fills.filled_at`.
    pub source: Option<String>,
    /// Why it was left.
    pub reason: Option<String>,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Backfilled {
    /// The database.
    pub file: PathBuf,
    /// Nothing was written.
    pub dry_run: bool,
    /// The copy taken before; `None` when nothing was to be written.
    pub backup: Option<PathBuf>,
    /// The columns that times were read from.
    pub read_from: Vec<String>,
    /// Every session, in the order of the ids.
    pub sessions: Vec<Change>,
    /// What the reader should know, e.g. that times without a zone were taken to be in UTC.
    pub notes: Vec<String>,
}

impl Backfilled {
    /// How many sessions had this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.sessions.iter().filter(|change| change.outcome == outcome).count()
    }
}

/// Sets `ended_at` of the old database's sessions. `now` is the real time, for the copy's name and `set_at`.
///
/// # Errors
/// A variant of [`OldError`]; the database is unchanged then.
pub fn backfill(path: &Path, mapping: &Mapping, dry_run: bool, now: DateTime<Utc>) -> Result<Backfilled, OldError> {
    let mut conn = open(path, if dry_run { Intention::Look } else { Intention::Write })?;
    let layout = discover(&conn, path, mapping, Purpose::Backfill)?;
    let zone = mapping.zone();
    let plan = plan(&conn, path, &layout, zone, mapping.get("zone").is_some())?;
    let to_write = plan.steps.iter().any(|step| step.write.is_some());
    let backup = if to_write && !dry_run { Some(copy(&conn, path, now)?) } else { None };
    if backup.is_some() {
        apply(&mut conn, path, &layout, &plan, zone, now)?;
    }
    conn.close().map_err(|(_, error)| sqlite(path, "closing the file")(error))?;
    Ok(Backfilled {
        file: path.to_path_buf(),
        dry_run,
        backup,
        read_from: [&layout.fills, &layout.valuations].into_iter().flatten().map(|records| records.source()).collect(),
        sessions: plan.steps.into_iter().map(|step| step.change).collect(),
        notes: plan.notes,
    })
}

struct Plan {
    steps: Vec<Step>,
    notes: Vec<String>,
}

struct Step {
    change: Change,
    write: Option<Write>,
}

struct Write {
    id: Value,
    old: Value,
    new: Value,
    at: DateTime<Utc>,
}

/// Decides for each session, without writing.
fn plan(conn: &Connection, path: &Path, layout: &Layout, zone: Zone, zone_said: bool) -> Result<Plan, OldError> {
    let all = sessions(conn, path, &layout.sessions, zone)?;
    let traces = traces(conn, path, layout, zone)?;
    // The column's own form; where nothing is in it yet, that of the start, which the same program wrote.
    let starts = all.iter().filter_map(|session| session.started_at).map(|start| start.form.write(start.at, zone));
    let form = form_of(all.iter().map(|session| session.ended_at.clone()), zone).or_else(|| form_of(starts, zone));
    let mut assumed = false;
    let steps: Vec<_> = all
        .iter()
        .map(|session| {
            let end = end_of(session, traces.get(&session.key).filter(|_| session.key.is_some()));
            step(session, end, form, zone, &mut assumed)
        })
        .collect();
    let mut notes = Vec::new();
    if assumed && !zone_said {
        notes.push(
            "times without a zone were taken to be in UTC; if they are not, say so with --map zone=+02:00".to_string(),
        );
    }
    let known: Vec<_> = all.iter().filter_map(|session| session.key.as_ref()).collect();
    let strays: Vec<_> = traces.keys().filter(|key| key.as_ref().is_none_or(|key| !known.contains(&key))).collect();
    if !strays.is_empty() {
        let names: Vec<_> =
            strays.iter().map(|key| key.as_ref().map_or_else(|| "no session".to_string(), Key::to_string)).collect();
        notes.push(format!("some records belong to sessions that do not exist: {}", names.join(", ")));
    }
    Ok(Plan { steps, notes })
}

fn step(session: &OldSession, end: End, form: Option<Form>, zone: Zone, assumed: &mut bool) -> Step {
    let before = json(ValueRef::from(&session.ended_at));
    let name = session.key.as_ref().map_or_else(|| "(no id)".to_string(), Key::to_string);
    let kept = |outcome, reason: Option<String>| Step {
        change: Change {
            session: name.clone(),
            outcome,
            before: before.clone(),
            after: before.clone(),
            source: None,
            reason,
        },
        write: None,
    };
    if !session.is_open() {
        return kept(Outcome::Kept, None);
    }
    if session.key.is_none() {
        return kept(Outcome::LeftOpen, Some("it has no id, so no record can be told to be its".to_string()));
    }
    match end {
        End::NoRecord => kept(Outcome::NoRecord, Some("no fill and no snapshot belongs to it".to_string())),
        End::Unclear(reason) => kept(Outcome::LeftOpen, Some(reason)),
        End::At(Moment { at, form: own }, source) => {
            let form = form.unwrap_or(own);
            *assumed |= form.is_zoneless() != own.is_zoneless();
            let new = form.write(at, zone);
            Step {
                change: Change {
                    session: name,
                    outcome: Outcome::Set,
                    before,
                    after: json(ValueRef::from(&new)),
                    source: Some(source),
                    reason: None,
                },
                write: Some(Write { id: session.id.clone(), old: session.ended_at.clone(), new, at }),
            }
        }
    }
}

/// Everything in one transaction: all of it or nothing.
fn apply(
    conn: &mut Connection,
    path: &Path,
    layout: &Layout,
    plan: &Plan,
    zone: Zone,
    now: DateTime<Utc>,
) -> Result<(), OldError> {
    let failed = sqlite(path, "setting ended_at");
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    // No declared types: the values keep the form that they have in the sessions.
    tx.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {BACKFILL_TABLE} (session_id, old_value, new_value, source TEXT NOT NULL,
             set_at TEXT NOT NULL)"
    ))
    .map_err(&failed)?;
    let (table, id) = (quote(&layout.sessions.table), quote(&layout.sessions.id));
    let ended_at = quote(layout.sessions.ended_at.as_deref().unwrap_or("ended_at"));
    let update = format!(
        "UPDATE {table} SET {ended_at} = ?1 WHERE {id} IS ?2 AND ({ended_at} IS NULL OR trim({ended_at}) = '')
         RETURNING {ended_at}"
    );
    let insert = format!(
        "INSERT INTO {BACKFILL_TABLE} (session_id, old_value, new_value, source, set_at) VALUES (?1, ?2, ?3, ?4, ?5)"
    );
    for step in &plan.steps {
        let Some(write) = &step.write else { continue };
        let stored: Value =
            tx.query_row(&update, params![write.new, write.id], |row| Ok(owned(row.get_ref(0)?))).map_err(&failed)?;
        // A column's type may turn what is written into something else; a time that is cut to seconds stays that.
        let wanted = read(ValueRef::from(&write.new), zone).map(|moment| moment.at);
        if read(ValueRef::from(&stored), zone).map(|moment| moment.at) != wanted || wanted.is_none() {
            let session = format!("{} ({} became {stored:?})", step.change.session, utc(write.at));
            return Err(OldError::ReadBack { path: path.to_path_buf(), session });
        }
        let values = params![write.id, write.old, stored, step.change.source, time(now)];
        tx.execute(&insert, values).map_err(&failed)?;
    }
    tx.commit().map_err(failed)
}
