//! `neo import`: takes a predecessor's sessions into the record as history.

use std::path::Path;

use anyhow::{Context as _, Result};
use neo_actors::clock::now;
use neo_store::old::{Imported, Mapping};
use neo_store::{Identity, Options, Reader, Store};

use crate::cli::OldArgs;
use crate::config;
use crate::exit::ExitCode;
use crate::output::{Out, printable};
use crate::venue;

/// Imports into the record at `db`, which is made if it does not exist.
///
/// # Errors
/// [`neo_store::old::OldError`], [`neo_store::StoreError`], and what standard output refused.
pub fn run(args: &OldArgs, db: &Path, out: &mut Out) -> Result<ExitCode> {
    let mapping = Mapping::parse(&args.map)?;
    // The old file is looked at first: a mistake in its name must not leave an empty record behind.
    neo_store::old::check(&args.old, &mapping)?;
    let mut store = Store::open(db, &identity(db)?, &Options::new(now), now())?;
    let done = store.import_old(&args.old, &mapping, now())?;
    if args.json {
        out.json_line(&done)?;
    } else {
        for line in lines(&done) {
            out.line(&line)?;
        }
    }
    Ok(ExitCode::Clean)
}

/// An existing record's own identity; a new one is the configuration's.
fn identity(db: &Path) -> Result<Identity> {
    if db.exists()
        && let Some(identity) = Reader::identity_of(db)?
    {
        return Ok(identity);
    }
    let config = config::load(None, &[])?.config;
    venue::identity(&config)
        .with_context(|| format!("{} does not exist: give an existing record with --db", db.display()))
}

fn lines(done: &Imported) -> Vec<String> {
    let names = |numbers: &[i64]| match numbers {
        [] => "none".to_string(),
        [only] => format!("S{only}"),
        [first, .., last] => format!("{} (S{first} to S{last})", numbers.len()),
    };
    let mut lines = vec![
        format!("from      {} (SHA-256 {})", printable(&done.file.display().to_string()), done.sha256),
        format!("into      {}", printable(&done.record.display().to_string())),
        format!("sessions  {} added, {} were there", names(&done.added), names(&done.already)),
        format!("fills     {} added", done.fills),
        format!("values    {} added", done.valuations),
    ];
    if done.strays > 0 {
        lines.push(format!("note: {} of these belong to no session that was imported", done.strays));
    }
    if done.converted > 0 {
        lines.push(format!("note: {} amounts were REAL; they are decimal text now and marked", done.converted));
    }
    if !done.without_end.is_empty() {
        lines.push(format!("note: the end of {} is not known", names(&done.without_end)));
    }
    lines.extend(done.left_out.iter().map(|reason| format!("left out: {}", printable(reason))));
    lines.push(format!("the next session is S{}", done.next));
    lines
}
