//! `neo thin`, and the thinning before each session: old valuation snapshots go, all else stays.

use std::path::Path;

use anyhow::Result;
use neo_actors::clock::{monotonic_us, now};
use neo_store::Thinned;
use neo_store::backup::Taken;
use neo_store::open::{Options, Store};
use neo_store::thin::preview;
use serde::Serialize;

use crate::backup::retention;
use crate::cli::ThinArgs;
use crate::config;
use crate::exit::ExitCode;
use crate::output::Out;

/// Longest time before a session; the writer does the rest between two ledgers.
const BEFORE_SESSION_MS: u64 = 2_000;

/// What `neo thin --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// The file.
    db: &'a Path,
    /// True when nothing was removed.
    dry_run: bool,
    /// `[store] snapshots_keep_days`; 0: all are kept.
    keep_days: u32,
    #[serde(flatten)]
    done: Thinned,
    /// The backup that was taken before; null with `--dry-run`, or where there was nothing to thin out.
    backup: Option<&'a Path>,
}

/// Thins out the old snapshots of a record that no engine holds, after a backup; with `--dry-run` it only counts them.
///
/// # Errors
/// [`neo_store::StoreError`] and [`neo_store::BackupError`], mistakes in the configuration, and what standard output
/// refused.
pub fn run(args: &ThinArgs, out: &mut Out) -> Result<ExitCode> {
    let config = config::load(args.config.as_deref(), &[])?.config;
    let db = args.read.db.db.clone().unwrap_or_else(|| config.session.db_path());
    let keep_days = config.store.snapshots_keep_days;
    let (mut done, mut taken): (Thinned, Option<Taken>) = (Thinned::default(), None);
    if args.dry_run {
        done = preview(&db, keep_days, now())?;
    } else {
        let options =
            Options { checkpoints: config.store.checkpoint, snapshots_keep_days: keep_days, ..Options::new(now) };
        let mut store = Store::open_existing(&db, &options, now())?;
        if preview(&db, keep_days, now())?.rows > 0 {
            taken = store.backup(&retention(&config.store), now())?;
            done = store.thin(None)?;
        }
        store.close()?;
    }
    let backup = taken.as_ref().map(|taken| taken.file.path.as_path());
    let report = Report { db: &db, dry_run: args.dry_run, keep_days, done, backup };
    if args.read.json {
        out.json_line(&report)?;
    } else {
        out.line(&report.line())?;
    }
    Ok(ExitCode::Clean)
}

impl Report<'_> {
    fn line(&self) -> String {
        let Report { db, dry_run, keep_days, done, backup } = self;
        let db = db.display();
        if *keep_days == 0 {
            return format!("{db}: [store] snapshots_keep_days is 0, so every snapshot is kept");
        }
        let what = format!("{} snapshots older than {keep_days} days, of {} hours", done.rows, done.hours);
        match (dry_run, backup) {
            (true, _) => format!("{db}: {what}, would be thinned out; nothing was changed"),
            (false, Some(backup)) => format!("{db}: {what}, were thinned out; they are in {}", backup.display()),
            (false, None) => format!("{db}: nothing to thin out is older than {keep_days} days"),
        }
    }
}

/// Before a session, after its backup. What takes longer the writer does while the session runs. A thinning that fails
/// keeps no session from beginning: the record is as whole as it was.
pub fn before_session(store: &mut Store) {
    let begun_us = monotonic_us();
    match store.thin(Some(BEFORE_SESSION_MS)) {
        Ok(Thinned { rows: 0, .. }) => {}
        Ok(Thinned { rows, hours, finished }) => {
            let ms = monotonic_us().saturating_sub(begun_us) / 1_000;
            tracing::info!(rows, hours, finished, ms, "old snapshots were thinned out");
        }
        Err(error) => tracing::warn!(%error, "old snapshots were not thinned out; the next session tries again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_it_did_and_what_it_would_do() {
        let done = Thinned { rows: 860, hours: 1, finished: true };
        let line = |dry_run, keep_days, done, backup| {
            Report { db: Path::new("a/neo.db"), dry_run, keep_days, done, backup }.line()
        };
        assert_eq!(
            line(true, 14, done, None),
            "a/neo.db: 860 snapshots older than 14 days, of 1 hours, would be thinned out; nothing was changed"
        );
        assert!(line(false, 14, done, Some(Path::new("a/backups/b.db"))).ends_with("they are in a/backups/b.db"));
        assert_eq!(line(false, 14, Thinned::default(), None), "a/neo.db: nothing to thin out is older than 14 days");
        assert!(line(true, 0, done, None).contains("every snapshot is kept"));
    }
}
