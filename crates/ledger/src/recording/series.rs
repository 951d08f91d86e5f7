//! The parts of a recording as files: `FILE`, then `FILE` with a number in it. No part is ever written over or renamed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::line::{Direction, Source};
use super::writer::Writer;
use super::{Header, Moment};

/// Endings that stay at the end of a part's name, so that `zcat` knows it.
const ENDINGS: [&str; 3] = [".jsonl.gz", ".json.gz", ".gz"];

/// When a part is full, and how many stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Compressed bytes after which the next part begins.
    pub part_bytes: u64,
    /// Newest parts that are kept; 0: all.
    pub keep: usize,
}

/// Writes a recording into part after part. One that is there already goes on with the next number.
#[derive(Debug)]
pub struct Series {
    file: PathBuf,
    header: Header,
    rotation: Rotation,
    open: Option<Writer<File>>,
    /// Bytes of the parts before the open one.
    bytes_before: u64,
    written: Vec<PathBuf>,
}

/// The name of a part: `rec.jsonl.gz`, `rec.0002.jsonl.gz` and so on.
#[must_use]
pub fn part_path(file: &Path, part: u32) -> PathBuf {
    if part <= 1 {
        return file.to_path_buf();
    }
    let (stem, ending) = split(file);
    file.with_file_name(format!("{stem}.{part:04}{ending}"))
}

fn split(file: &Path) -> (String, &'static str) {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    for ending in ENDINGS {
        if let Some(stem) = name.strip_suffix(ending) {
            return (stem.to_string(), ending);
        }
    }
    (name, "")
}

/// The parts that are there, in order, with their numbers.
///
/// # Errors
/// What the system said.
pub fn parts(file: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (stem, ending) = split(file);
    let number = |name: &str| -> Option<u32> {
        let digits = name.strip_prefix(stem.as_str())?.strip_prefix('.')?.strip_suffix(ending)?;
        let Ok(part) = digits.parse::<u32>() else { return None };
        // Another way to write the number is another file.
        (part > 1 && digits == format!("{part:04}")).then_some(part)
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if Some(name.as_os_str()) == file.file_name() {
            found.push((1, file.to_path_buf()));
        } else if let Some(part) = name.to_str().and_then(number) {
            found.push((part, part_path(file, part)));
        }
    }
    found.sort();
    Ok(found)
}

impl Series {
    /// A recording into `file`; nothing is touched yet.
    #[must_use]
    pub fn new(file: &Path, header: Header, rotation: Rotation) -> Series {
        Series { file: file.to_path_buf(), header, rotation, open: None, bytes_before: 0, written: Vec::new() }
    }

    /// Begins a part, where none is open. Called by itself with the first line; by hand to know that it can be.
    ///
    /// # Errors
    /// What the system said.
    pub fn begin(&mut self) -> io::Result<()> {
        self.writer().map(|_| ())
    }

    /// Adds a message.
    ///
    /// # Errors
    /// What the system said; the part is over then, and the next line tries a new one.
    pub fn message(&mut self, at: Moment, source: impl Into<Source>, dir: Direction, text: &str) -> io::Result<()> {
        let source = source.into();
        self.with(|writer| writer.message(at, source, dir, text))
    }

    /// Says that something may be missing here.
    ///
    /// # Errors
    /// As for [`Series::message`].
    pub fn gap(&mut self, at: Moment, reason: &str, dropped: u64) -> io::Result<()> {
        self.with(|writer| writer.gap(at, reason, dropped))
    }

    /// Time goes on: what waits for long is written.
    ///
    /// # Errors
    /// As for [`Series::message`].
    pub fn tick(&mut self, monotonic_us: u64) -> io::Result<()> {
        if self.open.is_none() { Ok(()) } else { self.with(|writer| writer.tick(monotonic_us)) }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// As for [`Series::message`].
    pub fn finish(&mut self) -> io::Result<()> {
        if self.open.is_none() { Ok(()) } else { self.with(Writer::flush) }
    }

    /// Bytes that this run has written, over all its parts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes_before + self.open.as_ref().map_or(0, Writer::bytes)
    }

    /// The parts that this run has begun, those too that were removed since.
    #[must_use]
    pub fn written(&self) -> &[PathBuf] {
        &self.written
    }

    fn with(&mut self, act: impl FnOnce(&mut Writer<File>) -> io::Result<()>) -> io::Result<()> {
        let done = act(self.writer()?);
        let full = self.open.as_ref().is_some_and(|writer| writer.bytes() >= self.rotation.part_bytes);
        match done {
            Ok(()) if full => {
                let done = self.open.as_mut().map_or(Ok(()), Writer::flush);
                self.leave();
                done
            }
            Ok(()) => Ok(()),
            Err(error) => {
                self.leave();
                Err(error)
            }
        }
    }

    fn leave(&mut self) {
        self.bytes_before = self.bytes();
        self.open = None;
    }

    fn writer(&mut self) -> io::Result<&mut Writer<File>> {
        match self.open.take() {
            Some(writer) => Ok(self.open.insert(writer)),
            None => {
                let writer = self.next_part()?;
                Ok(self.open.insert(writer))
            }
        }
    }

    fn next_part(&mut self) -> io::Result<Writer<File>> {
        let there = parts(&self.file)?;
        let part = there.last().map_or(1, |(last, _)| last.saturating_add(1));
        let path = part_path(&self.file, part);
        // Never over a file that somebody else made meanwhile.
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let writer = Writer::new(file, &Header { part, ..self.header.clone() })?;
        self.written.push(path);
        self.remove_old(&there)?;
        Ok(writer)
    }

    fn remove_old(&self, before: &[(u32, PathBuf)]) -> io::Result<()> {
        if self.rotation.keep == 0 {
            return Ok(());
        }
        let surplus = (before.len() + 1).saturating_sub(self.rotation.keep);
        for (_, path) in before.iter().take(surplus) {
            match fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }
}
