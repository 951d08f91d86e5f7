//! `neo export`: rows of the record as CSV or JSON, to standard output or to a file that is whole or not there.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use neo_store::{Cell, ExportTable, Reader};

use crate::cli::{ExportArgs, ExportFormat, ExportWhat};
use crate::exit::ExitCode;
use crate::output::Out;
use crate::report::parse_session;

/// Exports from `db`. A reader of standard output that has read enough ends it, and is no error.
///
/// # Errors
/// [`neo_store::StoreError`], and what standard output or the file refused.
pub fn run(db: &Path, args: &ExportArgs, out: &mut Out) -> Result<ExitCode> {
    let reader = Reader::open(db)?;
    let session = match args.session.as_deref().map(parse_session).transpose() {
        Ok(None) => None,
        Ok(Some(number)) => Some(reader.session(number)?),
        Err(mistake) => {
            Out::stderr().line(&format!("error: {mistake}"))?;
            return Ok(ExitCode::Usage);
        }
    };
    if let Some(row) = session.as_ref().filter(|row| row.imported) {
        Out::stderr().line(&format!(
            "error: S{0} was imported, and its rows are the predecessor's; `neo report S{0} --json` shows what is known",
            row.number
        ))?;
        return Ok(ExitCode::Usage);
    }
    let rows = Rows { reader: &reader, table: table(args.what), session: session.map(|row| row.number), args };
    match &args.out {
        Some(file) => whole(file, |sink| {
            rows.each_text(|text| {
                sink.write_all(text.as_bytes())?;
                Ok(true)
            })
        })?,
        None => rows.each_text(|text| {
            out.text(text)?;
            Ok(!out.reader_gone())
        })?,
    }
    Ok(ExitCode::Clean)
}

const fn table(what: ExportWhat) -> ExportTable {
    match what {
        ExportWhat::Fills => ExportTable::Fills,
        ExportWhat::Orders => ExportTable::Orders,
        ExportWhat::Valuations => ExportTable::Valuations,
        ExportWhat::Flows => ExportTable::Flows,
        ExportWhat::Refusals => ExportTable::Refusals,
        ExportWhat::Trips => ExportTable::Trips,
        ExportWhat::Markouts => ExportTable::MarkOuts,
    }
}

/// What was asked for.
struct Rows<'a> {
    reader: &'a Reader,
    table: ExportTable,
    session: Option<i64>,
    args: &'a ExportArgs,
}

impl Rows<'_> {
    /// Hands the text on, a page at a time, until there is no more or `take` says that it is enough.
    fn each_text(&self, mut take: impl FnMut(&str) -> Result<bool>) -> Result<()> {
        let columns = self.reader.export_columns(self.table)?;
        let mut export = self.reader.export(self.table, self.session)?;
        if self.args.format == ExportFormat::Csv && !take(&csv_header(&columns))? {
            return Ok(());
        }
        loop {
            let page = export.page()?;
            let mut text = String::new();
            for row in &page {
                match self.args.format {
                    ExportFormat::Csv => csv_line(row, &mut text),
                    ExportFormat::Json => json_line(&columns, row, &mut text)?,
                }
            }
            if page.is_empty() || !take(&text)? {
                return Ok(());
            }
        }
    }
}

fn csv_header(columns: &[String]) -> String {
    let names: Vec<Cell> = columns.iter().cloned().map(Cell::Text).collect();
    let mut text = String::new();
    csv_line(&names, &mut text);
    text
}

/// RFC 4180, with the line end that every tool takes. NULL is an empty field, an empty text a quoted one.
fn csv_line(row: &[Cell], text: &mut String) {
    for (column, cell) in row.iter().enumerate() {
        if column > 0 {
            text.push(',');
        }
        match cell {
            Cell::Null => {}
            Cell::Integer(number) => text.push_str(&number.to_string()),
            Cell::Text(field) if field.is_empty() || field.contains(['"', ',', '\n', '\r']) => {
                text.push('"');
                text.push_str(&field.replace('"', "\"\""));
                text.push('"');
            }
            Cell::Text(field) => text.push_str(field),
        }
    }
    text.push('\n');
}

/// By hand, so that the names stand in the table's order.
fn json_line(columns: &[String], row: &[Cell], text: &mut String) -> Result<()> {
    for (column, (name, cell)) in columns.iter().zip(row).enumerate() {
        text.push(if column == 0 { '{' } else { ',' });
        text.push_str(&serde_json::to_string(name)?);
        text.push(':');
        match cell {
            Cell::Null => text.push_str("null"),
            Cell::Integer(number) => text.push_str(&number.to_string()),
            Cell::Text(field) => text.push_str(&serde_json::to_string(field)?),
        }
    }
    text.push_str("}\n");
    Ok(())
}

/// Writes a file whole or not at all: beside it, synced, then renamed.
fn whole(file: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    refuse_precious(file, "--out")?;
    let name = file.file_name().ok_or_else(|| anyhow!("{} is no name of a file", file.display()))?;
    let beside = file.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let cannot = || format!("writing {}; does its folder exist, with room on its disk?", file.display());
    let written = fill(&beside, write).and_then(|()| Ok(fs::rename(&beside, file)?));
    if written.is_err() {
        remove(&beside).with_context(|| format!("removing {}", beside.display()))?;
    }
    written.with_context(cannot)
}

fn fill(beside: &PathBuf, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let mut sink = BufWriter::new(File::create(beside)?);
    write(&mut sink)?;
    sink.flush()?;
    Ok(sink.get_ref().sync_all()?)
}

fn remove(beside: &Path) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A slip of the hand must not put rows in the place of a record, of its log, of a backup, or of what is no file.
pub(crate) fn refuse_precious(file: &Path, option: &str) -> Result<()> {
    // An empty log of a running engine has no first bytes.
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if ["-wal", "-shm", "-journal", ".stop-note"].iter().any(|end| name.ends_with(end)) {
        bail!("{option} {} is a file of a record; name another one", file.display());
    }
    let there = match fs::metadata(file) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("looking at {}", file.display())),
    };
    if !there.is_file() {
        bail!("{option} {} is no file; name a new one", file.display());
    }
    let mut head = Vec::new();
    File::open(file)
        .and_then(|file| file.take(16).read_to_end(&mut head))
        .with_context(|| format!("looking at {}", file.display()))?;
    // The first bytes of a database (sqlite.org, "Database File Format", 1.3) and of a write-ahead log (4.1).
    let log = head.starts_with(&[0x37, 0x7f, 0x06, 0x82]) || head.starts_with(&[0x37, 0x7f, 0x06, 0x83]);
    if head.starts_with(b"SQLite format 3\0") || log {
        bail!("{option} {} is a database; name another file", file.display());
    }
    Ok(())
}
