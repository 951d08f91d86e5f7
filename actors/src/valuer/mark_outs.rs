//! Where the price is some validated ledgers after each fill. Pure: fills and ledgers in, records out.

use std::collections::BTreeMap;

use neo_ledger::own::OwnTransaction;
use neo_market::Dec;
use neo_market::result::mark_out::HORIZONS_LEDGERS;
use neo_store::record::{Fill, MarkOut, Record, Role};

/// A fill that waits for a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    tx_hash: String,
    offer_sequence: u32,
    role: Role,
    ledgers: u32,
}

impl Waiting {
    fn ends(self, ledger_index: u32, mid_price: Result<Dec, String>) -> Record {
        let Waiting { tx_hash, offer_sequence, role, ledgers } = self;
        Record::MarkOut(MarkOut { tx_hash, offer_sequence, role, ledgers, ledger_index, mid_price })
    }
}

/// Fills by the ledgers that they wait for.
#[derive(Clone, Debug, Default)]
pub(super) struct MarkOuts {
    due: BTreeMap<u32, Vec<Waiting>>,
}

impl MarkOuts {
    /// What a lost valuer still waited for at `ledger`: of the fills that it had seen, what is not recorded.
    pub(super) fn resume(fills: &[Fill], recorded: &[MarkOut], ledger: u32) -> MarkOuts {
        let mut mark_outs = MarkOuts::default();
        for fill in fills.iter().filter(|fill| fill.ledger_index <= ledger) {
            mark_outs.wait(fill.ledger_index, &fill.tx_hash, fill.offer_sequence, fill.role);
        }
        for known in recorded {
            if let Some(waiting) = mark_outs.due.get_mut(&known.ledger_index) {
                waiting.retain(|one| {
                    one.ledgers != known.ledgers
                        || one.offer_sequence != known.offer_sequence
                        || one.role != known.role
                        || one.tx_hash != known.tx_hash
                });
            }
        }
        mark_outs
    }

    /// Our offers traded.
    pub(super) fn filled(&mut self, transaction: &OwnTransaction) {
        for fill in &transaction.fills {
            let role = if fill.taker { Role::Taker } else { Role::Maker };
            self.wait(transaction.ledger_index, &transaction.hash.to_string(), fill.offer_sequence, role);
        }
    }

    fn wait(&mut self, filled_in: u32, tx_hash: &str, offer_sequence: u32, role: Role) {
        for ledgers in HORIZONS_LEDGERS {
            let waiting = Waiting { tx_hash: tx_hash.to_string(), offer_sequence, role, ledgers };
            self.due.entry(filled_in.saturating_add(ledgers)).or_default().push(waiting);
        }
    }

    /// The middle of a ledger. What waited for an earlier one that never came is told to be unknown.
    pub(super) fn at(&mut self, ledger: u32, mid: Option<Dec>) -> Vec<Record> {
        let later = self.due.split_off(&ledger.saturating_add(1));
        let due = std::mem::replace(&mut self.due, later);
        let told = |at: u32| match mid {
            _ if at < ledger => Err(format!("ledger {at} was not seen")),
            None => Err(format!("a side of the book was empty at ledger {at}")),
            Some(mid) => Ok(mid),
        };
        due.into_iter().flat_map(|(at, waiting)| waiting.into_iter().map(move |one| one.ends(at, told(at)))).collect()
    }

    /// The ledger's numbers begin anew: what waited for one of the old ledger's will never see it.
    pub(super) fn begin_anew(&mut self) -> Vec<Record> {
        let reason = || "the numbers of the ledgers began anew".to_string();
        let due = std::mem::take(&mut self.due);
        due.into_iter()
            .flat_map(|(at, waiting)| waiting.into_iter().map(move |one| one.ends(at, Err(reason()))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Dec {
        text.parse().unwrap()
    }

    fn told(records: Vec<Record>) -> Vec<(String, u32, u32, Result<String, String>)> {
        let told = |record| match record {
            Record::MarkOut(m) => (m.tx_hash, m.ledgers, m.ledger_index, m.mid_price.map(|mid| mid.to_string())),
            other => panic!("{other:?}"),
        };
        records.into_iter().map(told).collect()
    }

    fn fill(tx_hash: &str, ledger_index: u32) -> Fill {
        let at = chrono::DateTime::UNIX_EPOCH;
        Fill {
            tx_hash: tx_hash.into(),
            offer_sequence: 7,
            role: Role::Maker,
            side: neo_market::Side::Bid,
            xrp: neo_market::Drops::new(1),
            rlusd: d("1"),
            price: d("1"),
            mid_price: None,
            ledger_index,
            transaction_index: 0,
            close_time: at,
            recorded_at: at,
        }
    }

    #[test]
    fn each_fill_meets_the_first_the_fifth_and_the_thirtieth_ledger_after_it() {
        let mut mark_outs = MarkOuts::resume(&[fill("A", 100)], &[], 100);
        assert_eq!(told(mark_outs.at(100, Some(d("9")))), []);
        assert_eq!(told(mark_outs.at(101, Some(d("2.1")))), [("A".into(), 1, 101, Ok("2.1".into()))]);
        assert_eq!(told(mark_outs.at(104, Some(d("9")))), []);
        let empty = Err("a side of the book was empty at ledger 105".into());
        assert_eq!(told(mark_outs.at(105, None)), [("A".into(), 5, 105, empty)]);
        assert_eq!(told(mark_outs.at(130, Some(d("2.3")))), [("A".into(), 30, 130, Ok("2.3".into()))]);
        assert_eq!(told(mark_outs.at(131, Some(d("9")))), []);
    }

    #[test]
    fn a_ledger_that_was_not_seen_has_no_price_and_the_next_ones_is_not_taken_for_it() {
        let mut mark_outs = MarkOuts::resume(&[fill("A", 100), fill("B", 103)], &[], 103);
        let missed = |ledger: u32| Err(format!("ledger {ledger} was not seen"));
        let wanted = [
            ("A".into(), 1, 101, missed(101)),
            ("B".into(), 1, 104, missed(104)),
            ("A".into(), 5, 105, missed(105)),
            ("B".into(), 5, 108, Ok("2".into())),
        ];
        assert_eq!(told(mark_outs.at(108, Some(d("2")))), wanted);
        let anew = Err("the numbers of the ledgers began anew".to_string());
        let wanted = [("A".into(), 30, 130, anew.clone()), ("B".into(), 30, 133, anew)];
        assert_eq!(told(mark_outs.begin_anew()), wanted);
        assert_eq!(told(mark_outs.at(200, Some(d("2")))), []);
    }

    #[test]
    fn a_valuer_that_takes_over_goes_on_with_what_is_not_recorded() {
        let known = MarkOut {
            tx_hash: "A".into(),
            offer_sequence: 7,
            role: Role::Maker,
            ledgers: 5,
            ledger_index: 105,
            mid_price: Ok(d("2")),
        };
        let first = MarkOut { ledgers: 1, ledger_index: 101, ..known.clone() };
        // The fill of ledger 107 is told again with its ledger.
        let mut mark_outs = MarkOuts::resume(&[fill("A", 100), fill("B", 107)], &[first, known], 106);
        assert_eq!(told(mark_outs.at(112, Some(d("2")))), []);
        assert_eq!(told(mark_outs.at(130, Some(d("2.5")))), [("A".into(), 30, 130, Ok("2.5".into()))]);
    }
}
