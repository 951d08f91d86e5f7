//! AccountSet and SetRegularKey (rippled 2.6.1, `SetAccount.cpp`, `SetRegularKey.cpp`).

use neo_ledger::{Address, Hash};
use serde_json::Value as Json;

use super::tx::{Signer, Tx, TxError, address, number, optional};
use super::{Context, Failure};
use crate::amendment::Amendment;
use crate::amount::PARITY_RATE;
use crate::state::{
    AccountDetails, AccountRoot, LSF_ALLOW_CLAWBACK, LSF_ALLOW_TRUST_LINE_LOCKING, LSF_DEFAULT_RIPPLE,
    LSF_DEPOSIT_AUTH, LSF_DISABLE_MASTER, LSF_DISALLOW_INCOMING_CHECK, LSF_DISALLOW_INCOMING_NFTOKEN_OFFER,
    LSF_DISALLOW_INCOMING_PAY_CHAN, LSF_DISALLOW_INCOMING_TRUSTLINE, LSF_DISALLOW_XRP, LSF_GLOBAL_FREEZE,
    LSF_NO_FREEZE, LSF_PASSWORD_SPENT, LSF_REQUIRE_AUTH, LSF_REQUIRE_DEST_TAG, State,
};
use crate::ter::Ter;

/// AccountSet number of RequireDest.
const ASF_REQUIRE_DEST: u32 = 1;
/// AccountSet number of RequireAuth.
const ASF_REQUIRE_AUTH: u32 = 2;
/// AccountSet number of DisallowXRP.
const ASF_DISALLOW_XRP: u32 = 3;
/// AccountSet number of DisableMaster.
const ASF_DISABLE_MASTER: u32 = 4;
/// AccountSet number of AccountTxnID.
const ASF_ACCOUNT_TXN_ID: u32 = 5;
/// AccountSet number of NoFreeze.
const ASF_NO_FREEZE: u32 = 6;
/// AccountSet number of GlobalFreeze.
pub(crate) const ASF_GLOBAL_FREEZE: u32 = 7;
/// AccountSet number of DefaultRipple.
const ASF_DEFAULT_RIPPLE: u32 = 8;
/// AccountSet number of DepositAuth.
const ASF_DEPOSIT_AUTH: u32 = 9;
/// AccountSet number of AuthorizedNFTokenMinter.
const ASF_AUTHORIZED_NFTOKEN_MINTER: u32 = 10;
/// AccountSet number of AllowTrustLineClawback.
const ASF_ALLOW_TRUST_LINE_CLAWBACK: u32 = 16;

/// Flags that follow their number without a further rule: number, ledger flag, the amendment they came with.
const PLAIN: [(u32, u32, Option<Amendment>); 7] = [
    (ASF_DEFAULT_RIPPLE, LSF_DEFAULT_RIPPLE, None),
    (ASF_DEPOSIT_AUTH, LSF_DEPOSIT_AUTH, Some(Amendment::DepositAuth)),
    (12, LSF_DISALLOW_INCOMING_NFTOKEN_OFFER, Some(Amendment::DisallowIncoming)),
    (13, LSF_DISALLOW_INCOMING_CHECK, Some(Amendment::DisallowIncoming)),
    (14, LSF_DISALLOW_INCOMING_PAY_CHAN, Some(Amendment::DisallowIncoming)),
    (15, LSF_DISALLOW_INCOMING_TRUSTLINE, Some(Amendment::DisallowIncoming)),
    (17, LSF_ALLOW_TRUST_LINE_LOCKING, None),
];

/// Flags that AccountSet had before numbers: number, flag that sets, flag that clears, ledger flag.
const LEGACY: [(u32, u32, u32, u32); 3] = [
    (ASF_REQUIRE_DEST, 0x0001_0000, 0x0002_0000, LSF_REQUIRE_DEST_TAG),
    (ASF_REQUIRE_AUTH, 0x0004_0000, 0x0008_0000, LSF_REQUIRE_AUTH),
    (ASF_DISALLOW_XRP, 0x0010_0000, 0x0020_0000, LSF_DISALLOW_XRP),
];
/// Flags that an AccountSet may carry.
pub(super) const ACCOUNT_SET_FLAGS: u32 = 0x003F_0000;

/// Characters of the longest domain, in hex.
const MAX_DOMAIN_DIGITS: usize = 512;
/// Smallest tick size.
const MIN_TICK_SIZE: u8 = 3;
/// Largest tick size, which is the same as none (rippled, `Quality::maxTickSize`).
const MAX_TICK_SIZE: u8 = 16;

/// True when it changes who may sign for the account or who may hold what it issues, so that the queue lets nothing wait
/// behind it (rippled, `SetAccount::makeTxConsequences`).
pub(crate) fn changes_authority(set: &AccountSet, flags: u32) -> bool {
    let blocks = |asf: u32| [ASF_REQUIRE_AUTH, ASF_DISABLE_MASTER, ASF_ACCOUNT_TXN_ID].contains(&asf);
    let legacy = LEGACY.iter().any(|legacy| legacy.0 == ASF_REQUIRE_AUTH && flags & (legacy.1 | legacy.2) != 0);
    legacy || blocks(set.set_flag) || blocks(set.clear_flag)
}

/// What an AccountSet asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountSet {
    /// Number of the flag to set; 0 is none.
    pub set_flag: u32,
    /// Number of the flag to clear; 0 is none.
    pub clear_flag: u32,
    /// Tick size of its tokens.
    pub tick_size: Option<u8>,
    /// Transfer rate of its tokens, in billionths.
    pub transfer_rate: Option<u32>,
    /// Domain, in hex; empty removes it.
    pub domain: Option<String>,
    /// MD5 of a mail address, in hex; zero removes it.
    pub email_hash: Option<String>,
    /// Key for encrypted messages, in hex; empty removes it.
    pub message_key: Option<String>,
    /// Anything of 256 bits, in hex; zero removes it.
    pub wallet_locator: Option<String>,
    /// Who may mint for it.
    pub nftoken_minter: Option<Address>,
}

impl AccountSet {
    /// Reads the fields of an AccountSet.
    pub(super) fn read(json: &Json) -> Result<AccountSet, TxError> {
        let hex = |digits: Option<usize>| {
            move |value: &Json| {
                let text = value.as_str()?;
                let fits = digits.map_or(text.len().is_multiple_of(2), |digits| text.len() == digits);
                (fits && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_ascii_uppercase())
            }
        };
        Ok(AccountSet {
            set_flag: optional(json, "SetFlag", number)?.unwrap_or(0),
            clear_flag: optional(json, "ClearFlag", number)?.unwrap_or(0),
            tick_size: optional(json, "TickSize", |value| u8::try_from(value.as_u64()?).ok())?,
            transfer_rate: optional(json, "TransferRate", number)?,
            domain: optional(json, "Domain", hex(None))?,
            email_hash: optional(json, "EmailHash", hex(Some(32)))?,
            message_key: optional(json, "MessageKey", hex(None))?,
            wallet_locator: optional(json, "WalletLocator", hex(Some(64)))?,
            nftoken_minter: optional(json, "NFTokenMinter", address)?,
        })
    }

    fn sets(&self, flags: u32, (asf, set, _, _): (u32, u32, u32, u32)) -> bool {
        flags & set != 0 || self.set_flag == asf
    }

    fn clears(&self, flags: u32, (asf, _, clear, _): (u32, u32, u32, u32)) -> bool {
        flags & clear != 0 || self.clear_flag == asf
    }

    /// Checks that need no ledger.
    pub(super) fn preflight(&self, flags: u32) -> Ter {
        let contradicts = |legacy| self.sets(flags, legacy) && self.clears(flags, legacy);
        if (self.set_flag != 0 && self.set_flag == self.clear_flag) || LEGACY.into_iter().any(contradicts) {
            return Ter::TEM_INVALID_FLAG;
        }
        if self.transfer_rate.is_some_and(|rate| rate != 0 && !(PARITY_RATE..=2 * PARITY_RATE).contains(&rate)) {
            return Ter::TEM_BAD_TRANSFER_RATE;
        }
        if self.tick_size.is_some_and(|size| size != 0 && !(MIN_TICK_SIZE..=MAX_TICK_SIZE).contains(&size)) {
            return Ter::TEM_BAD_TICK_SIZE;
        }
        if self.message_key.as_deref().is_some_and(|key| !key.is_empty() && !is_public_key(key)) {
            return Ter::TEL_BAD_PUBLIC_KEY;
        }
        if self.domain.as_deref().is_some_and(|domain| domain.len() > MAX_DOMAIN_DIGITS) {
            return Ter::TEL_BAD_DOMAIN;
        }
        let (named, minter) = (self.nftoken_minter.is_some(), ASF_AUTHORIZED_NFTOKEN_MINTER);
        if (self.set_flag == minter && !named) || (self.clear_flag == minter && named) {
            return Ter::TEM_MALFORMED;
        }
        Ter::SUCCESS
    }

    /// Checks against the ledger.
    pub(super) fn preclaim(&self, state: &State, tx: &Tx, root: &AccountRoot, context: &Context<'_>) -> Ter {
        let requires_auth =
            LEGACY.into_iter().any(|legacy| legacy.0 == ASF_REQUIRE_AUTH && self.sets(tx.flags, legacy));
        if requires_auth && root.flags & LSF_REQUIRE_AUTH == 0 && state.owns_anything(tx.account) {
            return if context.retry { Ter::TER_OWNERS } else { Ter::TEC_OWNERS };
        }
        if !context.rules.enabled(Amendment::Clawback) {
            return Ter::SUCCESS;
        }
        match self.set_flag {
            // Who can claw back must be able to freeze, and the other way round.
            ASF_ALLOW_TRUST_LINE_CLAWBACK if root.flags & LSF_NO_FREEZE != 0 => Ter::TEC_NO_PERMISSION,
            ASF_ALLOW_TRUST_LINE_CLAWBACK if state.owns_anything(tx.account) => Ter::TEC_OWNERS,
            ASF_NO_FREEZE if root.flags & LSF_ALLOW_CLAWBACK != 0 => Ter::TEC_NO_PERMISSION,
            _ => Ter::SUCCESS,
        }
    }

    /// Does it.
    pub(super) fn apply(&self, state: &mut State, tx: &Tx, context: &Context<'_>) -> Result<Ter, Failure> {
        let mut root = state.account(tx.account).cloned().ok_or(Failure(Ter::TEF_INTERNAL))?;
        let before = root.flags;
        for legacy in LEGACY {
            if self.sets(tx.flags, legacy) {
                root.flags |= legacy.3;
            }
            if self.clears(tx.flags, legacy) {
                root.flags &= !legacy.3;
            }
        }
        let refused = self.master_and_freeze(tx, &mut root, before);
        if !refused.is_success() {
            return Ok(refused);
        }
        for (asf, flag, amendment) in PLAIN {
            if amendment.is_some_and(|amendment| !context.rules.enabled(amendment)) {
                continue;
            }
            if self.set_flag == asf {
                root.flags |= flag;
            } else if self.clear_flag == asf {
                root.flags &= !flag;
            }
        }
        if self.set_flag == ASF_ALLOW_TRUST_LINE_CLAWBACK && context.rules.enabled(Amendment::Clawback) {
            root.flags |= LSF_ALLOW_CLAWBACK;
        }
        if let Some(rate) = self.transfer_rate {
            root.transfer_rate = if rate == PARITY_RATE { 0 } else { rate };
        }
        if let Some(size) = self.tick_size {
            root.tick_size = if size == MAX_TICK_SIZE { 0 } else { size };
        }
        let mut details = root.details();
        self.set_details(&mut details);
        root.set_details(details);
        state.put_account(tx.account, root);
        Ok(Ter::SUCCESS)
    }

    /// The flags that take the master key, or that bind each other.
    fn master_and_freeze(&self, tx: &Tx, root: &mut AccountRoot, before: u32) -> Ter {
        if self.set_flag == ASF_DISABLE_MASTER && before & LSF_DISABLE_MASTER == 0 {
            if !tx.signed_with_master() {
                return Ter::TEC_NEED_MASTER_KEY;
            }
            if root.details().regular_key.is_none() {
                return Ter::TEC_NO_ALTERNATIVE_KEY;
            }
            root.flags |= LSF_DISABLE_MASTER;
        }
        if self.clear_flag == ASF_DISABLE_MASTER {
            root.flags &= !LSF_DISABLE_MASTER;
        }
        if self.set_flag == ASF_NO_FREEZE {
            if !tx.signed_with_master() && before & LSF_DISABLE_MASTER == 0 {
                return Ter::TEC_NEED_MASTER_KEY;
            }
            root.flags |= LSF_NO_FREEZE;
        }
        if self.set_flag == ASF_GLOBAL_FREEZE {
            root.flags |= LSF_GLOBAL_FREEZE;
        } else if self.clear_flag == ASF_GLOBAL_FREEZE && root.flags & LSF_NO_FREEZE == 0 {
            // Who gave up freezing cannot play with the global freeze.
            root.flags &= !LSF_GLOBAL_FREEZE;
        }
        Ter::SUCCESS
    }

    fn set_details(&self, details: &mut AccountDetails) {
        if self.set_flag == ASF_ACCOUNT_TXN_ID && details.account_txn_id.is_none() {
            details.account_txn_id = Some(Hash([0; 32]));
        }
        if self.clear_flag == ASF_ACCOUNT_TXN_ID {
            details.account_txn_id = None;
        }
        // An empty text removes a text, and zero a number.
        let zero = |text: &str| text.bytes().all(|digit| digit == b'0');
        for (text, field, removes) in [
            (&self.domain, &mut details.domain, self.domain.as_deref().is_some_and(str::is_empty)),
            (&self.email_hash, &mut details.email_hash, self.email_hash.as_deref().is_some_and(zero)),
            (&self.message_key, &mut details.message_key, self.message_key.as_deref().is_some_and(str::is_empty)),
            (&self.wallet_locator, &mut details.wallet_locator, self.wallet_locator.as_deref().is_some_and(zero)),
        ] {
            if text.is_some() {
                *field = text.clone().filter(|_| !removes);
            }
        }
        if self.set_flag == ASF_AUTHORIZED_NFTOKEN_MINTER {
            details.nftoken_minter = self.nftoken_minter;
        }
        if self.clear_flag == ASF_AUTHORIZED_NFTOKEN_MINTER {
            details.nftoken_minter = None;
        }
    }
}

/// True for 33 bytes that begin as keys of one of the two kinds do.
fn is_public_key(hex: &str) -> bool {
    hex.len() == 66 && ["02", "03", "ED"].iter().any(|prefix| hex.starts_with(prefix))
}

/// True while the account's one free key change is unspent and the master key signs.
pub(super) fn key_change_is_free(tx: &Tx, root: &AccountRoot) -> bool {
    tx.signed_with_master() && root.flags & LSF_PASSWORD_SPENT == 0
}

/// Sets or removes the regular key.
pub(super) fn set_regular_key(
    state: &mut State,
    tx: &Tx,
    context: &Context<'_>,
    key: Option<Address>,
) -> Result<Ter, Failure> {
    let mut root = state.account(tx.account).cloned().ok_or(Failure(Ter::TEF_INTERNAL))?;
    if super::base_fee(tx, &root, context.rules) == 0 {
        root.flags |= LSF_PASSWORD_SPENT;
    }
    if key.is_none() && root.flags & LSF_DISABLE_MASTER != 0 {
        return Ok(Ter::TEC_NO_ALTERNATIVE_KEY);
    }
    let details = AccountDetails { regular_key: key, ..root.details() };
    root.set_details(details);
    state.put_account(tx.account, root);
    Ok(Ter::SUCCESS)
}

/// Who may sign for an account (rippled, `Transactor::checkSingleSign`).
pub(super) fn check_signer(tx: &Tx, root: &AccountRoot) -> Ter {
    match tx.signer {
        Signer::Simulation => Ter::SUCCESS,
        Signer::Key(key) if root.details.as_ref().and_then(|details| details.regular_key) == Some(key) => Ter::SUCCESS,
        Signer::Key(key) if key != tx.account => Ter::TEF_BAD_AUTH,
        Signer::Key(_) if root.flags & LSF_DISABLE_MASTER != 0 => Ter::TEF_MASTER_DISABLED,
        Signer::Key(_) => Ter::SUCCESS,
    }
}
