//! Whose turn it is: the node that is recorded, and the one after it. Pure: the engine's own rule of waits ([`Nodes`]), without
//! a second connection.

use std::collections::BTreeSet;

use neo_actors::feed::nodes::{Nodes, Parting};

/// The configured nodes, by their place.
#[derive(Debug)]
pub struct Turn {
    nodes: Nodes,
    /// The one that is connected to, or was last.
    node: Option<usize>,
    /// It is not left yet.
    is_tried: bool,
    /// Chosen when the last one was left: while the new connection is waited for that one may be tried again, and is not.
    chosen: Option<usize>,
    /// Those that are not of the configured network.
    refused: BTreeSet<usize>,
}

impl Turn {
    /// So many nodes; `seed` moves the waits.
    #[must_use]
    pub fn new(count: usize, seed: u64) -> Turn {
        Turn { nodes: Nodes::new(count, seed), node: None, is_tried: false, chosen: None, refused: BTreeSet::new() }
    }

    /// The node to connect to now: after one that was left the first other one that may be tried, else the one itself; `None`
    /// while all are left alone.
    pub fn next(&mut self, now_ms: u64) -> Option<usize> {
        let next = self.chosen.take().or_else(|| self.nodes.next(self.node, None, now_ms))?;
        (self.node, self.is_tried) = (Some(next), true);
        Some(next)
    }

    /// The node was left; said twice, the first time counts.
    pub fn left(&mut self, busy: bool, now_ms: u64) {
        let parting = if busy { Parting::Overloaded } else { Parting::Lost };
        self.part(parting, now_ms);
    }

    /// A ledger came from it: what was is forgotten.
    pub fn serves(&mut self) {
        if let Some(node) = self.node {
            self.nodes.serves(node);
            self.refused.remove(&node);
        }
    }

    /// It is on another network. True when there is no node left that may be of the right one.
    pub fn refuse(&mut self, now_ms: u64) -> bool {
        self.refused.extend(self.node);
        self.part(Parting::Unfit, now_ms);
        self.refused.len() >= self.nodes.count()
    }

    fn part(&mut self, parting: Parting, now_ms: u64) {
        if let Some(node) = self.node.filter(|_| std::mem::take(&mut self.is_tried)) {
            self.nodes.left(node, parting, now_ms);
            self.chosen = self.nodes.next(None, Some(node), now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_lost_is_left_for_the_next_and_that_one_is_kept() {
        let mut turn = Turn::new(2, 1);
        assert_eq!(turn.next(0), Some(0));
        turn.serves();
        turn.left(false, 1_000);
        assert_eq!(turn.next(9_000), Some(1), "the first may be tried again by then, and is not");
        turn.left(true, 9_000);
        turn.left(false, 9_000);
        assert_eq!(turn.next(9_000), Some(0));
        turn.left(false, 9_001);
        assert_eq!(turn.next(9_001), None, "each is left alone for a while");
        assert_eq!(turn.next(11_000), Some(0), "the one that merely broke is tried sooner");
        let mut one = Turn::new(1, 1);
        one.next(0);
        one.left(false, 0);
        assert_eq!((one.next(1), one.next(1_000)), (None, Some(0)));
    }

    #[test]
    fn only_when_no_node_is_of_the_network_it_is_over() {
        let mut turn = Turn::new(2, 1);
        turn.next(0);
        assert!(!turn.refuse(0), "there is another one");
        assert_eq!(turn.next(0), Some(1));
        assert!(turn.refuse(0));
        let mut one = Turn::new(1, 1);
        one.next(0);
        assert!(one.refuse(0));
    }
}
