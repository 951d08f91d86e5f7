//! Which node is followed next. One is kept while it serves; one that does not is left alone for a while that grows, and that
//! a hash of the seed makes a little longer, so that many engines do not come back in one moment.

/// Why a node is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// The connection broke, could not be opened, or nothing came any more.
    Lost,
    /// It is asked too much, by us or by all: `slowDown`, HTTP 429 or 503, close code 1008 "threshold exceeded".
    Overloaded,
    /// We read too slowly: close code 1008 "client is too slow". The node is well.
    TooSlow,
    /// It answers, and is not fit to be followed: behind, without the network, blocked by an amendment.
    Unfit,
}

impl Parting {
    /// What a node's closing of the connection means. rippled closes with 1008 for two reasons that only its words tell
    /// apart (rippled, `BaseWSPeer.h` and `ServerHandler.cpp`).
    #[must_use]
    pub fn of_close(code: Option<u16>, reason: &str) -> Parting {
        match code {
            Some(1008) if reason.contains("too slow") => Parting::TooSlow,
            Some(1008) => Parting::Overloaded,
            _ => Parting::Lost,
        }
    }

    /// The first wait, and the longest.
    const fn waits_ms(self) -> (u64, u64) {
        match self {
            // Ledgers close every four seconds, so a quicker return gains nothing.
            Parting::Lost => (500, 30_000),
            // rippled forgets a client's load by half in about eleven seconds (`DecayingSample.h`, 32 s).
            Parting::Overloaded => (12_000, 180_000),
            Parting::TooSlow => (500, 500),
            Parting::Unfit => (15_000, 300_000),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    failures: u32,
    due_ms: u64,
}

/// The configured nodes, by their place in the configuration.
#[derive(Clone, Debug)]
pub struct Nodes {
    nodes: Vec<Node>,
    seed: u64,
}

impl Nodes {
    /// So many nodes, at least one; `seed` moves the waits.
    #[must_use]
    pub fn new(count: usize, seed: u64) -> Nodes {
        Nodes { nodes: vec![Node::default(); count.max(1)], seed }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The node to connect to: the one that served last if it may be tried, else the first in order that may; never
    /// `taken`. `None` while all are to be left alone.
    #[must_use]
    pub fn next(&self, last: Option<usize>, taken: Option<usize>, now_ms: u64) -> Option<usize> {
        let may =
            |node: &usize| taken != Some(*node) && self.nodes.get(*node).is_some_and(|node| node.due_ms <= now_ms);
        last.filter(may).or_else(|| (0..self.nodes.len()).find(may))
    }

    /// A node was left.
    pub fn left(&mut self, node: usize, parting: Parting, now_ms: u64) {
        let Some(state) = self.nodes.get_mut(node) else { return };
        let (first_ms, longest_ms) = parting.waits_ms();
        let wait_ms = first_ms.saturating_mul(1 << state.failures.min(16)).min(longest_ms);
        let chance = mixed(self.seed ^ ((node as u64) << 32) ^ u64::from(state.failures)) % 256;
        state.due_ms = now_ms.saturating_add(wait_ms + wait_ms * chance / 1_024);
        state.failures = state.failures.saturating_add(1);
    }

    /// A node serves: what was is forgotten.
    pub fn serves(&mut self, node: usize) {
        if let Some(state) = self.nodes.get_mut(node) {
            *state = Node::default();
        }
    }
}

/// The finaliser of splitmix64 (Steele, Lea and Flood, 2014): every bit of the input moves every bit of the result.
const fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a node may be tried again after each of so many partings.
    fn waits(parting: Parting, times: u32) -> Vec<u64> {
        let mut nodes = Nodes::new(1, 7);
        (0..times)
            .map(|_| {
                nodes.left(0, parting, 1_000);
                (1_000..).find(|now_ms| nodes.next(None, None, *now_ms).is_some()).unwrap() - 1_000
            })
            .collect()
    }

    #[test]
    fn waits_grow_to_a_limit_and_are_a_quarter_longer_at_most() {
        for (parting, first_ms, longest_ms) in [
            (Parting::Lost, 500, 30_000),
            (Parting::Overloaded, 12_000, 180_000),
            (Parting::TooSlow, 500, 500),
            (Parting::Unfit, 15_000, 300_000),
        ] {
            let waits = waits(parting, 12);
            for (n, wait_ms) in waits.iter().enumerate() {
                let plain_ms = (first_ms << n).min(longest_ms);
                assert!((plain_ms..=plain_ms * 5 / 4).contains(wait_ms), "{parting:?} {n}: {wait_ms}");
            }
        }
        assert_ne!(waits(Parting::Lost, 4), {
            let mut other = Nodes::new(1, 8);
            (0..4)
                .map(|_| {
                    other.left(0, Parting::Lost, 0);
                    other.nodes[0].due_ms
                })
                .collect::<Vec<_>>()
        });
    }

    #[test]
    fn a_node_is_kept_until_it_is_left_and_then_the_next_one_is() {
        let mut nodes = Nodes::new(3, 1);
        assert_eq!(nodes.next(None, None, 0), Some(0));
        nodes.left(0, Parting::Lost, 0);
        assert_eq!(nodes.next(Some(0), None, 0), Some(1));
        assert_eq!(nodes.next(Some(1), None, 100_000), Some(1), "the first is well again, and not gone back to");
        assert_eq!(nodes.next(None, Some(0), 100_000), Some(1), "never the one that is taken");
        nodes.left(1, Parting::Unfit, 100_000);
        nodes.left(2, Parting::Unfit, 100_000);
        nodes.left(0, Parting::Overloaded, 100_000);
        assert_eq!(nodes.next(Some(1), None, 100_000), None);
        nodes.serves(2);
        assert_eq!(nodes.next(Some(1), None, 100_000), Some(2));
        assert_eq!(Nodes::new(0, 1).next(None, None, 0), Some(0));
    }

    #[test]
    fn a_served_ledger_forgets_the_failures() {
        let mut nodes = Nodes::new(1, 1);
        (0..10).for_each(|_| nodes.left(0, Parting::Lost, 0));
        nodes.serves(0);
        nodes.left(0, Parting::Lost, 0);
        assert!(nodes.next(None, None, 625).is_some());
    }

    #[test]
    fn the_two_reasons_for_1008_are_told_apart() {
        assert_eq!(Parting::of_close(Some(1008), "threshold exceeded"), Parting::Overloaded);
        assert_eq!(Parting::of_close(Some(1008), "Policy error: client is too slow."), Parting::TooSlow);
        assert_eq!(Parting::of_close(Some(1001), "too slow"), Parting::Lost);
        assert_eq!(Parting::of_close(None, ""), Parting::Lost);
    }
}
