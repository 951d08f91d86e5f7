//! random, wallet_propose.

use neo_ledger::keys::{self, Algorithm, Keypair};
use neo_ledger::{hex, sha512_half};
use serde_json::json;

use super::error::ApiError;
use super::{Fields, Request, fields};
use crate::node::Node;

/// What is said of a key that the world's seed gives: whoever knows the seed knows the key.
const NO_SECRET: &str = "This wallet follows from the simulated ledger's seed, so that runs can be repeated. Use it on \
                         simulated ledgers alone.";
const BRAIN_WALLET: &str = "This wallet was generated using a user-supplied passphrase that has low entropy and is \
                            vulnerable to brute-force attacks.";

pub(super) fn random(node: &mut Node) -> Fields {
    fields(json!({ "random": node.random() }))
}

fn bad_seed() -> ApiError {
    ApiError::new("badSeed", 44, "Disallowed seed.")
}

pub(super) fn wallet_propose(node: &mut Node, request: &Request) -> Result<Fields, ApiError> {
    let mut algorithm = match request.get("key_type") {
        None => None,
        Some(kind) => match kind.as_str().ok_or_else(|| ApiError::expected_field("key_type", "string"))? {
            "secp256k1" => Some(Algorithm::Secp256k1),
            "ed25519" => Some(Algorithm::Ed25519),
            _ => return Err(ApiError::bad_params()),
        },
    };
    let given = ["passphrase", "seed", "seed_hex"].iter().filter_map(|field| Some((*field, request.get(field)?)));
    let given: Vec<_> = given.collect();
    let (entropy, warning) = match given.as_slice() {
        [] => (first_bytes(node.random().0), Some(NO_SECRET)),
        [(field, value)] => {
            let text = value.as_str().ok_or_else(|| ApiError::expected_field(field, "string"))?;
            let (entropy, of_text, hashed) = read_seed(field, text)?;
            // A seed that names its algorithm leaves no choice.
            if of_text == Some(Algorithm::Ed25519) {
                if algorithm == Some(Algorithm::Secp256k1) {
                    return Err(bad_seed());
                }
                algorithm = of_text;
            }
            (entropy, hashed.then_some(BRAIN_WALLET))
        }
        _ => {
            return Err(ApiError::invalid_params(
                "Exactly one of the following must be specified: passphrase, seed or \
                                                  seed_hex",
            ));
        }
    };
    let algorithm = algorithm.unwrap_or(Algorithm::Secp256k1);
    let pair = Keypair::from_entropy(entropy, algorithm).map_err(|_| bad_seed())?;
    let (seed, public) = keys::written(entropy, &pair).ok_or_else(ApiError::internal)?;
    let mut result = fields(json!({
        "account_id": pair.address(),
        "key_type": if algorithm == Algorithm::Ed25519 { "ed25519" } else { "secp256k1" },
        "master_seed": seed,
        "master_seed_hex": hex::encode_upper(&entropy),
        "public_key": public,
        "public_key_hex": pair.public_key(),
    }));
    if let Some(warning) = warning {
        result.insert("warning".to_string(), json!(warning));
    }
    Ok(result)
}

fn first_bytes(bytes: [u8; 32]) -> [u8; 16] {
    let mut entropy = [0; 16];
    entropy.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    entropy
}

/// The 16 bytes that a text stands for, the algorithm that it names, and whether it had to be hashed.
fn read_seed(field: &str, text: &str) -> Result<([u8; 16], Option<Algorithm>, bool), ApiError> {
    if field == "seed_hex" {
        return hex::decode_array::<16>(text).map(|entropy| (entropy, None, false)).ok_or_else(bad_seed);
    }
    match (keys::entropy_of(text), hex::decode_array::<16>(text)) {
        (Some((entropy, algorithm)), _) => Ok((entropy, Some(algorithm), false)),
        (None, _) if field == "seed" => Err(bad_seed()),
        (None, Some(entropy)) => Ok((entropy, None, false)),
        (None, None) if text.is_empty() => Err(bad_seed()),
        (None, None) => Ok((first_bytes(sha512_half(&[text.as_bytes()]).0), None, true)),
    }
}
