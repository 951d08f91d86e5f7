//! Where a record may not lie: SQLite's locks and syncs cannot be trusted over a network.

use std::path::Path;

use crate::error::StoreError;

/// Refuses a path that names a share. Asked before anything is made, so that no server is waited for.
///
/// # Errors
/// [`StoreError::OnAShare`]; [`StoreError::Folder`] when the path is none.
pub fn refuse_share(path: &Path) -> Result<(), StoreError> {
    if !cfg!(windows) {
        return Ok(());
    }
    // A relative path is where the working folder is, which may be a share.
    let whole = std::path::absolute(path).map_err(|source| StoreError::Folder { path: path.to_path_buf(), source })?;
    refuse_named(path, &whole)
}

/// Refuses a drive letter that stands for a share: Windows tells when the folder's true name is asked for.
pub(crate) fn refuse_mapped_drive(path: &Path) -> Result<(), StoreError> {
    if !cfg!(windows) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Where the true name cannot be had (some RAM disks), the path as it was given has been looked at already.
    match std::fs::canonicalize(folder) {
        Ok(whole) => refuse_named(path, &whole),
        Err(error) => {
            tracing::debug!(%error, folder = %folder.display(), "the true name of the folder is not known");
            Ok(())
        }
    }
}

fn refuse_named(path: &Path, whole: &Path) -> Result<(), StoreError> {
    match share_of(&whole.to_string_lossy()) {
        Some(share) => Err(StoreError::OnAShare { path: path.to_path_buf(), share }),
        None => Ok(()),
    }
}

/// The share (`\\server\folder`) that a Windows path leads to, if it does: `\\server\folder\file`, with slashes of
/// either kind, or its long form `\\?\UNC\server\folder\file`. `\\?\C:\file` and `\\.\device` are local.
fn share_of(path: &str) -> Option<String> {
    let path = path.replace('/', "\\");
    let rest = path.strip_prefix("\\\\")?;
    let rest = match rest.split_once('\\') {
        Some(("?" | ".", long)) => {
            let (kind, share) = long.split_once('\\')?;
            kind.eq_ignore_ascii_case("UNC").then_some(share)?
        }
        _ => rest,
    };
    let named: Vec<&str> = rest.split('\\').filter(|part| !part.is_empty()).take(2).collect();
    (!named.is_empty()).then(|| format!("\\\\{}", named.join("\\")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_share_is_seen() {
        for path in [
            r"\\server\folder\neo.db",
            r"//server/folder/neo.db",
            r"\\?\UNC\server\folder\deep\neo α.db",
            r"\\?\unc\server\folder\neo.db",
            r"\\.\UNC\server\folder\neo.db",
            r"\/server\folder/neo.db",
        ] {
            assert_eq!(share_of(path).as_deref(), Some(r"\\server\folder"), "{path}");
        }
        assert_eq!(share_of(r"\\wsl.localhost\Debian\home\neo.db").as_deref(), Some(r"\\wsl.localhost\Debian"));
        assert_eq!(share_of(r"\\server").as_deref(), Some(r"\\server"));
    }

    #[test]
    fn what_is_local_is_let_through() {
        for path in [
            r"C:\Räume und Straßen\neo α.db",
            r"\\?\C:\data\neo.db",
            r"\\.\C:\data\neo.db",
            r"\\?\Volume{b75e2c83-0000-0000-0000-602f00000000}\neo.db",
            r"data\neo.db",
            r"data/neo.db",
            r"\data\neo.db",
            "/data/neo.db",
            r"\\",
            r"\\?\",
            "",
        ] {
            assert_eq!(share_of(path), None, "{path}");
        }
    }

    // The twin of what the Windows build refuses; a folder of Unix may have any name.
    #[cfg(unix)]
    #[test]
    fn elsewhere_a_path_with_backslashes_is_a_path() {
        assert!(refuse_share(Path::new(r"\\server\folder\neo.db")).is_ok());
    }

    #[cfg(windows)]
    #[test]
    fn a_share_is_refused_with_its_name_and_the_next_step() {
        let error = refuse_share(Path::new(r"\\server\folder\neo.db")).unwrap_err().to_string();
        assert!(error.contains(r"\\server\folder") && error.contains("--db"), "{error}");
        let here = std::env::temp_dir().join("neo.db");
        assert!(refuse_share(&here).is_ok() && refuse_mapped_drive(&here).is_ok());
    }
}
