//! Databases of the predecessor: finding out what is in one, closing its sessions ([`backfill`]), and taking it into our
//! record as history ([`import`]).
//!
//! Its schema is known only in part, so tables and columns are discovered by name. What is not there or could be two
//! things is not guessed: the file is refused with what is missing, and `--map` names it.

mod backfill;
mod copy;
mod error;
mod history;
mod import;
mod layout;
mod mapping;
mod open;
mod reading;
mod times;
mod values;

pub use backfill::{Backfilled, Change, Outcome, backfill};
pub use error::OldError;
pub use import::{Imported, ImportedSession};

pub use mapping::Mapping;
pub use reading::ImportedFill;

/// Looks whether an old database can be imported, without changing anything.
///
/// # Errors
/// As for [`crate::Store::import_old`], as far as the old database alone is the reason.
pub fn check(path: &std::path::Path, mapping: &Mapping) -> Result<(), OldError> {
    let conn = open::open(path, open::Intention::Look)?;
    let found = layout::discover(&conn, path, mapping, layout::Purpose::Import)?;
    history::sessions(&conn, path, &found.sessions, mapping.zone())?;
    conn.close().map_err(|(_, error)| open::sqlite(path, "closing the file")(error))
}
