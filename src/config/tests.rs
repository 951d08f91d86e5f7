use std::io::Write;
use std::time::Duration;

use neo_market::{Dec, Drops, Strategy};

use super::*;

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let file = file(text);
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let flags: Vec<(&str, String)> = flags.iter().map(|(key, value)| (*key, value.to_string())).collect();
    Config::load(Some(file.path()), env, &flags)
}

fn problems(text: &str) -> Vec<Problem> {
    load(text, &[], &[]).unwrap_err().0
}

fn only(problems: Vec<Problem>) -> Problem {
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.into_iter().next().unwrap()
}

fn line(origin: &Origin) -> usize {
    match origin {
        Origin::File { line, .. } => *line,
        other => panic!("{other} is no file"),
    }
}

#[test]
fn the_defaults_stand_by_themselves() {
    let loaded = Config::load(None, std::iter::empty(), &[]).unwrap();
    let mut expected = Config::default();
    expected.session.db = Some("data/neo-sim.db".into());
    expected.log.dir = Some("data".into());
    assert_eq!(loaded.config, expected);
    assert!(loaded.origins.values().all(|origin| *origin == Origin::Default));
    assert!(loaded.origins.contains_key("session.for") && loaded.origins.contains_key("quote.levels"));
}

#[test]
fn each_layer_overrides_the_one_before() {
    let text = "[quote]\nlevels = 3\nsize_xrp = \"50\"\nrefresh_ledgers = 7\n";
    let env = [("NEO_QUOTE__SIZE_XRP", "60"), ("NEO_QUOTE__REFRESH_LEDGERS", "8"), ("OTHER", "1")];
    let loaded = load(text, &env, &[("quote.refresh_ledgers", "9"), ("session.for", "30m")]).unwrap();
    let quote = &loaded.config.quote;
    assert_eq!((quote.levels, quote.size_xrp, quote.refresh_ledgers), (3, d("60"), 9));
    assert_eq!(loaded.config.session.duration, Some(Duration::from_secs(1_800)));
    assert_eq!(line(&loaded.origins["quote.levels"]), 2);
    assert_eq!(loaded.origins["quote.size_xrp"], Origin::Env { name: "NEO_QUOTE__SIZE_XRP".into() });
    assert_eq!(loaded.origins["quote.refresh_ledgers"], Origin::Flag { name: "--set quote.refresh_ledgers".into() });
    assert_eq!(loaded.origins["quote.tolerance_bps"], Origin::Default);
}

#[test]
fn decimals_may_be_written_as_numbers_and_stay_exact() {
    let text = "[quote]\nbid_offset_bps = 12.1\nask_offset_bps = 8\n[risk]\nmax_inventory_xrp = 9007199254740993.1\n";
    let config = load(text, &[], &[]).unwrap().config;
    assert_eq!((config.quote.bid_offset_bps, config.quote.ask_offset_bps), (d("12.1"), d("8")));
    assert_eq!(config.risk.max_inventory_xrp, Some(d("9007199254740993.1")), "no binary float holds this");
}

#[test]
fn lists_of_decimals_may_be_written_as_numbers_in_every_layer_and_stay_exact() {
    let text = "[quote]\nlevels = 3\nbid_offsets_bps = [5, 12.1, \"30\"]\n";
    let env = [("NEO_QUOTE__ASK_OFFSETS_BPS", "[4, 9.000000000000000000001, 20]")];
    let quote = load(text, &env, &[("quote.sizes_xrp", "[50, 100.5, 200]")]).unwrap().config.quote;
    assert_eq!(quote.bid_offsets_bps, [d("5"), d("12.1"), d("30")]);
    assert_eq!(quote.ask_offsets_bps, [d("4"), d("9.000000000000000000001"), d("20")]);
    assert_eq!(quote.sizes_xrp, [d("50"), d("100.5"), d("200")]);
    assert_eq!(only(problems("[quote]\nbid_offsets_bps = [5, true]\n")).key, "quote.bid_offsets_bps");
    assert_eq!(only(problems("[quote]\nbid_offsets_bps = 5\n")).key, "quote.bid_offsets_bps");
}

#[test]
fn strategies_are_named_by_their_words_and_need_what_they_need() {
    let text = "[quote]\nstrategy = \"avellaneda_stoikov\"\ninventory_target_pct = 50\ngamma_per_bps = 0.02\n";
    let quote = load(text, &[], &[]).unwrap().config.quote;
    assert_eq!((quote.strategy, quote.gamma_per_bps), (Strategy::AvellanedaStoikov, d("0.02")));
    let missing = only(load("", &[], &[("quote.strategy", "glft")]).unwrap_err().0);
    assert_eq!((missing.key.as_str(), missing.fix.contains("such as 50")), ("quote.inventory_target_pct", true));
    assert_eq!(only(problems("[quote]\nstrategy = \"stoikov\"\n")).key, "quote.strategy");
    // A model may stand anywhere up to its bound, so the bound must be within the band.
    let wide = "[quote]\nstrategy = \"glft\"\ninventory_target_pct = 50\nmax_offset_bps = 495\n";
    let found: BTreeSet<String> = problems(wide).into_iter().map(|problem| problem.key).collect();
    assert_eq!(found, BTreeSet::from(["risk.price_band_bps".to_string()]));
    let large = only(problems("[quote]\nsizes_xrp = [50, 1001]\n"));
    assert_eq!(large.key, "quote.sizes_xrp");
}

#[test]
fn texts_of_variables_and_flags_become_what_the_key_holds() {
    let env = [
        ("NEO_ORDERS__MAX_FEE_DROPS", "1200"),
        ("NEO_NETWORK__LEDGER_ACCEPT", "true"),
        ("NEO_SESSION__SPEED", "max"),
        ("NEO_SESSION__DB", "42"),
        ("NEO_RISK__MAX_INVENTORY_XRP", "5000"),
        ("NEO_SIM__TAKERS__ARRIVALS_PER_LEDGER", "2"),
        ("NEO_SIM__TAPE", "day.csv"),
    ];
    let config = load("", &env, &[("network.network_id", "65001")]).unwrap().config;
    assert_eq!(config.orders.max_fee_drops, Drops::new(1_200));
    assert_eq!((config.network.ledger_accept, config.network.network_id), (true, Some(65_001)));
    assert_eq!((config.session.speed, config.session.db), (Speed::Max, Some("42".into())));
    assert_eq!(config.risk.max_inventory_xrp, Some(d("5000")));
    assert!((config.sim.takers.arrivals_per_ledger - 2.0).abs() < 1e-12);
    assert_eq!(config.sim.tape.as_deref(), Some(Path::new("day.csv")));
}

#[test]
fn every_mistake_of_every_layer_is_told_at_once() {
    let text = "[quote]\nlevels = 11\nbid_ofset_bps = \"1\"\nsize_xrp = true\n[store]\ncheckpoint_s = 0\n[stop]\n\
                deadline_ms = \"soon\"\n";
    let env = [("NEO_QUOTE__LEVLES", "3"), ("NEO_ORDERS__AUDIT_LEDGERS", "-1")];
    let errors = load(text, &env, &[("session.mode", "simm")]).unwrap_err();
    let keys: Vec<&str> = errors.0.iter().map(|problem| problem.key.as_str()).collect();
    let expected = "quote.bid_ofset_bps quote.levles orders.audit_ledgers quote.size_xrp session.mode \
                    stop.deadline_ms quote.levels store.checkpoint_s";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    assert!(errors.0.iter().all(|p| !p.value.is_empty() && !p.reason.is_empty() && !p.fix.is_empty()));
    let text = errors.to_string();
    assert!(text.starts_with("8 mistakes in the configuration:\n  quote.bid_ofset_bps = 1   # "), "{text}");
    assert_eq!(errors.to_json()["problems"].as_array().unwrap().len(), 8);
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    let fix = |text: &str| only(problems(text)).fix;
    assert_eq!(fix("[quote]\nbid_ofset_bps = \"1\""), "did you mean quote.bid_offset_bps?");
    assert_eq!(fix("[quote]\nmax_order_xrp = \"1\""), "did you mean risk.max_order_xrp?");
    assert_eq!(fix("[qoute]\nlevels = 1"), "did you mean quote.levels?");
    assert_eq!(fix("[stop]\ncolour = \"red\""), "remove it; [stop] has deadline_ms, urgent_deadline_ms");
    assert!(fix("[colours]\nback = \"red\"").starts_with("remove it; the sections are account, alerts, feed"));
    assert_eq!(only(problems("[colours]")).key, "colours", "an empty section, too");
    assert!(fix("quote = 3").starts_with("write [quote]"));
    assert_eq!(only(problems("\"quote.levels\" = 3")).reason, "there is no such key");
    assert_eq!(fix("[sim.takers]\nsize_sgma = 1"), "did you mean sim.takers.size_sigma?");
    let variable = only(load("", &[("NEO_QUOTE__LEVLES", "3")], &[]).unwrap_err().0);
    assert_eq!(variable.fix, "did you mean NEO_QUOTE__LEVELS?");
}

#[test]
fn a_wrong_value_is_told_with_its_line_and_an_example() {
    let problem = only(problems("[session]\nmode = \"sim\"\nfor = \"30 potatoes\"\n"));
    assert_eq!(
        (problem.key.as_str(), problem.value.as_str(), line(&problem.origin)),
        ("session.for", "30 potatoes", 3)
    );
    assert_eq!(problem.fix, "write it like session.for = \"30m\"");
    let problem = only(problems("[quote]\nlevels = 300\n"));
    assert!(problem.reason.contains("300") && problem.fix == "write it like quote.levels = 2", "{problem:?}");
    let problem = only(problems("[session]\nmode = \"simm\"\n"));
    assert!(problem.reason.contains("expected one of `sim`"), "{problem:?}");
    let problem = only(problems("[quote]\nsize_xrp = \"ten\"\n"));
    assert!(problem.reason.contains("not a decimal number"), "{problem:?}");
    let problem = only(problems("[account]\naddress = \"rNobody\"\n"));
    assert_eq!(problem.value, "rNobody");
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let missing = Config::load(Some(Path::new("no/such/file.toml")), std::iter::empty(), &[]).unwrap_err();
    assert!(missing.0[0].reason.contains("cannot be read") && missing.0[0].value == "no/such/file.toml");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Config::load(Some(folder.path()), std::iter::empty(), &[]).unwrap_err().0.len(), 1);
    let syntax = problems("[quote]\nlevels = = 3\nsize_xrp = \"1\n");
    assert!(syntax.len() >= 2 && syntax.iter().all(|problem| problem.key == "(file)"), "{syntax:?}");
    let lines: BTreeSet<usize> = syntax.iter().map(|problem| line(&problem.origin)).collect();
    assert_eq!(lines, BTreeSet::from([2, 3]));
    let broken = load("[session]\nmode = = \n", &[], &[("session.mode", "live")]).unwrap_err();
    let keys: BTreeSet<&str> = broken.0.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, BTreeSet::from(["(file)"]), "what the file would have set is not reported as missing");
    let mut bytes = tempfile::NamedTempFile::new().unwrap();
    bytes.write_all(&[0xFF, 0xFE]).unwrap();
    let error = Config::load(Some(bytes.path()), std::iter::empty(), &[]).unwrap_err();
    assert!(error.0[0].reason.contains("UTF-8"));
    let huge = "#".repeat(2 << 20);
    assert!(only(problems(&huge)).reason.contains("1 MiB"));
}

#[test]
fn secrets_are_neither_read_nor_repeated() {
    // The well-known seed of the genesis account of stand-alone nodes, and one that is nobody's.
    let seeds = ["snoPBrXtMeMyMHUVTgbuqAfg1SUTb", "sEdTM1uX8pu2do5XvTnutH6HsouMaM2"];
    for seed in seeds {
        let text = format!("[account]\naddress = \"{seed}\"\nseed = \"{seed}\"\n[session]\nmode = \"{seed}\"\n");
        let errors = load(&text, &[("NEO_WALLET_SED", seed)], &[("session.db", seed)]).unwrap_err();
        assert_eq!(errors.0.len(), 5, "{errors}");
        assert!(!errors.to_string().contains(seed) && !errors.to_json().to_string().contains(seed), "{errors}");
        let broken = problems(&format!("[account]\nseed = \"{seed}\n"));
        assert!(!ConfigErrors(broken).to_string().contains(seed));
    }
    let plain = only(problems("[account]\nwallet_password = \"hunter2\"\n"));
    assert_eq!(plain.value, "(not shown)");
    let loaded = load("", &[("NEO_WALLET_SEED", seeds[0])], &[]).unwrap();
    assert!(!format!("{loaded:?}").contains(seeds[0]));
}

#[test]
fn a_node_address_is_shown_without_its_access_key() {
    let text = "[session]\nmode = \"replay\"\n[network]\nkind = \"custom\"\nnetwork_id = 7\n\
                url = \"wss://node.example:51233/key123?t=key123\"\n";
    let loaded = load(text, &[], &[]).unwrap();
    assert!(loaded.config.network.url.as_deref().unwrap().contains("key123"));
    let shown = [loaded.render().unwrap(), loaded.to_json().unwrap().to_string(), loaded.config.to_toml().unwrap()];
    assert!(shown.iter().all(|text| text.contains("wss://node.example:51233/...") && !text.contains("key123")));
    let user = only(problems(&text.replace("wss://", "wss://key123:key123@")));
    assert!(!user.to_string().contains("key123"), "{user}");
}

#[test]
fn the_example_of_each_network_loads_and_its_issuer_is_that_network_s() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for (name, kind, id) in [
        ("standalone", NetworkKind::Standalone, 0),
        ("testnet", NetworkKind::Testnet, 1),
        ("mainnet", NetworkKind::Mainnet, 0),
    ] {
        let loaded = Config::load(Some(&folder.join(format!("{name}.toml"))), std::iter::empty(), &[]).unwrap();
        let Config { network, account, session, .. } = loaded.config;
        assert_eq!((network.kind, network.expected_network_id()), (kind, id), "{name}");
        assert_eq!(session.mode.to_string(), "live", "{name}");
        let issuer = account.issuer.unwrap().to_string();
        assert!(kind.rlusd_issuer().is_none_or(|known| known == issuer), "{name}");
        assert_eq!(network.ledger_accept, kind == NetworkKind::Standalone, "{name}");
    }
}

#[test]
fn an_issuer_of_another_network_is_another_token() {
    let live = |kind: &str, issuer: &str, currency: &str| {
        problems_of(&format!(
            "[session]\nmode = \"live\"\n[network]\nkind = \"{kind}\"\nurl = \"ws://localhost:6006\"\n\
             network_id = {}\n[account]\naddress = \"rrrrrrrrrrrrrrrrrrrrBZbvji\"\nissuer = \"{issuer}\"\n\
             currency = \"{currency}\"\n",
            if kind == "mainnet" { 0 } else { 1 }
        ))
    };
    let (mainnet, testnet) = ("rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De", "rQhWct2fv4Vc4KRjRgMrxa8xPN9Zx9iLKV");
    assert!(live("mainnet", mainnet, "RLUSD").is_empty() && live("testnet", testnet, "RLUSD").is_empty());
    for (kind, issuer, right) in [("mainnet", testnet, mainnet), ("testnet", mainnet, testnet)] {
        let problem = only(live(kind, issuer, "RLUSD"));
        assert!(problem.key == "account.issuer" && problem.fix.contains(right), "{problem:?}");
    }
    // Of other tokens nothing is known, nor of RLUSD on a network of one's own.
    assert!(live("mainnet", testnet, "USD").is_empty() && live("custom", testnet, "RLUSD").is_empty());
}

fn problems_of(text: &str) -> Vec<Problem> {
    load(text, &[], &[]).map_or_else(|errors| errors.0, |_| Vec::new())
}

#[test]
fn settings_that_do_not_go_together_are_mistakes() {
    let keys = |text: &str| problems(text).into_iter().map(|problem| problem.key).collect::<Vec<_>>();
    assert_eq!(
        keys("[session]\nmode = \"live\"\n"),
        ["network.kind", "network.url", "account.issuer", "account.address"]
    );
    assert_eq!(keys("[network]\nkind = \"mainnet\"\n"), ["network.kind"]);
    let paper = "[account]\nissuer = \"rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De\"\n[session]\nmode = \"paper\"\n";
    let node = "[network]\nkind = \"mainnet\"\nurl = \"ws://localhost:6006\"\n";
    assert!(load(&format!("{paper}{node}"), &[], &[]).is_ok());
    assert_eq!(keys(&format!("{paper}speed = 3\n{node}")), ["session.speed"]);
    assert_eq!(
        keys(&format!("{paper}{node}network_id = 1\nledger_accept = true\n")),
        ["network.network_id", "network.ledger_accept"]
    );
    assert_eq!(keys(&format!("{paper}{}", node.replace("ws:", "http:"))), ["network.url"]);
    assert_eq!(keys("[account]\nsigner = [\"s\"]\nkey_file = \"k\"\n"), ["account.public_key", "account.key_file"]);
    assert_eq!(keys("[account]\npublic_key = \"aB\"\n"), ["account.public_key"]);
    let signer = "[account]\nsigner = [\"s\"]\npublic_key = \"aB\"\nsigner_timeout_ms = ";
    assert!(load(&format!("{signer}1249\n"), &[], &[]).is_ok());
    assert_eq!(keys(&format!("{signer}1250\n")), ["account.signer_timeout_ms"], "two levels, ten seconds");
    assert_eq!(keys("[risk]\nmax_order_xrp = 10\n"), ["quote.size_xrp"]);
    assert_eq!(keys("[risk]\nprice_band_bps = 15\n"), ["risk.price_band_bps", "risk.price_band_bps"]);
    assert_eq!(
        keys("[orders]\nmax_fee_drops = 60000\nlast_ledger_offset = 1\naudit_ledgers = 0\n"),
        ["orders.last_ledger_offset", "orders.cancel_max_fee_drops", "orders.audit_ledgers"]
    );
    assert_eq!(keys("[stop]\nurgent_deadline_ms = 4000\ndeadline_ms = 3000\n"), ["stop.urgent_deadline_ms"]);
    assert_eq!(
        keys("[feed]\nsilence_ms = 1\ndust_xrp = -1\ndepth = 0\nbook_ledgers = 10001\n"),
        ["feed.silence_ms", "feed.dust_xrp", "feed.depth", "feed.book_ledgers"]
    );
    assert_eq!(keys("[session]\nspeed = 0\nfor = \"1ms\"\n"), ["session.for", "session.speed"]);
    assert_eq!(keys("[sim]\ntick_size = 2\n[sim.takers]\nlimit_bps = -1\n"), ["sim.tick_size", "sim.takers.limit_bps"]);
    assert_eq!(keys("[network]\nnetwork_id = 5\n"), ["network.network_id"]);
    assert_eq!(
        keys("[store]\nbackups_keep = 0\nbackups_daily = 1001\nbackups_weekly = 1001\nsnapshots_keep_days = 3661\n"),
        ["store.backups_keep", "store.backups_daily", "store.backups_weekly", "store.snapshots_keep_days"]
    );
    // The peak that a drawdown is counted from must be there: as many days, all of them, or no loss that is measured.
    let lossy = |keep_days: u32, days: u32, limit: u32| {
        format!(
            "[store]\nsnapshots_keep_days = {keep_days}\n[risk.triggers]\nloss_days = {days}\n\
             drawdown_pct = {{ limit = \"{limit}\", action = \"latch\", resume_after_s = 300 }}\n"
        )
    };
    assert_eq!(keys(&lossy(6, 7, 5)), ["store.snapshots_keep_days"]);
    for good in [lossy(7, 7, 5), lossy(0, 7, 5), lossy(6, 7, 0), lossy(6, 6, 5)] {
        assert!(load(&good, &[], &[]).is_ok(), "{good}");
    }
    assert_eq!(
        keys(
            "[alerts]\ncommand = [\" \"]\nmin_interval_s = 0\ntimeout_s = 301\npause_s = 0\n\
              [store]\nmin_free_mb = 1000001\n[log]\nkeep_days = 0\n"
        ),
        [
            "alerts.command",
            "alerts.min_interval_s",
            "alerts.timeout_s",
            "alerts.pause_s",
            "store.min_free_mb",
            "log.keep_days"
        ]
    );
    let checkpoint = only(problems("[store]\ncheckpoint_s = 0\n"));
    assert!(checkpoint.reason.contains("grows without limit"), "{checkpoint}");
}

#[test]
fn mode_paper_trades_the_networks_own_token_on_a_mirror_whose_signatures_are_worth_nothing() {
    let paper = |kind: &str, more: &str| {
        let text = "[session]\nmode = \"paper\"\n[network]\nurl = \"ws://localhost:6006\"\n";
        load(&format!("{text}kind = \"{kind}\"\n{more}"), &[], &[])
    };
    let issuer = |kind| paper(kind, "").unwrap().config.account.issuer.unwrap().to_string();
    assert_eq!(issuer("mainnet"), "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De");
    assert_eq!(issuer("testnet"), "rQhWct2fv4Vc4KRjRgMrxa8xPN9Zx9iLKV");
    let keys = |kind: &str, more: &str| {
        let problems = paper(kind, more).map_or_else(|errors| errors.0, |_| Vec::new());
        problems.into_iter().map(|problem| problem.key).collect::<Vec<_>>()
    };
    assert_eq!(keys("devnet", ""), ["account.issuer"]);
    assert_eq!(keys("mainnet", "[account]\ncurrency = \"USD\"\n"), ["account.issuer", "account.currency"]);
    assert_eq!(keys("mainnet", "[sim]\nnetwork_id = 0\n"), ["sim.network_id"]);
    let standalone = "network_id = 65001\n[account]\nissuer = \"rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De\"\n";
    assert_eq!(keys("standalone", standalone), ["sim.network_id"]);
    assert_eq!(
        keys("mainnet", "[sim]\ntape = \"x.csv\"\n[sim.faults]\nclawback_rlusd = 1\n"),
        ["sim.tape", "sim.faults"]
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/paper.toml");
    let shipped = Config::load(Some(&file), std::iter::empty(), &[]).unwrap().config;
    assert_eq!((shipped.session.mode.as_str(), shipped.network.kind), ("paper", NetworkKind::Mainnet));
}

#[test]
fn metrics_are_off_and_served_on_the_loopback_only() {
    assert_eq!(Config::default().metrics.listen, None);
    for address in ["127.0.0.1:9464", "127.8.8.8:0", "[::1]:9464"] {
        let listen = load(&format!("[metrics]\nlisten = \"{address}\"\n"), &[], &[]).unwrap().config.metrics.listen;
        assert_eq!(listen.unwrap().to_string(), address);
    }
    for address in ["0.0.0.0:9464", "192.168.1.2:9464", "[::]:9464"] {
        let problem = only(problems(&format!("[metrics]\nlisten = \"{address}\"\n")));
        assert!(problem.key == "metrics.listen" && problem.reason.contains("loopback only"), "{problem}");
    }
    assert_eq!(only(problems("[metrics]\nlisten = \"localhost\"\n")).key, "metrics.listen");
    let argv = load("[alerts]\ncommand = [\"a b\", \"$c\"]\n", &[], &[]).unwrap().config.alerts.command;
    assert_eq!(argv, ["a b", "$c"]);
}

#[test]
fn what_is_shown_and_recorded_loads_again() {
    let text = "[session]\nfor = \"90m\"\nspeed = \"max\"\n[quote]\nsize_xrp = 12.5\n[risk]\nmin_inventory_xrp = 3\n\
                [metrics]\nlisten = \"127.0.0.1:9464\"\n[alerts]\ncommand = [\"a\", \"b c\"]\n";
    let loaded = load(text, &[], &[("session.db", "dir/a.db")]).unwrap();
    for text in [loaded.render().unwrap(), loaded.config.to_toml().unwrap()] {
        assert_eq!(load(&text, &[], &[]).unwrap().config, loaded.config, "{text}");
    }
    assert_eq!(loaded.config.log_dir(), Path::new("dir"));
    let rendered = loaded.render().unwrap();
    let row = |key: &str| rendered.lines().find(|line| line.starts_with(key)).unwrap();
    assert!(row("session.db").contains("= \"dir/a.db\"") && row("session.db").ends_with("# --db"), "{rendered}");
    assert!(row("quote.levels").ends_with("# default") && row("# network.url").contains("(not set)"));
    let columns: BTreeSet<_> = rendered.lines().map(|line| line.find(" = ")).collect();
    assert_eq!(columns.len(), 1, "{rendered}");
    let json = loaded.to_json().unwrap();
    assert_eq!(json["settings"]["quote.size_xrp"]["value"], "12.5");
    assert_eq!(json["settings"]["session.db"]["origin"]["from"], "flag");
}

#[test]
fn the_example_file_is_the_defaults_of_a_newcomer() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sim.toml");
    let loaded = Config::load(Some(&path), std::iter::empty(), &[]).unwrap();
    let defaults = Config::load(None, std::iter::empty(), &[]).unwrap();
    assert_eq!(loaded.config, defaults.config);
    assert!(matches!(loaded.origins["quote.levels"], Origin::File { .. }), "the file shows what can be set");
}

proptest::proptest! {
    #[test]
    fn no_input_makes_loading_panic(text in "\\PC{0,200}", name in "NEO_[A-Z_.]{0,20}", value in "\\PC{0,40}",
                                    key in "(quote|session|sim)\\.[a-z_]{0,12}") {
        let outcome = load(&text, &[(&name, &value)], &[(&key, &value)]);
        if let Err(errors) = outcome {
            proptest::prop_assert!(!errors.0.is_empty());
        }
    }
}

#[test]
fn a_skew_that_the_band_would_refuse_is_a_mistake_only_with_a_target() {
    let text = "[quote]\nskew_bps = \"485\"\n";
    assert!(load(text, &[], &[]).is_ok(), "20 bps of offset and 485 of skew, but no target");
    let errors = load(&format!("{text}inventory_target_pct = \"50\"\n"), &[], &[]).unwrap_err();
    assert!(errors.to_string().contains("risk.price_band_bps") && errors.to_string().contains("the skew"), "{errors}");
    let errors = load("[quote]\ninventory_target_pct = 100\n", &[], &[]).unwrap_err();
    assert!(errors.to_string().contains("quote.inventory_target_pct"), "{errors}");
}

#[test]
fn the_example_of_a_model_can_be_used() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/glft.toml");
    let quote = Config::load(Some(&path), std::iter::empty(), &[]).unwrap().config.quote;
    assert_eq!((quote.strategy, quote.inventory_target_pct), (Strategy::Glft, Some(d("50"))));
}

#[test]
fn an_outside_price_that_is_not_read_is_told_of() {
    let set = |speed: &str, more: &str| {
        let text = format!(
            "[session]\nspeed = \"{speed}\"\n[price]\nsource = \"blend\"\n{more}\n[price.outside]\nfile = \"p.json\"\n"
        );
        load(&text, &[], &[]).unwrap()
    };
    let fast = set("max", "outside_weight = 1");
    assert!(fast.config.notices()[0].contains("outside_weight counts nothing"), "{:?}", fast.config.notices());
    assert!(fast.render().unwrap().starts_with("# note: the outside price is not read"));
    assert_eq!(fast.to_json().unwrap()["notices"][0], fast.config.notices()[0]);
    assert!(set("max", "outside_required = true").config.notices()[0].contains("keeps everything"));
    assert!(set("1", "outside_weight = 1").config.notices().is_empty());
}
