//! A disk of a size of one's own: a tmpfs, where the system lets this process mount one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Mounted until it is dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    /// A tmpfs of so many megabytes at `path`, which is made. `None`, and a line that says so, where it may not be mounted.
    pub fn tmpfs(path: &Path, megabytes: u32) -> Option<Mounted> {
        std::fs::create_dir_all(path).unwrap();
        let options = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "neo-test"]).arg(path).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Mounted(path.to_path_buf()));
        }
        eprintln!("SKIPPED: a small disk cannot be mounted here (it needs root): {mounted:?}");
        None
    }

    /// Makes it read-only.
    pub fn read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().unwrap();
        assert!(done.success(), "remounting read-only");
    }

    /// Makes it writable again.
    pub fn writable(&self) {
        let done = Command::new("mount").args(["-o", "remount,rw"]).arg(&self.0).status().unwrap();
        assert!(done.success(), "remounting writable");
    }

    /// Fills it to the last byte with a file that can be removed again.
    pub fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [65_536, 4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "unmounting {}", self.0.display());
    }
}
