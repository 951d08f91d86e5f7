//! `--fresh`: the old world's record is set aside.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use neo_actors::clock::now;
use neo_store::lock::{Lock, lock_path};

use crate::output::Out;
use crate::simulator;

/// `--fresh`: a record holds one world, so a new world begins a new record. The old record is set aside, never deleted.
pub(super) fn begin(db: &Path, yes: bool) -> Result<()> {
    neo_store::restore::refuse_unfinished(db)?;
    if db.exists() {
        if !yes && !std::io::stdin().is_terminal() {
            bail!(
                "{} holds another world's sessions: give a new file with --db, or say --yes to set it aside",
                db.display()
            );
        }
        if !yes && !confirmed(&format!("Set {} aside and begin a new record in a new world? [y/N] ", db.display()))? {
            bail!("nothing was changed");
        }
        // Held while the file is moved: no engine may be using it.
        let _lock = Lock::acquire(&lock_path(db), "setting the record aside")?;
        let aside = db.with_extension(format!("{}.db", now().format("%Y%m%dT%H%M%SZ")));
        // The latch is that record's too: what tripped there is no reason to hold a new world.
        for suffix in ["", "-wal", "-shm", ".latch"] {
            let with = |path: &Path| {
                let mut name = path.as_os_str().to_os_string();
                name.push(suffix);
                PathBuf::from(name)
            };
            let (from, to) = (with(db), with(&aside));
            if from.exists() {
                std::fs::rename(&from, &to).with_context(|| format!("setting {} aside", from.display()))?;
            }
        }
        tracing::warn!(record = %aside.display(), "the old record was set aside");
    }
    simulator::forget_world(db)
}

fn confirmed(question: &str) -> Result<bool> {
    Out::stderr().text(question)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
