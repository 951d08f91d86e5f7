//! What the simulated ledger holds of ours, read from the state that it keeps when it ends.

use neo_sim::{Node, Scenario};

use super::Engine;

/// Offers of our account that are left on the ledger. `None` when the world ended without keeping its state.
pub fn offers_left(engine: &Engine) -> Option<usize> {
    let state = std::fs::read(engine.db().with_extension("ledger").join("state.json")).ok()?;
    let world = Node::load(&state, &Scenario::default()).unwrap();
    let account = neo_ledger::keys::Keypair::from_seed(&neo_sim::maker_seed()).unwrap().address();
    Some(world.validated_state().offers_of(account).count())
}
