//! Payment (rippled's `Payment`): XRP to an account directly, everything else through the payment engine.

use neo_ledger::{Address, Asset, Token};

use super::flow::{self, Hop, Request, View};
use super::tx::{Body, TF_LIMIT_QUALITY, TF_NO_RIPPLE_DIRECT, TF_PARTIAL_PAYMENT, Tx};
use super::{Context, Done, Failure};
use crate::amount::{InOut, Quality, Value};
use crate::state::{AccountRoot, LSF_DEPOSIT_AUTH, LSF_PASSWORD_SPENT, LSF_REQUIRE_DEST_TAG, State};
use crate::ter::Ter;

/// Most paths, and most hops of one, that the open ledger takes.
const MAX_PATHS: usize = 6;
const MAX_HOPS: usize = 8;

/// A payment's fields.
struct Fields<'a> {
    destination: Address,
    amount: (Value, Asset),
    send_max: Option<(Value, Asset)>,
    deliver_min: Option<(Value, Asset)>,
    paths: Option<&'a [Vec<Hop>]>,
    destination_tag: Option<u32>,
    /// Most that is spent; without SendMax as much of the sender's own as arrives.
    most: (Value, Asset),
}

impl Fields<'_> {
    fn of(tx: &Tx) -> Option<Fields<'_>> {
        let Body::Payment { destination, amount, send_max, deliver_min, paths, destination_tag } = &tx.body else {
            return None;
        };
        let own = match amount.1 {
            Asset::Token(token) => Asset::Token(Token { issuer: tx.account, ..token }),
            Asset::Xrp => Asset::Xrp,
        };
        Some(Fields {
            destination: *destination,
            amount: *amount,
            send_max: *send_max,
            deliver_min: *deliver_min,
            paths: paths.as_deref(),
            destination_tag: *destination_tag,
            most: send_max.unwrap_or((amount.0, own)),
        })
    }

    /// True when XRP goes straight from sender to receiver.
    fn is_direct_xrp(&self) -> bool {
        self.amount.1 == Asset::Xrp && self.paths.is_none() && self.send_max.is_none()
    }
}

/// Checks that need no ledger.
pub(super) fn preflight(tx: &Tx) -> Ter {
    let Some(payment) = Fields::of(tx) else { return Ter::TEM_MALFORMED };
    let (source, arrives) = (payment.most.1, payment.amount.1);
    let only_xrp = source == Asset::Xrp && arrives == Asset::Xrp;
    let checks = [
        (payment.destination == Address([0; 20]), Ter::TEM_DST_NEEDED),
        (!payment.most.0.is_positive() || !payment.amount.0.is_positive(), Ter::TEM_BAD_AMOUNT),
        ([source, arrives].into_iter().any(super::has_bad_currency), Ter::TEM_BAD_CURRENCY),
        (
            payment.destination == tx.account && same_currency(source, arrives) && payment.paths.is_none(),
            Ter::TEM_REDUNDANT,
        ),
        (only_xrp && payment.send_max.is_some(), Ter::TEM_BAD_SEND_XRP_MAX),
        (only_xrp && payment.paths.is_some(), Ter::TEM_BAD_SEND_XRP_PATHS),
        (only_xrp && tx.has(TF_PARTIAL_PAYMENT), Ter::TEM_BAD_SEND_XRP_PARTIAL),
        (only_xrp && tx.has(TF_LIMIT_QUALITY), Ter::TEM_BAD_SEND_XRP_LIMIT),
        (only_xrp && tx.has(TF_NO_RIPPLE_DIRECT), Ter::TEM_BAD_SEND_XRP_NO_DIRECT),
        (payment.deliver_min.is_some_and(|least| !fits(tx, &payment, least)), Ter::TEM_BAD_AMOUNT),
    ];
    checks.into_iter().find_map(|(fails, result)| fails.then_some(result)).unwrap_or(Ter::SUCCESS)
}

/// DeliverMin is of a partial payment, of its asset, and no more than its amount.
fn fits(tx: &Tx, payment: &Fields<'_>, (least, asset): (Value, Asset)) -> bool {
    tx.has(TF_PARTIAL_PAYMENT) && least.is_positive() && asset == payment.amount.1 && least <= payment.amount.0
}

fn same_currency(a: Asset, b: Asset) -> bool {
    match (a, b) {
        (Asset::Xrp, Asset::Xrp) => true,
        (Asset::Token(a), Asset::Token(b)) => a.currency == b.currency,
        _ => false,
    }
}

/// Checks against the ledger, before the fee is taken.
pub(super) fn preclaim(state: &State, tx: &Tx, context: &Context<'_>) -> Ter {
    let Some(payment) = Fields::of(tx) else { return Ter::TEM_MALFORMED };
    match (state.account(payment.destination), payment.amount.0) {
        (None, Value::Token(_)) => return Ter::TEC_NO_DST,
        (None, Value::Drops(_)) if context.open && tx.has(TF_PARTIAL_PAYMENT) => return Ter::TEL_NO_DST_PARTIAL,
        (None, Value::Drops(drops)) if drops < context.rules.reserve(0) => return Ter::TEC_NO_DST_INSUF_XRP,
        (Some(root), _) if root.flags & LSF_REQUIRE_DEST_TAG != 0 && payment.destination_tag.is_none() => {
            return Ter::TEC_DST_TAG_NEEDED;
        }
        _ => {}
    }
    let too_many = |paths: &[Vec<Hop>]| paths.len() > MAX_PATHS || paths.iter().any(|path| path.len() > MAX_HOPS);
    if context.open && payment.paths.is_some_and(too_many) {
        return Ter::TEL_BAD_PATH_COUNT;
    }
    Ter::SUCCESS
}

pub(super) fn pay(state: &mut State, tx: &Tx, context: &Context<'_>, prior_balance: i64) -> Result<Done, Failure> {
    let payment = Fields::of(tx).ok_or(Failure(Ter::TEF_INTERNAL))?;
    if state.account(payment.destination).is_none() {
        let root = AccountRoot {
            balance: 0,
            // New accounts count from the ledger's index, so that a deleted one's transactions cannot come back.
            sequence: context.ledger_index,
            ..AccountRoot::default()
        };
        state.put_account(payment.destination, root);
    }
    if payment.is_direct_xrp() {
        return pay_xrp(state, tx, context, prior_balance, &payment).map(Done::from);
    }
    if !may_deposit(state, tx.account, payment.destination) {
        return Ok(Ter::TEC_NO_PERMISSION.into());
    }
    ripple(state, tx, context, &payment)
}

/// An account that wants to approve its payers has approved nobody: that is not modelled.
fn may_deposit(state: &State, from: Address, to: Address) -> bool {
    from == to || state.account(to).is_none_or(|root| root.flags & LSF_DEPOSIT_AUTH == 0)
}

fn ripple(state: &mut State, tx: &Tx, context: &Context<'_>, payment: &Fields<'_>) -> Result<Done, Failure> {
    let limit = Quality::of(InOut { input: payment.most.0, output: payment.amount.0 });
    let request = Request {
        from: tx.account,
        to: payment.destination,
        deliver: payment.amount,
        paths: payment.paths.unwrap_or_default(),
        default_path: !tx.has(TF_NO_RIPPLE_DIRECT),
        partial: tx.has(TF_PARTIAL_PAYMENT),
        owner_pays: false,
        crossing: None,
        limit_quality: tx.has(TF_LIMIT_QUALITY).then_some(limit),
        send_max: Some(payment.most),
    };
    let mut view = View::new(state, context.rules, context.parent_close_time);
    let flowed = flow::pay(&mut view, &request)?;
    let arrived = flowed.exchanged.output;
    if flowed.result.is_retry() {
        // A path that does not work out costs its fee at once.
        return Ok(Ter::TEC_PATH_DRY.into());
    }
    if !flowed.result.is_success() || arrived == payment.amount.0 {
        return Ok(flowed.result.into());
    }
    if payment.deliver_min.is_some_and(|(least, _)| arrived < least) {
        return Ok(Ter::TEC_PATH_PARTIAL.into());
    }
    Ok(Done { delivered: Some((arrived, payment.amount.1)), ..flowed.result.into() })
}

fn pay_xrp(
    state: &mut State,
    tx: &Tx,
    context: &Context<'_>,
    prior_balance: i64,
    payment: &Fields<'_>,
) -> Result<Ter, Failure> {
    let Value::Drops(drops) = payment.amount.0 else { return Err(Failure(Ter::TEF_INTERNAL)) };
    let internal = Failure(Ter::TEF_INTERNAL);
    let sender = state.account(tx.account).cloned().ok_or(internal)?;
    // The fee may come out of the reserve.
    let kept = context.rules.reserve(sender.owner_count).max(tx.fee);
    if prior_balance < drops.saturating_add(kept) {
        return Ok(Ter::TEC_UNFUNDED_PAYMENT);
    }
    let receiver = state.account(payment.destination).cloned().ok_or(internal)?;
    if receiver.amm_id.is_some() {
        return Ok(Ter::TEC_NO_PERMISSION);
    }
    // Whoever wants to approve his payers still takes small sums while he has little, so that he can pay fees.
    let base = context.rules.reserve(0);
    if (drops > base || receiver.balance > base) && !may_deposit(state, tx.account, payment.destination) {
        return Ok(Ter::TEC_NO_PERMISSION);
    }
    let balance = sender.balance.checked_sub(drops).ok_or(internal)?;
    state.put_account(tx.account, AccountRoot { balance, ..sender });
    let balance = receiver.balance.checked_add(drops).ok_or(internal)?;
    let flags = receiver.flags & !LSF_PASSWORD_SPENT;
    state.put_account(payment.destination, AccountRoot { balance, flags, ..receiver });
    Ok(Ter::SUCCESS)
}
