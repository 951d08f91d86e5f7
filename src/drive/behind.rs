//! What is recorded behind intents that are on their way to the record. Pure.

use std::collections::VecDeque;

use neo_store::record::Record;

/// Records of the orders, in the order they were given. The writer takes everything in that order, so what was given behind
/// intents is not seen before them: an intent may be told to be dead while it waits.
#[derive(Default)]
pub(super) struct Behind {
    /// The newest batch that was on its way then, and the records.
    waiting: VecDeque<(u64, Vec<Record>)>,
}

impl Behind {
    /// Takes in records. `batches` are the numbers of the batches on their way.
    pub(super) fn push(&mut self, batches: impl Iterator<Item = u64>, records: Vec<Record>) {
        self.waiting.push_back((batches.max().unwrap_or(0), records));
    }

    /// Gives what no batch on its way is before.
    pub(super) fn pop(&mut self, batches: impl Iterator<Item = u64>) -> Vec<Record> {
        let oldest = batches.min().unwrap_or(u64::MAX);
        let mut records = Vec::new();
        while self.waiting.front().is_some_and(|(batch, _)| *batch < oldest) {
            records.extend(self.waiting.pop_front().into_iter().flat_map(|(_, records)| records));
        }
        records
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use chrono::DateTime;
    use neo_store::record::Processor;

    use super::*;

    fn record(ledger_index: u32) -> Vec<Record> {
        let close_time = DateTime::UNIX_EPOCH;
        vec![Record::LedgerProcessed { ledger_index, ledger_hash: None, close_time, by: Processor::Orders }]
    }

    fn popped(behind: &mut Behind, batches: &[u64]) -> Vec<u32> {
        let index = |record: Record| match record {
            Record::LedgerProcessed { ledger_index, .. } => ledger_index,
            other => panic!("{other:?}"),
        };
        behind.pop(batches.iter().copied()).into_iter().map(index).collect()
    }

    #[test]
    fn what_is_given_behind_intents_waits_for_them_and_keeps_its_order() {
        let mut behind = Behind::default();
        behind.push([].into_iter(), record(1));
        assert_eq!(popped(&mut behind, &[]), [1], "nothing is on its way");
        behind.push([1].into_iter(), record(2));
        behind.push([1, 2].into_iter(), record(3));
        assert_eq!(popped(&mut behind, &[1, 2]), Vec::<u32>::new());
        // The second batch came first: what is behind it is behind the first as well.
        behind.push([1].into_iter(), record(4));
        assert_eq!(popped(&mut behind, &[1]), Vec::<u32>::new());
        assert_eq!(popped(&mut behind, &[3]), [2, 3, 4]);
        behind.push([3].into_iter(), record(5));
        assert_eq!(popped(&mut behind, &[]), [5], "the batch is forgotten");
    }
}
