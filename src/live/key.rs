//! Where the key comes from: `NEO_WALLET_SEED`, or a file that only its owner can read; or another program has it. Never from
//! the configuration.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use std::time::Duration;

use neo_ledger::{Algorithm, Body, KeyError, Keypair, SignError, Transaction};
use neo_market::Drops;
use thiserror::Error;
use zeroize::Zeroizing;

use super::harden;
use super::signer::CommandSigner;
use crate::config::{Account, KeyType};

/// The variable that the seed is read from.
pub const SEED_VARIABLE: &str = "NEO_WALLET_SEED";
/// A seed has 31 characters at most.
const MAX_FILE_BYTES: usize = 1_024;

/// Why there is no key. No text holds the seed, or any part of what was read.
#[derive(Debug, Error)]
pub enum KeyProblem {
    /// Nobody gave one.
    #[error(
        "there is no key: set NEO_WALLET_SEED to the wallet's seed, or put the seed into a file that only you can read \
         and name it in account.key_file"
    )]
    Absent,
    /// Both places have one.
    #[error(
        "NEO_WALLET_SEED is set and account.key_file names {}: which key is meant? Unset the one or leave out the \
         other", file.display()
    )]
    Twice {
        /// The file.
        file: PathBuf,
    },
    /// A seed is there, and another program is to sign.
    #[error(
        "NEO_WALLET_SEED is set and account.signer names a program: which key is meant? Unset the one or leave out the other"
    )]
    SeedAndSigner,
    /// The public key of the program that signs is none.
    #[error("account.public_key: {0}")]
    PublicKey(KeyError),
    /// The program does not sign.
    #[error("a transaction that no ledger can take any more was given to account.signer to try it: {0}")]
    Signer(SignError),
    /// The file cannot be read.
    #[error("account.key_file {} cannot be read ({source}); does it exist, and may this user read it?", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder, a pipe, or too large.
    #[error("account.key_file {} is no key file: put the seed into it, on one line and nothing else", file.display())]
    NoKeyFile {
        /// The file.
        file: PathBuf,
    },
    /// Others may read it.
    #[error(
        "account.key_file {} can be used by others (mode {mode:o}): chmod 600 it, and change the key if anybody else \
         uses this machine", file.display()
    )]
    Open {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is another user's.
    #[error("account.key_file {} belongs to user {owner}, not to the user that runs neo: chown it", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// What was read is no seed.
    #[error("the key in {place}: {source}")]
    Key {
        /// Where it was.
        place: String,
        /// What is wrong.
        source: KeyError,
    },
}

/// The key that signs for the configured account. Core dumps are forbidden before it is read.
///
/// # Errors
/// [`KeyProblem`].
pub fn load(account: &Account) -> Result<Keypair, KeyProblem> {
    if let Err(refused) = harden::no_core_dumps() {
        tracing::warn!(
            refused,
            "the system does not let this process forbid its core dumps; forbid them for the service"
        );
    }
    let variable = std::env::var_os(SEED_VARIABLE).filter(|value| !value.is_empty());
    if !account.signer.is_empty() {
        return if variable.is_some() { Err(KeyProblem::SeedAndSigner) } else { elsewhere(account) };
    }
    let (seed, place) = seed(variable, account.key_file.as_deref())?;
    let key = match account.key_type {
        None => Keypair::from_seed(&seed),
        Some(KeyType::Secp256k1) => Keypair::from_seed_as(&seed, Algorithm::Secp256k1),
        Some(KeyType::Ed25519) => Keypair::from_seed_as(&seed, Algorithm::Ed25519),
    };
    let key = key.map_err(|source| KeyProblem::Key { place, source })?;
    Ok(match account.address {
        Some(address) => key.for_account(address),
        None => key,
    })
}

/// The key that another program has. It proves itself by a signature before it is needed.
fn elsewhere(account: &Account) -> Result<Keypair, KeyProblem> {
    let limit = Duration::from_millis(account.signer_timeout_ms);
    let signer = CommandSigner::new(account.signer.clone(), limit);
    let public = account.public_key.as_deref().unwrap_or_default();
    let key = Keypair::elsewhere(public, Box::new(signer)).map_err(KeyProblem::PublicKey)?;
    let key = match account.address {
        Some(address) => key.for_account(address),
        None => key,
    };
    let dead = Transaction {
        account: key.address(),
        sequence: 1,
        ticket_sequence: None,
        fee: Drops::new(10),
        flags: 0,
        // Every network is past it.
        last_ledger_sequence: Some(1),
        network_id: 0,
        body: Body::OfferCancel { offer_sequence: 1 },
    };
    key.sign(&dead).map_err(KeyProblem::Signer)?;
    Ok(key)
}

/// The seed and the place that it came from.
fn seed(variable: Option<OsString>, file: Option<&Path>) -> Result<(Zeroizing<String>, String), KeyProblem> {
    match (variable.filter(|value| !value.is_empty()), file) {
        (None, None) => Err(KeyProblem::Absent),
        (Some(_), Some(file)) => Err(KeyProblem::Twice { file: file.to_path_buf() }),
        (Some(value), None) => {
            let place = SEED_VARIABLE.to_string();
            match value.into_string() {
                Ok(text) => Ok((Zeroizing::new(text), place)),
                Err(_) => Err(KeyProblem::Key { place, source: KeyError::NotASeed }),
            }
        }
        (None, Some(file)) => Ok((read(file)?, file.display().to_string())),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyProblem> {
    let unreadable = |source| KeyProblem::Unreadable { file: path.to_path_buf(), source };
    let file = File::open(path).map_err(unreadable)?;
    // Of what was opened, not of what the name leads to now.
    let metadata = file.metadata().map_err(unreadable)?;
    let no_key_file = || KeyProblem::NoKeyFile { file: path.to_path_buf() };
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES as u64 {
        return Err(no_key_file());
    }
    only_its_owners(path, &metadata)?;
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES + 1));
    file.take(MAX_FILE_BYTES as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| no_key_file())?;
    Ok(Zeroizing::new(text.trim().to_string()))
}

#[cfg(unix)]
fn only_its_owners(path: &Path, metadata: &std::fs::Metadata) -> Result<(), KeyProblem> {
    use std::os::unix::fs::MetadataExt as _;
    let (mode, owner) = (metadata.mode() & 0o777, metadata.uid());
    if mode & 0o077 != 0 {
        return Err(KeyProblem::Open { file: path.to_path_buf(), mode });
    }
    if owner != nix::unistd::geteuid().as_raw() {
        return Err(KeyProblem::Foreign { file: path.to_path_buf(), owner });
    }
    Ok(())
}

/// Who may read a file on Windows stands in its access list, which safe code of the standard library cannot read.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "it can refuse elsewhere")]
fn only_its_owners(path: &Path, _: &std::fs::Metadata) -> Result<(), KeyProblem> {
    tracing::warn!(file = %path.display(), "who may read the key file is not checked on Windows: see icacls");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "sn259rEFXrQrWyx3Q7XneWcwV6dfL";

    fn file(text: &[u8]) -> tempfile::NamedTempFile {
        // Made with mode 600.
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_seed_comes_from_one_place_and_only_one() {
        let in_file = file(format!("{SEED}\r\n").as_bytes());
        assert_eq!(*seed(None, Some(in_file.path())).unwrap().0, SEED);
        assert_eq!(*seed(Some(SEED.into()), None).unwrap().0, SEED);
        assert_eq!(*seed(Some("".into()), Some(in_file.path())).unwrap().0, SEED, "an empty variable is none");
        assert!(matches!(seed(None, None), Err(KeyProblem::Absent)));
        assert!(matches!(seed(Some(SEED.into()), Some(in_file.path())), Err(KeyProblem::Twice { .. })));
    }

    #[test]
    fn what_is_no_key_file_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            seed(None, Some(folder.path())),
            Err(KeyProblem::NoKeyFile { .. } | KeyProblem::Unreadable { .. })
        ));
        assert!(matches!(seed(None, Some(&folder.path().join("absent"))), Err(KeyProblem::Unreadable { .. })));
        for junk in [vec![0xff; 30], vec![b's'; MAX_FILE_BYTES + 1]] {
            let junk = file(&junk);
            assert!(matches!(seed(None, Some(junk.path())), Err(KeyProblem::NoKeyFile { .. })));
        }
        let wrong = file(b"sn259rEFXrQrWyx3Q7XneWcwV6dfM");
        let account = Account { key_file: Some(wrong.path().to_path_buf()), ..Account::default() };
        let error = load(&account).unwrap_err().to_string();
        assert!(!error.contains("sn259") && error.contains("not a family seed"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_use_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = file(SEED.as_bytes());
        for (mode, fit) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false), (0o601, false)]
        {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            match seed(None, Some(file.path())) {
                Ok(_) => assert!(fit, "{mode:o}"),
                Err(KeyProblem::Open { mode: told, .. }) => assert!(!fit && told == mode, "{mode:o}"),
                Err(other) => panic!("{mode:o}: {other}"),
            }
        }
    }

    /// Only root can give a file away.
    #[cfg(unix)]
    #[test]
    fn a_key_file_of_another_user_is_refused() {
        let file = file(SEED.as_bytes());
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: only root can give a file to another user, and this is not root");
            return;
        }
        std::os::unix::fs::chown(file.path(), Some(65_534), None).unwrap();
        match seed(None, Some(file.path())) {
            Err(KeyProblem::Foreign { owner, .. }) => assert_eq!(owner, 65_534),
            other => panic!("{:?}", other.map(|_| "a seed")),
        }
    }

    #[test]
    fn the_key_type_chooses_the_algorithm() {
        let file = file(b"snoPBrXtMeMyMHUVTgbuqAfg1SUTb\n");
        let of = |key_type| {
            let key_file = Some(file.path().to_path_buf());
            load(&Account { key_file, key_type, ..Account::default() }).unwrap().address().to_string()
        };
        assert_eq!(of(None), "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh");
        assert_eq!(of(Some(KeyType::Secp256k1)), of(None));
        assert_eq!(of(Some(KeyType::Ed25519)), "rGWrZyQqhTp9Xu7G5Pkayo7bXjH4k4QYpf");
    }
}
