//! A disk that fails, for tests: a SQLite VFS between the library and the operating system.
//!
//! [`Disk::over`] puts a disk under a folder: whatever SQLite does in this process to files below it goes through the
//! disk, from the product's own code too, because the VFS is the process's default. Files elsewhere are untouched. A
//! disk can
//!
//! * record every operation that changes a file ([`Disk::record`]), from which [`Timeline`] derives what a power cut may
//!   leave after any of them;
//! * refuse operations ([`Disk::fail`]): full, broken, read-only, cut short, once or until it recovers;
//! * let connections run with less than the `synchronous=FULL` that they ask for ([`Disk::lower`]): the control that
//!   shows that the harness can see a loss.
//!
//! Locks and shared memory are passed through to the real file system, so several connections work as they do anywhere.
//! Nothing is claimed for the hardware: device characteristics are 0 and sectors have 512 bytes, so SQLite pads and
//! syncs as it does on the worst disk. The product must never depend on this crate.

mod chance;
mod disk;
mod fault;
mod file;
mod image;
mod log;
mod lower;
mod vfs;

pub use chance::Chance;
pub use disk::Disk;
pub use fault::{Fault, How, Lasting};
pub use image::{Image, Timeline};
pub use log::{Change, Kind, Op};
pub use lower::Level;

/// What the disk writes at once: the unit in which a write is torn.
pub const SECTOR: usize = 512;
