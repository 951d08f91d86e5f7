//! The digest of a whole state, kept up to date at the cost of what changed.
//!
//! Each entry has a hash: SHA-512Half over its index and its fields. The digest is the hash of their sum modulo 2^256 and
//! of their number, so an entry's change is one subtraction and one addition, whatever the state's size, and the order of
//! the changes does not matter. A real ledger's `account_hash` is the root of a hash tree over all entries. That one also
//! proves a single entry, and withstands somebody who looks for two states with one sum; here the digest tells worlds
//! apart that came to differ, which a sum does as well, and needs no tree of directory pages that this ledger does not
//! have.

use neo_ledger::{Hash, sha512_half};

use crate::apply::meta::index_of;
use crate::state::{Entry, Key, State};

/// A number of 256 bits, lowest part first.
type Sum = [u64; 4];

/// What is known of the entries so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateDigest {
    sum: Sum,
    entries: u64,
}

impl StateDigest {
    /// The digest of a state, from nothing: costs its whole size.
    pub(crate) fn of(state: &State) -> StateDigest {
        let mut digest = StateDigest::default();
        for (key, entry) in state.entries() {
            digest.change(key, None, Some(&entry));
        }
        digest
    }

    /// An entry was made, changed or removed.
    pub(crate) fn change(&mut self, key: Key, before: Option<&Entry>, after: Option<&Entry>) {
        if before == after {
            return;
        }
        let index = index_of(key);
        if let Some(entry) = before {
            self.sum = add(self.sum, negative(entry_hash(index, entry)));
            self.entries = self.entries.wrapping_sub(1);
        }
        if let Some(entry) = after {
            self.sum = add(self.sum, entry_hash(index, entry));
            self.entries = self.entries.wrapping_add(1);
        }
    }

    /// The digest as a hash.
    pub(crate) fn hash(&self) -> Hash {
        let sum: Vec<u8> = self.sum.iter().flat_map(|part| part.to_be_bytes()).collect();
        sha512_half(&[b"SUM\0", &sum, &self.entries.to_be_bytes()])
    }
}

fn entry_hash(index: Hash, entry: &Entry) -> Sum {
    // Fields in the order of their declaration. Nothing in an entry can fail to serialise; were it so, its debug form
    // says the same.
    let bytes = serde_json::to_vec(entry).unwrap_or_else(|_| format!("{entry:?}").into_bytes());
    let hash = sha512_half(&[b"SLE\0", &index.0, &bytes]);
    let mut parts = [0; 4];
    for (part, bytes) in parts.iter_mut().zip(hash.0.chunks(8)) {
        *part = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    }
    parts
}

fn add(a: Sum, b: Sum) -> Sum {
    let mut carry = false;
    let mut sum = a;
    for (part, more) in sum.iter_mut().zip(b) {
        let (first, over) = part.overflowing_add(more);
        let (second, again) = first.overflowing_add(u64::from(carry));
        (*part, carry) = (second, over || again);
    }
    sum
}

/// What added to a number gives zero.
fn negative(a: Sum) -> Sum {
    add(a.map(|part| !part), [1, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use neo_ledger::Address;

    use super::*;
    use crate::node::Node;
    use crate::scenario::Scenario;

    #[test]
    fn a_sum_carries_and_comes_back() {
        let most = [u64::MAX; 4];
        assert_eq!(add(most, [1, 0, 0, 0]), [0; 4]);
        assert_eq!(add([u64::MAX, 0, 0, 0], [1, 0, 0, 0]), [0, 1, 0, 0]);
        for number in [[0; 4], [1, 2, 3, 4], most] {
            assert_eq!(add(number, negative(number)), [0; 4]);
        }
    }

    #[test]
    fn what_is_kept_up_to_date_is_what_a_whole_count_gives() {
        let mut node = Node::new(&Scenario::default(), 3).unwrap();
        for _ in 0..100 {
            node.close_ledger();
            let whole = StateDigest::of(node.validated_state());
            assert_eq!(node.last_ledger().account_hash, whole.hash());
        }
    }

    #[test]
    fn one_changed_field_of_one_entry_is_another_digest() {
        let node = Node::new(&Scenario::default(), 3).unwrap();
        let mut state = node.validated_state().clone();
        let before = StateDigest::of(&state);
        let (address, mut root) = state.accounts().next().map(|(address, root)| (address, root.clone())).unwrap();
        root.balance += 1;
        state.put_account(address, root.clone());
        assert_ne!(StateDigest::of(&state), before);
        root.balance -= 1;
        state.put_account(address, root.clone());
        assert_eq!(StateDigest::of(&state), before);
        // The same fields under another index are another state.
        state.put(Key::Account(address), None);
        state.put_account(Address([7; 20]), root);
        assert_ne!(StateDigest::of(&state), before);
    }
}
