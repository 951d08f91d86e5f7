//! The account's key and what it signs.

use std::fmt;

use secp256k1::SecretKey;
use serde_json::Value;
use thiserror::Error;
use xrpl::constants::CryptoAlgorithm;
use xrpl::core::addresscodec::{decode_account_public_key, decode_seed, encode_account_public_key, encode_seed};
use xrpl::core::keypairs::{CryptoImplementation, Ed25519, Secp256k1};
use zeroize::{Zeroize as _, Zeroizing};

use crate::codec::{self, CodecError};
use crate::tx::{Transaction, TxError};
use crate::types::{Address, Hash, sha512_half};
use crate::{curve, hex};

/// Characters of a family seed (xrpl.org, "Cryptographic Keys": 29 for secp256k1, 31 for ed25519).
const SEED_CHARS: std::ops::RangeInclusive<usize> = 25..=33;
/// What a fresh key signs to prove itself.
const SELF_TEST: &[u8] = b"a key that cannot sign is found before trading, not in it";

/// The signature algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519; its seeds begin with `sEd`.
    Ed25519,
    /// ECDSA over secp256k1; its seeds begin with `s`.
    Secp256k1,
}

/// Why a seed gives no key. The seed itself is never in the text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not a family seed.
    #[error("this is not a family seed (29 to 31 characters beginning with s); copy it again from your wallet")]
    NotASeed,
    /// The seed names its algorithm, and another one was asked for.
    #[error("a seed that begins with sEd is an ed25519 one; leave the key type out, or set it to ed25519")]
    OtherAlgorithm,
    /// The derivation failed.
    #[error("no key can be derived from this seed: {reason}; use another one")]
    Derivation {
        /// The codec's words, without the seed.
        reason: String,
    },
    /// Not a public key.
    #[error("this is not a public key as the ledger's tools write it (begins with aB, 52 characters)")]
    NotAPublicKey,
    /// The key does not verify its own signature.
    #[error("the key derived from this seed does not verify its own signature; use another one")]
    SelfTest,
}

/// Why a transaction was not signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// The transaction is of another account.
    #[error("the transaction is of {account} but the key is of {key}; use the key of the account")]
    OtherAccount {
        /// The transaction's account.
        account: Address,
        /// The key's account.
        key: Address,
    },
    /// It has no JSON.
    #[error(transparent)]
    Transaction(#[from] TxError),
    /// It has no blob, or the blob does not verify.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The blob says something else than was intended.
    #[error("the signed blob does not say what was intended ({detail}); it was not sent")]
    NotIntended {
        /// The difference.
        detail: String,
    },
    /// The key refused to sign.
    #[error("signing failed: {reason}")]
    Failed {
        /// The codec's words.
        reason: String,
    },
    /// The key is kept elsewhere, and no valid signature came from there.
    #[error("the signer {reason}")]
    Elsewhere {
        /// What happened.
        reason: String,
    },
}

/// What is to be signed, for a key that is kept elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct SigningRequest<'a> {
    /// The key's algorithm.
    pub algorithm: Algorithm,
    /// The public key, 33 bytes in upper-case hex.
    pub public_key: &'a str,
    /// The account that is signed for.
    pub account: Address,
    /// The transaction as JSON, `SigningPubKey` included; `None` for a message that is none.
    pub transaction: Option<&'a Value>,
    /// The bytes: ed25519 signs them, secp256k1 the first half of their SHA-512.
    pub message: &'a [u8],
}

impl SigningRequest<'_> {
    /// What secp256k1 signs: the first half of the message's SHA-512.
    #[must_use]
    pub fn digest(&self) -> Hash {
        sha512_half(&[self.message])
    }
}

/// A key that is kept elsewhere: in another program, in a device.
pub trait RemoteKey: Send + Sync {
    /// The signature in hex: DER for secp256k1, 64 bytes for ed25519. It is verified before it is used.
    ///
    /// # Errors
    /// What happened, to follow the words "the signer".
    fn sign(&self, request: &SigningRequest<'_>) -> Result<String, String>;
}

/// A signed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The hash by which the ledger will know it.
    pub hash: Hash,
    /// The blob to submit, in upper-case hex.
    pub blob: String,
}

/// A seed and a public key as the ledger's tools write them: `s...` and `aB...`.
#[must_use]
pub fn written(entropy: [u8; 16], pair: &Keypair) -> Option<(String, String)> {
    let seed = encode_seed(entropy, CryptoAlgorithm::SECP256K1).ok()?;
    let public = encode_account_public_key(&hex::decode(pair.public_key())?).ok()?;
    Some((seed, public))
}

/// The 16 bytes of a written seed, and the algorithm that it names; `None` for another text.
#[must_use]
pub fn entropy_of(seed: &str) -> Option<([u8; 16], Algorithm)> {
    // The codec panics on some other lengths.
    if !SEED_CHARS.contains(&seed.len()) || !seed.is_ascii() {
        return None;
    }
    let (entropy, algorithm) = decode_seed(seed).ok()?;
    let algorithm = match algorithm {
        CryptoAlgorithm::ED25519 => Algorithm::Ed25519,
        CryptoAlgorithm::SECP256K1 => Algorithm::Secp256k1,
    };
    Some((entropy, algorithm))
}

enum Secret {
    /// "ED" and the private key in hex, the form that the signing code takes.
    Ed25519(Zeroizing<String>),
    Secp256k1(Box<SecretKey>),
    Elsewhere(Algorithm, Box<dyn RemoteKey>),
}

impl Drop for Secret {
    fn drop(&mut self) {
        match self {
            Secret::Ed25519(private) => private.zeroize(),
            Secret::Secp256k1(secret) => secret.non_secure_erase(),
            Secret::Elsewhere(..) => {}
        }
    }
}

/// The key that signs for one account. Neither seed nor private key can be read from it; `Debug` shows addresses. Its
/// memory is erased when it is dropped; copies that the derivation's libraries made on their way are not reached.
pub struct Keypair {
    account: Address,
    key_address: Address,
    public: String,
    secret: Secret,
    /// Each signature is verified before it is handed out.
    verifies: bool,
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.account == self.key_address {
            return write!(f, "Keypair({})", self.key_address);
        }
        write!(f, "Keypair({} for {})", self.key_address, self.account)
    }
}

impl Keypair {
    /// The key of a family seed, of either algorithm.
    ///
    /// # Errors
    /// [`KeyError`]; its text never holds the seed.
    pub fn from_seed(seed: &str) -> Result<Keypair, KeyError> {
        let (entropy, algorithm) = entropy_of(seed.trim()).ok_or(KeyError::NotASeed)?;
        Keypair::from_entropy(entropy, algorithm)
    }

    /// The key that an algorithm derives from a family seed: other software derives ed25519 keys from seeds whose text
    /// names no algorithm, too.
    ///
    /// # Errors
    /// [`KeyError`]; its text never holds the seed. [`KeyError::OtherAlgorithm`] for an `sEd` seed and secp256k1.
    pub fn from_seed_as(seed: &str, algorithm: Algorithm) -> Result<Keypair, KeyError> {
        let (entropy, named) = entropy_of(seed.trim()).ok_or(KeyError::NotASeed)?;
        if named == Algorithm::Ed25519 && algorithm == Algorithm::Secp256k1 {
            return Err(KeyError::OtherAlgorithm);
        }
        Keypair::from_entropy(entropy, algorithm)
    }

    /// The same key, signing for `account`: as that account's regular key where the addresses differ. Whether the ledger
    /// agrees is not known here.
    #[must_use]
    pub fn for_account(self, account: Address) -> Keypair {
        Keypair { account, ..self }
    }

    /// The same key for a backtest, whose ledger is in the same thread and takes signatures on trust: it signs the same, and
    /// does not verify what it has signed. Nothing that leaves the process may be signed so.
    #[must_use]
    pub fn for_backtest(self) -> Keypair {
        Keypair { verifies: false, ..self }
    }

    /// The key of 16 random bytes.
    ///
    /// # Errors
    /// [`KeyError::Derivation`], [`KeyError::SelfTest`].
    pub fn from_entropy(entropy: [u8; 16], algorithm: Algorithm) -> Result<Keypair, KeyError> {
        let failed = |e: xrpl::core::exceptions::XRPLCoreException| KeyError::Derivation { reason: e.to_string() };
        let (public, private) = match algorithm {
            Algorithm::Ed25519 => Ed25519.derive_keypair(&entropy, false),
            // Not the crate's `derive_keypair`: that one tests itself by signing with the private key's leading zeros
            // trimmed, and so refuses one seed in sixteen.
            Algorithm::Secp256k1 => Secp256k1.derive_keypair(&entropy, false),
        }
        .map_err(failed)?;
        let private = Zeroizing::new(private);
        let secret = match algorithm {
            Algorithm::Ed25519 => Secret::Ed25519(private),
            Algorithm::Secp256k1 => Secret::Secp256k1(Box::new(secp256k1_secret(&private)?)),
        };
        let address = codec::address_of_key(&public).ok_or(KeyError::SelfTest)?;
        let keys = Keypair { account: address, key_address: address, public, secret, verifies: true };
        let signature = keys.signature(SELF_TEST, None).map_err(|_| KeyError::SelfTest)?;
        if codec::signature_is_valid(SELF_TEST, &signature, &keys.public) { Ok(keys) } else { Err(KeyError::SelfTest) }
    }

    /// A key that is kept elsewhere, by its public key as the ledger's tools write it (`aB...`). Nothing is signed here.
    ///
    /// # Errors
    /// [`KeyError::NotAPublicKey`].
    pub fn elsewhere(public: &str, signer: Box<dyn RemoteKey>) -> Result<Keypair, KeyError> {
        let bytes = decode_account_public_key(public.trim()).map_err(|_| KeyError::NotAPublicKey)?;
        let algorithm = match bytes.first() {
            Some(0xED) => Algorithm::Ed25519,
            Some(0x02 | 0x03) => Algorithm::Secp256k1,
            _ => return Err(KeyError::NotAPublicKey),
        };
        let public = hex::encode_upper(&bytes);
        let address = codec::address_of_key(&public).ok_or(KeyError::NotAPublicKey)?;
        let secret = Secret::Elsewhere(algorithm, signer);
        Ok(Keypair { account: address, key_address: address, public, secret, verifies: true })
    }

    /// The account that it signs for.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.account
    }

    /// The key's own address: that of the account whose master key it is.
    #[must_use]
    pub const fn key_address(&self) -> Address {
        self.key_address
    }

    /// The public key, 33 bytes in upper-case hex.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// Signs a transaction of this account. The blob is decoded again and compared with what was intended.
    ///
    /// # Errors
    /// [`SignError`]; nothing was sent, the sequence is still free.
    pub fn sign(&self, transaction: &Transaction) -> Result<Signed, SignError> {
        if transaction.account != self.account {
            return Err(SignError::OtherAccount { account: transaction.account, key: self.account });
        }
        let mut json = transaction.to_json()?;
        put_text(&mut json, "SigningPubKey", &self.public);
        let signature = self.signature(&codec::encode_for_signing(&json)?, Some(&json))?;
        put_text(&mut json, "TxnSignature", &signature);
        let blob = hex::encode_upper(&codec::encode(&json)?);
        let decoded = check_intended(transaction, &json, &blob)?;
        if self.verifies {
            codec::verify(&decoded)?;
        }
        Ok(Signed { hash: codec::transaction_hash(&blob)?, blob })
    }

    /// Signs the JSON of any transaction type, fields and all; used for types that [`Transaction`] does not know.
    ///
    /// # Errors
    /// [`SignError::Codec`] when it does not encode, [`SignError::Failed`] when it is no object.
    pub fn sign_json(&self, json: &Value) -> Result<Signed, SignError> {
        if !json.is_object() {
            return Err(SignError::Failed { reason: "the transaction is no JSON object".to_string() });
        }
        let mut json = json.clone();
        put_text(&mut json, "SigningPubKey", &self.public);
        let signature = self.signature(&codec::encode_for_signing(&json)?, Some(&json))?;
        put_text(&mut json, "TxnSignature", &signature);
        let blob = hex::encode_upper(&codec::encode(&json)?);
        Ok(Signed { hash: codec::transaction_hash(&blob)?, blob })
    }

    /// Signs bytes that are no transaction; upper-case hex.
    ///
    /// # Errors
    /// [`SignError::Failed`].
    pub fn sign_message(&self, message: &[u8]) -> Result<String, SignError> {
        self.signature(message, None)
    }

    fn signature(&self, message: &[u8], transaction: Option<&Value>) -> Result<String, SignError> {
        let bytes = match &self.secret {
            Secret::Ed25519(private) => {
                Ed25519.sign(message, private).map_err(|e| SignError::Failed { reason: e.to_string() })?
            }
            Secret::Secp256k1(secret) => curve::sign(message, secret),
            Secret::Elsewhere(algorithm, signer) => {
                let (algorithm, public_key, account) = (*algorithm, self.public.as_str(), self.account);
                let request = SigningRequest { algorithm, public_key, account, transaction, message };
                let signature = signer.sign(&request).map_err(|reason| SignError::Elsewhere { reason })?;
                if codec::signature_is_valid(message, &signature, &self.public) {
                    return Ok(signature.to_ascii_uppercase());
                }
                let reason = "gave a signature that is not of this transaction by account.public_key".to_string();
                return Err(SignError::Elsewhere { reason });
            }
        };
        Ok(hex::encode_upper(&bytes))
    }
}

/// The 32 bytes of a private key that the derivation prints with a leading zero byte.
fn secp256k1_secret(private: &str) -> Result<SecretKey, KeyError> {
    let wrong = || KeyError::Derivation { reason: "the private key does not have 33 bytes".to_string() };
    let bytes = Zeroizing::new(hex::decode_array::<33>(private).ok_or_else(wrong)?);
    let [_, key @ ..] = &*bytes;
    SecretKey::from_byte_array(key).map_err(|e| KeyError::Derivation { reason: e.to_string() })
}

fn put_text(json: &mut Value, field: &str, text: &str) {
    if let Some(object) = json.as_object_mut() {
        object.insert(field.to_string(), Value::from(text));
    }
}

/// Refuses a blob that says something else than the transaction or drops a field of it; gives what it says.
fn check_intended(transaction: &Transaction, json: &Value, blob: &str) -> Result<Value, SignError> {
    let decoded = codec::decode(blob)?;
    let fields = |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
    let (mut intended, mut got) = (fields(json).unwrap_or_default(), fields(&decoded).unwrap_or_default());
    intended.sort();
    got.sort();
    if intended != got {
        return Err(SignError::NotIntended { detail: format!("fields {got:?} instead of {intended:?}") });
    }
    let mut read_back = Transaction::from_json(&decoded)?;
    if transaction.network_id <= crate::tx::MAX_LEGACY_NETWORK_ID {
        read_back.network_id = transaction.network_id;
    }
    if read_back != *transaction {
        return Err(SignError::NotIntended { detail: format!("{read_back:?} instead of {transaction:?}") });
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tx::Body;
    use neo_market::Drops;

    /// Signs as the program would that has the key, or says what it is told to.
    struct Kept(Keypair, Option<Result<String, String>>);

    impl RemoteKey for Kept {
        fn sign(&self, request: &SigningRequest<'_>) -> Result<String, String> {
            assert_eq!(request.public_key, self.0.public_key());
            assert_eq!(request.transaction.unwrap()["SigningPubKey"], request.public_key);
            self.1.clone().unwrap_or_else(|| self.0.sign_message(request.message).map_err(|e| e.to_string()))
        }
    }

    #[test]
    fn a_key_kept_elsewhere_signs_the_same_and_what_it_says_wrong_is_not_used() {
        for algorithm in [Algorithm::Ed25519, Algorithm::Secp256k1] {
            let here = Keypair::from_entropy([7; 16], algorithm).unwrap();
            let public = written([7; 16], &here).unwrap().1;
            let kept = |said| {
                let kept = Kept(Keypair::from_entropy([7; 16], algorithm).unwrap(), said);
                Keypair::elsewhere(&public, Box::new(kept)).unwrap()
            };
            let tx = Transaction {
                account: here.address(),
                sequence: 1,
                ticket_sequence: None,
                fee: Drops::new(10),
                flags: 0,
                last_ledger_sequence: Some(9),
                network_id: 0,
                body: Body::OfferCancel { offer_sequence: 1 },
            };
            let signed = here.sign(&tx).unwrap();
            assert_eq!(kept(None).sign(&tx).unwrap(), signed);
            let other = Keypair::from_entropy([8; 16], algorithm).unwrap().sign_message(b"x").unwrap();
            for said in ["", "00", "not hex", other.as_str()] {
                let error = kept(Some(Ok(said.to_string()))).sign(&tx).unwrap_err().to_string();
                assert!(error.contains("not of this transaction"), "{said}: {error}");
            }
            let error = kept(Some(Err("has gone home".to_string()))).sign(&tx).unwrap_err();
            assert_eq!(error.to_string(), "the signer has gone home");
            for junk in
                ["", "aB", here.public_key(), "sn259rEFXrQrWyx3Q7XneWcwV6dfL", "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh"]
            {
                let kept = Kept(Keypair::from_entropy([7; 16], algorithm).unwrap(), None);
                assert_eq!(Keypair::elsewhere(junk, Box::new(kept)).unwrap_err(), KeyError::NotAPublicKey, "{junk}");
            }
        }
    }

    #[test]
    fn every_seed_of_either_algorithm_signs() {
        // Sixty seeds: among so many, about four have the leading zero that some code refuses.
        for n in 0..60_u8 {
            for algorithm in [Algorithm::Ed25519, Algorithm::Secp256k1] {
                let keys = Keypair::from_entropy([n; 16], algorithm).unwrap();
                let tx = Transaction {
                    account: keys.address(),
                    sequence: 1,
                    ticket_sequence: None,
                    fee: Drops::new(10),
                    flags: 0,
                    last_ledger_sequence: None,
                    network_id: 2,
                    body: Body::OfferCancel { offer_sequence: 3 },
                };
                let signed = keys.sign(&tx).unwrap();
                assert_eq!(codec::verify(&codec::decode(&signed.blob).unwrap()).unwrap(), keys.address());
            }
        }
    }

    #[test]
    fn a_blob_that_says_something_else_is_not_handed_out() {
        let keys = Keypair::from_entropy([7; 16], Algorithm::Ed25519).unwrap();
        let tx = |fee, offer_sequence| Transaction {
            account: keys.address(),
            sequence: 1,
            ticket_sequence: None,
            fee: Drops::new(fee),
            flags: 0,
            last_ledger_sequence: Some(9),
            network_id: 0,
            body: Body::OfferCancel { offer_sequence },
        };
        let intended = tx(10, 3);
        let blob = keys.sign(&intended).unwrap().blob;
        let json = codec::decode(&blob).unwrap();
        assert_eq!(check_intended(&intended, &json, &blob), Ok(json.clone()));
        for other in [tx(11, 3), tx(10, 4)] {
            assert!(matches!(check_intended(&other, &json, &blob), Err(SignError::NotIntended { .. })));
        }
        // A field that the encoder drops without a word.
        let mut more = json;
        put_text(&mut more, "OfferSequense", "5");
        assert!(matches!(check_intended(&intended, &more, &blob), Err(SignError::NotIntended { .. })));
    }

    #[test]
    fn a_backtests_key_signs_the_same() {
        let tx = |account| Transaction {
            account,
            sequence: 1,
            ticket_sequence: None,
            fee: Drops::new(10),
            flags: 0,
            last_ledger_sequence: Some(9),
            network_id: 0,
            body: Body::OfferCancel { offer_sequence: 1 },
        };
        let key = || Keypair::from_entropy([7; 16], Algorithm::Secp256k1).unwrap();
        let signed = key().sign(&tx(key().address())).unwrap();
        assert_eq!(key().for_backtest().sign(&tx(key().address())).unwrap(), signed);
        assert!(codec::verify(&codec::decode(&signed.blob).unwrap()).is_ok());
    }

    #[test]
    fn a_key_shows_its_address_only_and_signs_for_its_account_only() {
        let keys = Keypair::from_seed("sn259rEFXrQrWyx3Q7XneWcwV6dfL").unwrap();
        assert_eq!(format!("{keys:?}"), format!("Keypair({})", keys.address()));
        let other = Keypair::from_entropy([1; 16], Algorithm::Ed25519).unwrap();
        let tx = Transaction {
            account: other.address(),
            sequence: 1,
            ticket_sequence: None,
            fee: Drops::new(10),
            flags: 0,
            last_ledger_sequence: None,
            network_id: 0,
            body: Body::OfferCancel { offer_sequence: 3 },
        };
        assert!(matches!(keys.sign(&tx), Err(SignError::OtherAccount { .. })));
    }

    #[test]
    fn a_seed_whose_text_names_no_algorithm_gives_a_key_of_either() {
        // xrpl.org, "Cryptographic Keys": the seed of "masterpassphrase", and the ed25519 key that rippled derives of it.
        let master = "snoPBrXtMeMyMHUVTgbuqAfg1SUTb";
        let key = |algorithm| Keypair::from_seed_as(master, algorithm).unwrap();
        assert_eq!(key(Algorithm::Secp256k1).address().to_string(), "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh");
        assert_eq!(key(Algorithm::Ed25519).address().to_string(), "rGWrZyQqhTp9Xu7G5Pkayo7bXjH4k4QYpf");
        let named = "sEdSKaCy2JT7JaM7v95H9SxkhP9wS2r";
        assert!(Keypair::from_seed_as(named, Algorithm::Ed25519).is_ok());
        assert_eq!(Keypair::from_seed_as(named, Algorithm::Secp256k1).unwrap_err(), KeyError::OtherAlgorithm);
    }

    #[test]
    fn a_regular_key_signs_for_the_account_and_for_no_other() {
        let account = Keypair::from_entropy([9; 16], Algorithm::Ed25519).unwrap().address();
        let regular = Keypair::from_entropy([3; 16], Algorithm::Secp256k1).unwrap();
        let own = regular.address();
        let regular = regular.for_account(account);
        assert_eq!((regular.address(), regular.key_address()), (account, own));
        assert_eq!(format!("{regular:?}"), format!("Keypair({own} for {account})"));
        let tx = |account| Transaction {
            account,
            sequence: 1,
            ticket_sequence: None,
            fee: Drops::new(10),
            flags: 0,
            last_ledger_sequence: Some(5),
            network_id: 0,
            body: Body::OfferCancel { offer_sequence: 3 },
        };
        let signed = codec::decode(&regular.sign(&tx(account)).unwrap().blob).unwrap();
        assert_eq!(signed["Account"], account.to_string());
        assert_eq!(codec::verify(&signed).unwrap(), own, "the signature is the regular key's");
        assert!(matches!(regular.sign(&tx(own)), Err(SignError::OtherAccount { .. })));
    }

    #[test]
    fn what_is_no_seed_is_refused_without_being_shown() {
        let wrong = "sn259rEFXrQrWyx3Q7XneWcwV6dfM";
        for text in ["", "s", wrong, &"s".repeat(400), "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De", &"é".repeat(15)] {
            let error = Keypair::from_seed(text).unwrap_err();
            assert_eq!(error, KeyError::NotASeed, "{text:?}");
        }
        assert!(!KeyError::NotASeed.to_string().contains(wrong));
    }
}
