//! The feed's promises on a node that stands alone: nobody says when its ledgers close, and it may begin anew.

use super::tests::*;
use super::*;

const MINUTE_MS: u64 = 60_000;

/// How often the node was asked how it is.
fn health_asked(bench: &Bench) -> usize {
    bench.asked.iter().filter(|text| text.contains("server_info")).count()
}

#[test]
fn a_node_whose_ledgers_others_close_has_no_age_and_owes_no_word() {
    let mut bench = Bench::new(None);
    bench.core.config.closes = Closes::ByOthers;
    bench.node.age_s = 9_000;
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert!(bench.core.is_live(), "its last ledger may be of any age");
    for minute in 1..60 {
        bench.on(FeedInput::Tick, minute * MINUTE_MS);
        assert!(!bench.left(), "a ledger may take hours");
    }
    assert!(bench.core.is_live());
    assert_eq!(bench.closes_asked, 0);
    // Others may close many at once, too.
    for index in 101..110 {
        bench.node.index = index;
        bench.hear(&closed(index));
    }
    assert_eq!(bench.updates.last().unwrap().ledger.index, 109);
}

#[test]
fn a_quiet_node_that_stands_alone_is_asked_how_it_is_and_owes_that_answer() {
    for closes in [Closes::ByOthers, Closes::Every(MINUTE_MS)] {
        let mut bench = Bench::live(None);
        bench.core.config.closes = closes;
        bench.core.close_at_ms = 1_000_000;
        let (silence_ms, before) = (bench.core.config.silence_ms, health_asked(&bench));
        bench.on(FeedInput::Tick, silence_ms / 2);
        assert_eq!(health_asked(&bench), before);
        bench.on(FeedInput::Tick, silence_ms / 2 + 2);
        assert_eq!(health_asked(&bench), before + 1);
        // It answers, so it is there, however long the next ledger takes.
        bench.on(FeedInput::Tick, silence_ms);
        assert_eq!((health_asked(&bench), bench.left()), (before + 1, false));
        // One that does not answer is not there.
        let asked_ms = 2 * silence_ms;
        assert_eq!(bench.core.on(FeedInput::Tick, asked_ms).unwrap().len(), 1, "asked, and no answer comes");
        let limit_ms = asked_ms + bench.core.config.request_timeout_ms;
        bench.on(FeedInput::Tick, limit_ms);
        assert!(!bench.left());
        bench.on(FeedInput::Tick, limit_ms + 1);
        assert!(bench.left(), "{closes:?}");
    }
}
