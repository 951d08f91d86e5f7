//! The files of a directory, and their JSON.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

/// What a file holds.
pub enum Content {
    /// A list of other files: nothing to run.
    Index,
    /// A recorded sequence, or what claims to be one.
    Sequence(Json),
}

/// The `*.json` and `*.json.gz` of a directory whose names contain `only`, by name.
pub fn files(dir: &Path, only: &str) -> Result<Vec<PathBuf>, String> {
    let unreadable =
        |error| format!("the directory {} cannot be read: {error}; name the one with the sequences", dir.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = name(&path);
        if (name.ends_with(".json") || name.ends_with(".json.gz")) && name.contains(only) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file's name without its directory.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_string()
}

/// Reads a file; one that is compressed is known by its first bytes.
pub fn read(path: &Path) -> Result<Content, String> {
    let mut bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.starts_with(&[0x1F, 0x8B]) {
        let mut text = Vec::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(bytes.as_slice());
        decoder.read_to_end(&mut text).map_err(|error| format!("cannot be unpacked: {error}"))?;
        bytes = text;
    }
    let json: Json = serde_json::from_slice(&bytes).map_err(|error| format!("is not JSON: {error}"))?;
    let is_index = json.get("steps").is_none() && json.get("files").is_some();
    Ok(if is_index { Content::Index } else { Content::Sequence(json) })
}
