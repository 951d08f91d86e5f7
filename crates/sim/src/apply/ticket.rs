//! TicketCreate, and the use of tickets (rippled 2.6.1, `CreateTicket.cpp`, `Transactor.cpp`).

use neo_ledger::Address;

use super::tx::Tx;
use super::{Context, Failure};
use crate::state::{AccountRoot, Entry, Key, State, Ticket, TicketKey};
use crate::ter::Ter;

/// Most tickets that one transaction makes.
const MAX_COUNT: u32 = 250;
/// Most tickets that an account holds.
const MAX_HELD: u32 = 250;

/// Checks that need no ledger.
pub(super) fn preflight(count: u32) -> Ter {
    if (1..=MAX_COUNT).contains(&count) { Ter::SUCCESS } else { Ter::TEM_INVALID_COUNT }
}

/// Checks against the ledger. The ticket that pays for new ones leaves its place to them.
pub(super) fn preclaim(tx: &Tx, root: &AccountRoot, count: u32) -> Ter {
    let held = root.ticket_count.saturating_add(count) - u32::from(tx.has_ticket);
    if held > MAX_HELD { Ter::TEC_DIR_FULL } else { Ter::SUCCESS }
}

/// Makes the tickets: the numbers that follow the account's sequence, which is set behind them.
pub(super) fn create(
    state: &mut State,
    tx: &Tx,
    context: &Context<'_>,
    prior_balance: i64,
    count: u32,
) -> Result<Ter, Failure> {
    let mut root = state.account(tx.account).cloned().ok_or(Failure(Ter::TEF_INTERNAL))?;
    let owner_count = root.owner_count.saturating_add(count);
    if prior_balance < context.rules.reserve(owner_count) {
        return Ok(Ter::TEC_INSUFFICIENT_RESERVE);
    }
    let first = root.sequence;
    let next = first.checked_add(count).ok_or(Failure(Ter::TEF_INTERNAL))?;
    for sequence in first..next {
        let key = TicketKey { account: tx.account, sequence };
        state.put(Key::Ticket(key), Some(Entry::Ticket(Ticket { previous: None })));
    }
    root.owner_count = owner_count;
    root.ticket_count = root.ticket_count.saturating_add(count);
    root.sequence = next;
    state.put_account(tx.account, root);
    Ok(Ter::SUCCESS)
}

/// Takes a ticket out of the ledger; `root` is its owner's.
pub(super) fn consume(state: &mut State, root: &mut AccountRoot, account: Address, sequence: u32) {
    state.put(Key::Ticket(TicketKey { account, sequence }), None);
    root.owner_count = root.owner_count.saturating_sub(1);
    root.ticket_count = root.ticket_count.saturating_sub(1);
}
