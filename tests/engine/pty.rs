//! A real terminal: the engine's own, with a master end that can be closed as a window is.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// The window: reads what is shown, and closes the terminal when it is dropped.
pub struct Window {
    closed: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

/// A window and the terminal in it, for a child's standard streams.
pub fn open() -> (Window, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    // No child may hold the window open.
    fcntl_setfd(&master, FdFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    fcntl_setfl(&master, OFlags::NONBLOCK).unwrap();
    let closed = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let closed = Arc::clone(&closed);
        move || read(master, &closed)
    });
    (Window { closed, reader: Some(reader) }, terminal)
}

/// Until the window is closed; the master end is closed with it.
fn read(master: OwnedFd, closed: &AtomicBool) {
    let (mut master, mut shown) = (File::from(master), [0; 4_096]);
    while !closed.load(Ordering::SeqCst) {
        // An error is an empty terminal, or one whose last program is gone.
        if master.read(&mut shown).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Some(reader) = self.reader.take() {
            assert!(reader.join().is_ok());
        }
    }
}
