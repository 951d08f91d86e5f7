use neo_ledger::result::FeeResult;
use neo_ledger::types::{Currency, Hash, LedgerTime};

use super::*;

fn address(n: u8) -> Address {
    Address([n; 20])
}

fn wanted() -> Wanted {
    Wanted {
        kind: NetworkKind::Testnet,
        network_id: 1,
        ledger_accept: false,
        account: address(1),
        token: Token { currency: Currency::RLUSD, issuer: address(2) },
        key: Some(address(1)),
        offers: 4,
        max_fee: Drops::new(5_000),
    }
}

fn info(account: Address) -> AccountInfo {
    AccountInfo {
        account,
        balance: Drops::new(50_000_000),
        sequence: 7,
        owner_count: 1,
        flags: 0,
        regular_key: None,
        previous_txn_id: Hash([0; 32]),
        tick_size: None,
        transfer_rate: None,
        ledger_index: 90,
        validated: true,
    }
}

fn facts() -> Facts {
    let (base_fee, reserve_base, reserve_inc) = (Drops::new(10), Drops::new(1_000_000), Drops::new(200_000));
    let line = TrustLine {
        peer: address(2),
        currency: Currency::RLUSD,
        balance: Dec::from_i64(100),
        limit: Dec::from_i64(1_000),
        frozen_by_peer: false,
        deep_frozen_by_peer: false,
        deep_frozen: false,
        frozen: false,
        authorized_by_peer: false,
    };
    Facts {
        server: ServerInfo {
            network_id: Some(1),
            build_version: "2.6.1".into(),
            complete_ledgers: "1-90".into(),
            server_state: "full".into(),
            amendment_blocked: false,
            load_factor: None,
            validated: Some(ValidatedLedger {
                ledger_index: 90,
                hash: Hash([0; 32]),
                age_s: Some(3),
                base_fee,
                reserve_base,
                reserve_inc,
            }),
        },
        ledger: Some(LedgerFacts {
            account: Some(info(address(1))),
            issuer: Some(info(address(2))),
            line: Some(line),
            fee: FeeResult {
                base_fee,
                minimum_fee: base_fee,
                open_ledger_fee: base_fee,
                median_fee: Drops::new(5_000),
            },
            close_time: LedgerTime(800_000_000),
            ledger_accept: None,
        }),
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(LedgerTime(800_000_004).to_unix_s(), 0).unwrap()
}

/// What is wrong after a change.
fn wrong(change: impl FnOnce(&mut Facts, &mut Wanted)) -> Vec<(&'static str, Verdict, String)> {
    let (mut facts, mut wanted) = (facts(), wanted());
    change(&mut facts, &mut wanted);
    let wrong = judge(&facts, &wanted, now()).into_iter().filter(|finding| finding.verdict != Verdict::Ok);
    wrong.map(|finding| (finding.check, finding.verdict, finding.text)).collect()
}

fn only(check: &str, verdict: Verdict, says: &str, change: impl FnOnce(&mut Facts, &mut Wanted)) {
    let found = wrong(change);
    assert_eq!(found.len(), 1, "{check}: {found:?}");
    assert_eq!((found[0].0, found[0].1), (check, verdict), "{found:?}");
    assert!(found[0].2.contains(says), "{check}: {found:?}");
}

const USAGE: Verdict = Verdict::Refuse(ExitCode::Usage);
const FAILED: Verdict = Verdict::Refuse(ExitCode::Failed);

fn ledger(facts: &mut Facts) -> &mut LedgerFacts {
    facts.ledger.as_mut().unwrap()
}

#[test]
fn a_fit_node_and_account_have_nothing_wrong() {
    assert_eq!(wrong(|_, _| {}), []);
    let names: Vec<&str> = judge(&facts(), &wanted(), now()).iter().map(|finding| finding.check).collect();
    let expected =
        "network amendments sync account key issuer trust_line freeze tick_size transfer_rate funds fee clock";
    assert_eq!(names.join("|").replace(' ', "_").replace('|', " "), expected);
}

#[test]
fn another_network_is_refused_whatever_else_is_right() {
    only("network", USAGE, "network 0", |facts, _| facts.server.network_id = Some(0));
    // A node that reports none is on the main network.
    only("network", USAGE, "network 0", |facts, _| facts.server.network_id = None);
    assert_eq!(wrong(|facts, wanted| (facts.server.network_id, wanted.network_id) = (None, 0)), []);
}

#[test]
fn a_node_that_is_not_with_its_network_is_refused() {
    only("amendments", FAILED, "amendment blocked", |facts, _| facts.server.amendment_blocked = true);
    for state in ["disconnected", "connected", "syncing", "tracking"] {
        only("sync", FAILED, state, |facts, _| facts.server.server_state = state.to_string());
    }
    // Without a validated ledger nothing of the ledger is judged.
    only("sync", FAILED, "no validated ledger", |facts, _| facts.server.validated = None);
    let age = |facts: &mut Facts, age| facts.server.validated.as_mut().unwrap().age_s = Some(age);
    only("sync", FAILED, "61 s old", |facts, _| age(facts, 61));
    assert_eq!(wrong(|facts, _| age(facts, 60)), []);
    assert_eq!(
        wrong(|facts, wanted| {
            age(facts, 9_999);
            wanted.kind = NetworkKind::Standalone;
        }),
        [],
        "a node that stands alone closes when it is told to"
    );
    for state in ["full", "validating", "proposing"] {
        assert_eq!(wrong(|facts, _| facts.server.server_state = state.to_string()), []);
    }
}

#[test]
fn an_account_or_issuer_or_trust_line_that_is_not_there_is_refused() {
    only("account", FAILED, "at least 2 XRP", |facts, _| ledger(facts).account = None);
    only("issuer", USAGE, "account.issuer", |facts, _| ledger(facts).issuer = None);
    let found = wrong(|facts, _| ledger(facts).line = None);
    assert_eq!((found[0].0, found[0].1), ("trust line", FAILED), "{found:?}");
    assert!(found[0].2.contains("neo setup"), "{found:?}");
    only("trust line", FAILED, "authorised", |facts, _| {
        ledger(facts).issuer.as_mut().unwrap().flags = LSF_REQUIRE_AUTH;
    });
    assert_eq!(
        wrong(|facts, _| {
            ledger(facts).issuer.as_mut().unwrap().flags = LSF_REQUIRE_AUTH;
            ledger(facts).line.as_mut().unwrap().authorized_by_peer = true;
        }),
        []
    );
}

#[test]
fn only_the_account_s_own_key_or_its_regular_key_is_taken() {
    let regular = |facts: &mut Facts, key| ledger(facts).account.as_mut().unwrap().regular_key = key;
    only("key", USAGE, "no regular key", |_, wanted| wanted.key = Some(address(9)));
    only("key", USAGE, "whose regular key is", |facts, wanted| {
        regular(facts, Some(address(8)));
        wanted.key = Some(address(9));
    });
    assert_eq!(
        wrong(|facts, wanted| {
            regular(facts, Some(address(9)));
            wanted.key = Some(address(9));
        }),
        []
    );
    // A master key signs beside a regular key, unless it is disabled.
    assert_eq!(wrong(|facts, _| regular(facts, Some(address(9)))), []);
    only("key", USAGE, "disabled", |facts, _| {
        regular(facts, Some(address(9)));
        ledger(facts).account.as_mut().unwrap().flags = 0x0010_0000;
    });
    assert_eq!(
        wrong(|facts, wanted| {
            regular(facts, Some(address(9)));
            ledger(facts).account.as_mut().unwrap().flags = 0x0010_0000;
            wanted.key = Some(address(9));
        }),
        []
    );
}

#[test]
fn what_somebody_should_act_on_is_a_problem_and_no_refusal() {
    let problem = Verdict::Problem;
    let line = |facts: &mut Facts, change: fn(&mut TrustLine)| change(ledger(facts).line.as_mut().unwrap());
    only("freeze", problem, "deeply", |facts, _| line(facts, |line| line.deep_frozen_by_peer = true));
    only("freeze", problem, "asks only", |facts, _| line(facts, |line| line.frozen_by_peer = true));
    only("freeze", problem, "itself", |facts, _| line(facts, |line| line.frozen = true));
    only("freeze", problem, "all its tokens", |facts, _| {
        ledger(facts).issuer.as_mut().unwrap().flags = 0x0040_0000;
    });
    only("transfer rate", problem, "2000000 billionths", |facts, _| {
        ledger(facts).issuer.as_mut().unwrap().transfer_rate = Some(1_002_000_000);
    });
    // 1 XRP and 5 objects of 0.2: more than 2 XRP are needed.
    let balance = |facts: &mut Facts, drops| ledger(facts).account.as_mut().unwrap().balance = Drops::new(drops);
    only("funds", problem, "more XRP", |facts, _| balance(facts, 2_000_000));
    assert_eq!(wrong(|facts, _| balance(facts, 2_000_001)), []);
    only("funds", problem, "without the token", |facts, _| line(facts, |line| line.balance = Dec::zero()));
    only("fee", problem, "5001 drops", |facts, _| ledger(facts).fee.open_ledger_fee = Drops::new(5_001));
    only("clock", problem, "-76 s", |facts, _| ledger(facts).close_time = LedgerTime(800_000_080));
    only("clock", problem, "84 s", |facts, _| ledger(facts).close_time = LedgerTime(799_999_920));
    let alone = wrong(|facts, wanted| {
        ledger(facts).close_time = LedgerTime(1);
        wanted.kind = NetworkKind::Standalone;
    });
    assert_eq!(alone, [], "a stand-alone node's ledgers run by their own time");
}

#[test]
fn a_node_that_closes_no_ledger_on_request_is_refused_where_it_is_asked_to() {
    only("ledger_accept", USAGE, "noPermission", |facts, _| {
        ledger(facts).ledger_accept = Some(Err("noPermission".to_string()));
    });
    assert_eq!(wrong(|facts, _| ledger(facts).ledger_accept = Some(Ok(()))), []);
}
