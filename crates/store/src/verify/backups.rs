//! The backups: those that the record lists and those that lie in `backups/` beside it, each read and compared.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use super::{Check, Report, text};
use crate::open::damage;
use crate::schema::{APPLICATION_ID, VERSION};

/// The folder, beside the file.
const FOLDER: &str = "backups";
/// Longest checksum file that is read: the digest and a name.
const CHECKSUM_BYTES_MAX: u64 = 4_096;

/// A row of `backups`.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    name: String,
    sha256: String,
    size: i64,
}

/// What the record says of its backups, the oldest first.
pub(super) fn listed(conn: &Connection) -> rusqlite::Result<Vec<Listed>> {
    let mut statement = conn.prepare("SELECT name, sha256, size FROM backups ORDER BY taken_at, name")?;
    let rows =
        statement.query_map([], |row| Ok(Listed { name: text(row, 0)?, sha256: text(row, 1)?, size: row.get(2)? }))?;
    rows.collect()
}

/// Checks all backups and gives how many are good. A folder that is not there has none.
pub(super) fn check(database: &Path, listed: &[Listed], report: &mut Report) -> u64 {
    let folder = database.parent().unwrap_or(Path::new("")).join(FOLDER);
    let mut files = match files(&folder, database) {
        Ok(files) => files,
        Err(error) => {
            let text = format!("the folder {} cannot be read: {error}; check its permissions", folder.display());
            report.error(Check::Backups, None, text);
            return 0;
        }
    };
    let newest = listed.last().map(|row| row.name.clone());
    for row in listed {
        // The name alone: where the folder is now is known, where it was is not.
        let name =
            Path::new(&row.name).file_name().map_or_else(|| row.name.clone(), |name| name.to_string_lossy().into());
        if let Some(file) = files.get_mut(&name) {
            file.1 = Some(row);
        } else if newest.as_ref() == Some(&row.name) {
            let text =
                format!("the newest backup, {name}, is not in {}; make another with `neo backup`", folder.display());
            report.warning(Check::Backups, None, text);
        }
    }
    files.iter().map(|(name, (path, row))| u64::from(check_one(name, path, *row, report))).sum()
}

/// The finished backups of this database, by name.
fn files<'a>(folder: &Path, database: &Path) -> io::Result<BTreeMap<String, (PathBuf, Option<&'a Listed>)>> {
    let stem = database.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let mut found = BTreeMap::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".db") && name.strip_prefix(&stem).is_some_and(|rest| rest.starts_with('-')) {
            found.insert(name, (entry.path(), None));
        }
    }
    Ok(found)
}

/// Tells what is wrong with one backup; true when nothing is.
fn check_one(name: &str, path: &Path, row: Option<&Listed>, report: &mut Report) -> bool {
    let mut bad = |text: String| {
        let text = format!("backup {name} {text}; set it aside and make another with `neo backup`");
        report.error(Check::Backups, None, text);
        false
    };
    let (digest, size) = match digest(path) {
        Ok(read) => read,
        Err(error) => return bad(format!("cannot be read: {error}")),
    };
    if let Some(row) = row
        && (!row.sha256.eq_ignore_ascii_case(&digest) || u64::try_from(row.size) != Ok(size))
    {
        let (wanted, was) = (&row.sha256, row.size);
        return bad(format!(
            "is not what was written: {size} bytes with SHA-256 {digest}, listed as {was} with {wanted}"
        ));
    }
    match stored_digest(path) {
        Ok(Some(wanted)) if !wanted.eq_ignore_ascii_case(&digest) => {
            return bad(format!("is not what was written: its SHA-256 is {digest}, beside it stands {wanted}"));
        }
        Err(error) => return bad(format!("has a .sha256 that cannot be read: {error}")),
        Ok(_) => {}
    }
    let proven = row.is_some() || matches!(stored_digest(path), Ok(Some(_)));
    match inspect(path) {
        Ok(None) => {}
        Ok(Some(problem)) => return bad(problem),
        Err(error) => return bad(format!("cannot be read: {error}")),
    }
    if !proven {
        let text = format!("backup {name} reads well, but no SHA-256 tells whether it is what was written");
        report.note(Check::Backups, None, text);
    }
    true
}

fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0_u64, vec![0_u8; 1 << 16]);
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes @ [_, ..]) = buffer.get(..read) else { break };
        hasher.update(bytes);
        size = size.saturating_add(u64::try_from(read).unwrap_or(0));
    }
    Ok((hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}

/// The first word of the `.sha256` beside a backup, as `sha256sum` writes it; `None` without such a file.
fn stored_digest(path: &Path) -> io::Result<Option<String>> {
    let mut beside = None;
    for candidate in [crate::lock::with_suffix(path, ".sha256"), path.with_extension("sha256")] {
        if beside.is_none() && candidate.exists() {
            beside = Some(candidate);
        }
    }
    let Some(beside) = beside else { return Ok(None) };
    let mut content = String::new();
    File::open(beside)?.take(CHECKSUM_BYTES_MAX).read_to_string(&mut content)?;
    Ok(Some(content.split_whitespace().next().unwrap_or_default().to_string()))
}

/// Reads a backup as SQLite does; `Some` with what is wrong with it.
fn inspect(path: &Path) -> rusqlite::Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(immutable(path), flags)?;
    let number = |name: &str| conn.pragma_query_value::<i64, _>(None, name, |row| row.get(0));
    let (id, version) = (number("application_id")?, number("user_version")?);
    if id != APPLICATION_ID {
        return Ok(Some(format!("has the application_id {id:#010x}, which is not ours")));
    }
    if version > VERSION {
        return Ok(Some(format!("has schema version {version}, and this engine knows up to {VERSION}")));
    }
    if let Some(line) = damage(&conn, "PRAGMA integrity_check(1)")? {
        return Ok(Some(format!("is damaged ({line})")));
    }
    conn.query_row("SELECT count(*) FROM sessions", [], |row| row.get::<_, i64>(0))?;
    Ok(None)
}

/// The path as a URI that makes SQLite open it without locks and without files beside it (sqlite.org/uri.html).
fn immutable(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    let mut uri = String::from(if text.starts_with('/') { "file://" } else { "file:" });
    if cfg!(windows) && path.is_absolute() {
        uri = String::from("file:///");
    }
    for character in text.chars() {
        match character {
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            other => uri.push(other),
        }
    }
    uri.push_str("?immutable=1");
    uri
}
