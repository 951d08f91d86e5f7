//! Signs random transactions of the kinds that the engine sends, for comparison with another implementation.
//!
//! `signing SEED COUNT` writes one JSON object a line: `{seed, tx, blob, hash}`. The same arguments give the same bytes.
#![allow(missing_docs, reason = "a program, not a library")]

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use neo_ledger::keys::{entropy_of, written};
use neo_ledger::{Algorithm, Keypair, Transaction};
use serde_json::{Map, Value, json};

const RLUSD: &str = "524C555344000000000000000000000000000000";
/// Keys of each algorithm.
const KEYS: u64 = 64;
/// The bytes of other currencies: standard codes of letters, of signs, and a code in hex.
const CURRENCIES: [&str; 6] = [RLUSD, RLUSD, "USD", "usd", "$<>", "0158415500000000C1F76FF6ECB0BAC600000000"];

/// SplitMix64 (Steele, Lea and Flood, 2014): a fixed stream for a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn hex(&mut self, bytes: u64) -> String {
        (0..bytes).map(|_| format!("{:02X}", self.below(256))).collect()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or_default();
        from.get(at).copied().unwrap_or_default()
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let (Some(Ok(seed)), Some(Ok(count)), None) = (args.next(), args.next(), args.next()) else {
        return said(std::io::stderr(), "Usage: signing SEED COUNT (two whole numbers)\n", 2);
    };
    match run(seed, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => said(std::io::stderr(), &format!("error: {error}\n"), 1),
    }
}

fn said(mut to: impl Write, text: &str, code: u8) -> ExitCode {
    match to.write_all(text.as_bytes()) {
        Ok(()) | Err(_) => ExitCode::from(code),
    }
}

fn run(seed: u64, count: u64) -> Result<(), String> {
    let mut random = Random(seed);
    let keys = (0..2 * KEYS).map(|n| key(&mut random, n)).collect::<Result<Vec<_>, _>>()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for n in 0..count {
        let at = usize::try_from(random.below(keys.len() as u64)).unwrap_or_default();
        let (seed, pair) = keys.get(at).ok_or("no key")?;
        let other = usize::try_from(n % (2 * KEYS)).unwrap_or_default();
        let peer = keys.get(other).filter(|_| other != at).map(|(_, pair)| pair.address().to_string());
        let peer = peer.unwrap_or_else(|| "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De".to_string());
        let (tx, typed) = transaction(&mut random, &pair.address().to_string(), &peer);
        let signed = pair.sign_json(&tx).map_err(|e| format!("{n}: {tx}: {e}"))?;
        if typed {
            // What the engine itself does: the typed transaction, signed and read back.
            let ours = Transaction::from_json(&tx).map_err(|e| format!("{n}: {tx}: {e}"))?;
            let again = pair.sign(&ours).map_err(|e| format!("{n}: {tx}: {e}"))?;
            if again != signed {
                return Err(format!("{n}: {tx}: the typed transaction gives {}, not {}", again.blob, signed.blob));
            }
        }
        let line = json!({ "seed": seed, "tx": tx, "blob": signed.blob, "hash": signed.hash });
        writeln!(out, "{line}").map_err(|e| e.to_string())?;
    }
    out.flush().map_err(|e| e.to_string())
}

/// A random key and its seed as wallets write it; every other one is ed25519.
fn key(random: &mut Random, n: u64) -> Result<(Value, Keypair), String> {
    let mut entropy = [0; 16];
    for (to, from) in entropy.chunks_mut(8).zip([random.next(), random.next()]) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    let algorithm = if n.is_multiple_of(2) { Algorithm::Ed25519 } else { Algorithm::Secp256k1 };
    let pair = Keypair::from_entropy(entropy, algorithm).map_err(|e| e.to_string())?;
    let (seed, _) = written(entropy, &pair).ok_or("the seed has no text")?;
    if entropy_of(&seed).map(|(read, _)| read) != Some(entropy) {
        return Err("the seed does not read back".to_string());
    }
    let name = if algorithm == Algorithm::Ed25519 { "ed25519" } else { "ecdsa-secp256k1" };
    Ok((json!({ "text": seed, "algorithm": name }), pair))
}

/// A transaction with all that may be in it, and whether the typed form can say it.
fn transaction(random: &mut Random, account: &str, peer: &str) -> (Value, bool) {
    let mut tx = Map::new();
    let mut typed = true;
    let mut put = |field: &str, value: Value| tx.insert(field.to_string(), value);
    put("Account", json!(account));
    put("Fee", json!((10 + random.below(5_000_000)).to_string()));
    put("LastLedgerSequence", json!(1 + random.below(u64::from(u32::MAX))));
    if random.one_in(4) {
        put("Sequence", json!(0));
        put("TicketSequence", json!(1 + random.below(u64::from(u32::MAX))));
    } else {
        put("Sequence", json!(1 + random.below(u64::from(u32::MAX))));
    }
    if random.one_in(3) {
        put("NetworkID", json!(1025 + random.below(70_000)));
    }
    if random.one_in(4) {
        put("SourceTag", json!(random.below(1 << 32)));
        typed = false;
    }
    if random.one_in(5) {
        let memos: Vec<Value> = (0..=random.below(3)).map(|_| memo(random)).collect();
        put("Memos", json!(memos));
        typed = false;
    }
    match random.below(10) {
        0..=4 => {
            put("TransactionType", json!("OfferCreate"));
            let (xrp, token) = (drops(random), token(random, peer));
            let (gets, pays) = if random.one_in(2) { (xrp, token) } else { (token, xrp) };
            put("TakerGets", gets);
            put("TakerPays", pays);
            let flags = [0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000].into_iter().filter(|_| random.one_in(3)).sum::<u32>();
            if flags != 0 {
                put("Flags", json!(flags));
            }
            if random.one_in(2) {
                put("Expiration", json!(1 + random.below(u64::from(u32::MAX))));
            }
            if random.one_in(2) {
                put("OfferSequence", json!(1 + random.below(u64::from(u32::MAX))));
            }
        }
        5 => {
            put("TransactionType", json!("OfferCancel"));
            put("OfferSequence", json!(1 + random.below(u64::from(u32::MAX))));
        }
        6 => {
            put("TransactionType", json!("TrustSet"));
            let limit = token(random, peer);
            let limit = if random.one_in(4) { with_value(&limit, "9999999999999999e80") } else { limit };
            put("LimitAmount", limit);
            if random.one_in(2) {
                put("Flags", json!(0x2_0000));
            }
        }
        7 => {
            put("TransactionType", json!("TicketCreate"));
            put("TicketCount", json!(1 + random.below(250)));
        }
        8 => {
            put("TransactionType", json!("Payment"));
            put("Destination", json!(peer));
            put("Amount", if random.one_in(2) { drops(random) } else { token(random, peer) });
            if random.one_in(2) {
                put("SendMax", token(random, peer));
                put("Flags", json!(0x2_0000));
            }
            if random.one_in(3) {
                put("DestinationTag", json!(random.below(1 << 32)));
                typed = false;
            }
            if random.one_in(4) {
                put("Paths", json!([[{ "currency": "XRP" }], [{ "currency": RLUSD, "issuer": peer }]]));
                typed = false;
            }
        }
        _ => {
            put("TransactionType", json!("AccountSet"));
            if random.one_in(2) {
                put("SetFlag", json!(8));
            }
            if random.one_in(2) {
                put("TickSize", json!(3 + random.below(13)));
            }
            if random.one_in(3) {
                put("Domain", json!(random.hex(12)));
                typed = false;
            }
        }
    }
    (Value::Object(tx), typed)
}

fn memo(random: &mut Random) -> Value {
    let bytes = random.below(300) + 1;
    let mut memo = json!({ "MemoData": random.hex(bytes) });
    if random.one_in(2) {
        memo["MemoType"] = json!(random.hex(8));
    }
    json!({ "Memo": memo })
}

/// Up to a hundred thousand million XRP, the most there is.
fn drops(random: &mut Random) -> Value {
    let digits = u32::try_from(random.below(17)).unwrap_or_default() + 1;
    json!((1 + random.below(10_u64.pow(digits))).to_string())
}

/// A value of up to 16 digits; one in eight anywhere in the ledger's range, the others where prices are.
fn token(random: &mut Random, issuer: &str) -> Value {
    let digits = u32::try_from(random.below(16)).unwrap_or_default() + 1;
    let mantissa = 1 + random.below(10_u64.pow(digits) - 1);
    let exponent = if random.one_in(8) {
        i64::try_from(random.below(160)).unwrap_or_default() - 80
    } else {
        i64::try_from(random.below(10)).unwrap_or_default() - 10
    };
    let text = if (-15..=0).contains(&exponent) { plain(mantissa, exponent) } else { format!("{mantissa}e{exponent}") };
    json!({ "currency": random.pick(&CURRENCIES), "issuer": issuer, "value": text })
}

/// As people write it: without an exponent.
fn plain(mantissa: u64, exponent: i64) -> String {
    let places = usize::try_from(-exponent).unwrap_or_default();
    let digits = format!("{mantissa:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
}

fn with_value(amount: &Value, value: &str) -> Value {
    let mut amount = amount.clone();
    amount["value"] = json!(value);
    amount
}
