//! The handle through which a test holds a disk, and what the VFS asks of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::fault::{Armed, Fault, How};
use crate::log::{Change, Kind, Op};
use crate::lower::Level;
use crate::vfs;

/// The disks of this process. Few: looked through for each file that is opened.
static DISKS: LazyLock<RwLock<Vec<Arc<State>>>> = LazyLock::new(RwLock::default);

/// A disk under a folder, for as long as this lives.
#[derive(Debug)]
pub struct Disk {
    state: Arc<State>,
}

impl Disk {
    /// Puts a disk under everything below `folder`, which must exist. Files that are open already stay as they are.
    ///
    /// # Errors
    /// The folder cannot be found, or SQLite has no VFS to stand on.
    pub fn over(folder: &Path) -> io::Result<Disk> {
        vfs::install()?;
        let state = Arc::new(State { folder: folder.canonicalize()?, inner: Mutex::default() });
        DISKS.write().push(Arc::clone(&state));
        Ok(Disk { state })
    }

    /// Writes down every change from here on. Begin with an empty folder: what is in it already is not known.
    pub fn record(&self) {
        self.state.lock().recording = true;
    }

    /// How many operations were written down: the moment, for comparing with a cut.
    #[must_use]
    pub fn position(&self) -> usize {
        self.state.lock().log.len()
    }

    /// What was written down.
    #[must_use]
    pub fn ops(&self) -> Vec<Op> {
        self.state.lock().log.clone()
    }

    /// A sync returns at once and the real disk is left alone. What a power cut leaves is derived from the record, so
    /// nothing is lost by it but time.
    pub fn without_real_syncs(&self) {
        self.state.lock().no_real_syncs = true;
    }

    /// Refuses operations; takes the place of a fault that was set before. Counting begins now.
    pub fn fail(&self, fault: Fault) {
        self.state.lock().fault = Some(Armed::new(fault));
    }

    /// The disk is good again.
    pub fn recover(&self) {
        self.state.lock().fault = None;
    }

    /// How many operations were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.state.lock().refused
    }

    /// How many operations of a kind there were so far, refused ones included.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.state.lock().counts.get(&kind).copied().unwrap_or(0)
    }

    /// Connections opened from here on run with this `synchronous`, whatever they ask for; asked back, SQLite says what
    /// they asked for. For negative controls: the product's own code, without what it rests on.
    pub fn lower(&self, level: Level) {
        self.state.lock().lowered = Some(level);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        DISKS.write().retain(|state| !Arc::ptr_eq(state, &self.state));
    }
}

/// What the VFS knows of a disk.
#[derive(Debug)]
pub(crate) struct State {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    recording: bool,
    log: Vec<Op>,
    pub(crate) no_real_syncs: bool,
    fault: Option<Armed>,
    refused: u64,
    counts: BTreeMap<Kind, u64>,
    pub(crate) lowered: Option<Level>,
}

impl State {
    /// The disk under this file; the innermost folder's, where there are several.
    pub(crate) fn of(file: &Path) -> Option<Arc<State>> {
        let disks = DISKS.read();
        let mine = disks.iter().filter(|state| file.starts_with(&state.folder));
        mine.max_by_key(|state| state.folder.as_os_str().len()).cloned()
    }

    /// Held over a whole operation, so that the record is in the order in which things happened.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl Inner {
    /// Counts an operation; how it is refused, if it is.
    pub(crate) fn refuses(&mut self, kind: Kind) -> Option<How> {
        *self.counts.entry(kind).or_default() += 1;
        let how = self.fault.as_mut()?.strikes(kind)?;
        self.refused = self.refused.saturating_add(1);
        Some(how)
    }

    pub(crate) fn write_down(&mut self, file: &Arc<Path>, change: impl FnOnce() -> Change) {
        if self.recording {
            self.log.push(Op { file: Arc::clone(file), change: change() });
        }
    }
}
