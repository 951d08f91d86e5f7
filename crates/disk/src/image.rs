//! What a power cut may leave, derived from the record.
//!
//! Of each file, what was there when its last sync ended is kept. Each operation since then is kept, dropped or, if it
//! is a write, torn: each of its sectors by itself is written, not written, or filled with garbage, together with what
//! else is in that sector. In half of the images the operations also reach the disk in another order.
//!
//! Folders: that a file was made or deleted becomes durable when SQLite syncs the folder: with a deletion that asks for
//! it and with the first sync of a new journal or `-wal`. Until then each such change is kept or dropped, so that a
//! deleted file may come back, with what of it was durable. A file's own sync does not make its name durable. `-shm` is
//! no part of an image: it is memory.
//!
//! Not modelled: writes to a wrong place, and bytes that rot while nobody writes near them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::SECTOR;
use crate::chance::Chance;
use crate::log::{Change, Op};

/// The files after a run that is replayed operation by operation.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Every file that there was; a name that is used again is another file.
    files: Vec<File>,
    /// The names that are durable.
    durable: BTreeMap<Arc<Path>, usize>,
    /// The names as the running system sees them.
    seen: BTreeMap<Arc<Path>, usize>,
    /// Changes of names that are not durable, in order: a file, or none for a deletion.
    pending: Vec<(Arc<Path>, Option<usize>)>,
    ignores_syncs: bool,
}

#[derive(Debug, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Pending>,
    /// A journal that was never synced: its first sync makes its folder durable.
    first_sync_of_journal: bool,
}

#[derive(Clone, Debug)]
enum Pending {
    Write { offset: usize, bytes: Arc<[u8]> },
    Truncate { size: usize },
}

/// The files that a power cut left.
#[derive(Debug, Default)]
pub struct Image {
    files: BTreeMap<Arc<Path>, Vec<u8>>,
}

/// What becomes of an operation that was not durable.
#[derive(Clone, Copy)]
enum Fate {
    Kept,
    Dropped,
    Torn,
}

impl Timeline {
    /// Before the first operation.
    #[must_use]
    pub fn new() -> Timeline {
        Timeline::default()
    }

    /// The same on a disk that says that it synced and does not.
    #[must_use]
    pub fn that_ignores_syncs() -> Timeline {
        Timeline { ignores_syncs: true, ..Timeline::default() }
    }

    /// Moves on by one operation. `chance` decides what a failed sync drops for good.
    pub fn apply(&mut self, op: &Op, chance: &mut Chance) {
        match &op.change {
            Change::Created { journal } => {
                let file = File { first_sync_of_journal: *journal, ..File::default() };
                self.files.push(file);
                let made = self.files.len() - 1;
                self.seen.insert(Arc::clone(&op.file), made);
                self.pending.push((Arc::clone(&op.file), Some(made)));
            }
            Change::Deleted { synced } => {
                self.seen.remove(&op.file);
                self.pending.push((Arc::clone(&op.file), None));
                if *synced && !self.ignores_syncs {
                    self.sync_folder(&op.file);
                }
            }
            Change::Write { offset, bytes } => {
                self.change(&op.file, Pending::Write { offset: index(*offset), bytes: Arc::clone(bytes) });
            }
            Change::Truncate { size } => self.change(&op.file, Pending::Truncate { size: index(*size) }),
            Change::Sync if self.ignores_syncs => {}
            Change::Sync => {
                let Some(file) = self.file(&op.file) else { return };
                let pending = std::mem::take(&mut file.pending);
                pending.iter().for_each(|change| change.apply_to(&mut file.durable));
                if std::mem::take(&mut file.first_sync_of_journal) {
                    self.sync_folder(&op.file);
                }
            }
            Change::SyncFailed => {
                let Some(file) = self.file(&op.file) else { return };
                file.durable = file.left(chance);
                file.pending.clear();
            }
        }
    }

    /// What is left if the power fails now.
    #[must_use]
    pub fn image(&self, chance: &mut Chance) -> Image {
        let mut names = self.durable.clone();
        for (name, file) in &self.pending {
            match file {
                _ if chance.percent(50) => {}
                Some(file) => {
                    names.insert(Arc::clone(name), *file);
                }
                None => {
                    names.remove(name);
                }
            }
        }
        let left = |(name, file): (Arc<Path>, usize)| Some((name, self.files.get(file)?.left(chance)));
        Image { files: names.into_iter().filter_map(left).collect() }
    }

    fn file(&mut self, name: &Path) -> Option<&mut File> {
        self.files.get_mut(*self.seen.get(name)?)
    }

    fn change(&mut self, name: &Path, change: Pending) {
        if let Some(file) = self.file(name) {
            file.pending.push(change);
        }
    }

    fn sync_folder(&mut self, of: &Path) {
        let (durable, folder) = (&mut self.durable, of.parent());
        self.pending.retain(|(name, file)| {
            if name.parent() != folder {
                return true;
            }
            match file {
                Some(file) => durable.insert(Arc::clone(name), *file),
                None => durable.remove(name),
            };
            false
        });
    }
}

impl File {
    /// What of the file is on the disk if the power fails now.
    fn left(&self, chance: &mut Chance) -> Vec<u8> {
        let mut content = self.durable.clone();
        let mut changes: Vec<&Pending> = self.pending.iter().collect();
        if chance.percent(50) {
            chance.shuffle(&mut changes);
        }
        // So that there are images where nearly all is kept, and where nearly nothing is.
        let (kept, torn) = (chance.below(101), chance.below(101));
        for change in changes {
            let fate = match (chance.percent(kept), chance.percent(torn)) {
                (true, _) => Fate::Kept,
                (false, true) => Fate::Torn,
                (false, false) => Fate::Dropped,
            };
            match (fate, change) {
                (Fate::Kept, _) => change.apply_to(&mut content),
                (Fate::Torn, Pending::Write { offset, bytes }) => tear(&mut content, *offset, bytes, chance),
                (Fate::Dropped, _) | (Fate::Torn, Pending::Truncate { .. }) => {}
            }
        }
        content
    }
}

impl Pending {
    fn apply_to(&self, content: &mut Vec<u8>) {
        match self {
            Pending::Write { offset, bytes } => put(content, *offset, bytes),
            Pending::Truncate { size } => content.resize(*size, 0),
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

/// Each sector that the write touches is written, not written, or garbage as a whole.
fn tear(content: &mut Vec<u8>, offset: usize, bytes: &[u8], chance: &mut Chance) {
    let end = offset.saturating_add(bytes.len());
    let mut from = offset;
    while from < end {
        let sector = from / SECTOR * SECTOR;
        let to = end.min(sector + SECTOR);
        match chance.below(8) {
            0..=3 => put(content, from, bytes.get(from - offset..to - offset).unwrap_or_default()),
            4..=6 => {}
            _ => {
                let whole = content.len().max(to).min(sector + SECTOR) - sector;
                let garbage: Vec<u8> = (0..whole).map(|_| chance.bits().to_le_bytes()[0]).collect();
                put(content, sector, &garbage);
            }
        }
        from = to;
    }
}

impl Image {
    /// Writes the files below `to` that were below `from`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, from: &Path, to: &Path) -> io::Result<()> {
        for (name, content) in &self.files {
            let place = to.join(name.strip_prefix(from).map_err(io::Error::other)?);
            if let Some(folder) = place.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(place, content)?;
        }
        Ok(())
    }
}

/// An offset of SQLite's, which never go beyond what memory can hold here.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
