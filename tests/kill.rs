//! The engine, killed with SIGKILL at random moments: what it had called durable is there, and every session is closed.
//!
//! 25 kills by default; `KILLS=1000 KILL_SEED=7` for more and for others. `scripts/kill-harness` runs it with progress.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![allow(clippy::print_stderr, reason = "progress of a long run")]
#![cfg(unix)]

mod engine;

use std::time::{Duration, Instant};

use engine::witness::{Said, Witness, missing, open};
use engine::{Engine, stderr, stdout};

/// Kills in one world and record before a new one begins.
const KILLS_PER_RECORD: u64 = 10;
/// The longest life of an engine that is to be killed.
const LIFE_MS: u64 = 2_500;
/// SplitMix64 (Steele, Lea, Flood 2014): moments that a seed repeats, as far as the machine does.
struct Moments(u64);

impl Moments {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

/// A session that checkpoints so often that some checkpoints are cut short.
fn start(engine: &Engine, speed: &str) -> Witness {
    Witness::start(engine, &["--speed", speed, "--set", "store.checkpoint_s=1"])
}

/// Sums over a run.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    /// Before the engine had told of a session.
    before_a_session: u64,
    /// While nothing was durable yet of the session.
    in_recovery: u64,
    /// Numbers that had been reported as durable by the engines at their deaths.
    reported: u64,
    fills: u64,
    sessions: u64,
    /// What was wrong.
    wrong: Vec<String>,
}

/// One record: killed again and again, with an orderly session after one or two kills.
fn one_record(speed: &str, kills: u64, moments: &mut Moments, tally: &mut Tally) {
    let engine = Engine::new();
    let mut left = kills;
    let mut durable_before = 0;
    while left > 0 {
        // One round in three kills the restart as well: it dies while it recovers, or just after.
        let deaths = if moments.below(3) == 0 { left.min(2) } else { 1 };
        let mut all_said = Vec::new();
        for death in 0..deaths {
            let victim = start(&engine, speed);
            // One in four dies in its first 300 ms, where it opens, recovers and connects.
            let life = if death > 0 || moments.below(4) == 0 { 300 } else { LIFE_MS };
            std::thread::sleep(Duration::from_millis(moments.below(life)));
            let said = victim.kill();
            tally.kills += 1;
            tally.before_a_session += u64::from(said.session.is_none());
            tally.in_recovery += u64::from(said.session.is_some() && said.durable_seq <= durable_before);
            tally.reported += said.durable_seq.saturating_sub(durable_before);
            durable_before = said.durable_seq.max(durable_before);
            all_said.push(said);
        }
        left -= deaths;
        let again = engine.neo("run", &["--for", "20s", "--speed", speed]);
        let wrong = examine(&engine, &all_said, &again);
        durable_before = durable_seq(&engine);
        if !wrong.is_empty() {
            let log = stderr(&again);
            let told = format!("speed {speed}, after {} kills, {all_said:?}: {wrong:#?}\n{log}", tally.kills);
            eprintln!("WRONG: {told}");
            tally.wrong.push(told);
            keep(&engine, tally.wrong.len());
            break;
        }
    }
    if let Ok(conn) = open(&engine) {
        tally.fills +=
            conn.query_row("SELECT count(*) FROM fills", [], |row| row.get::<_, u32>(0)).map_or(0, u64::from);
        tally.sessions +=
            conn.query_row("SELECT count(*) FROM sessions", [], |row| row.get::<_, u32>(0)).map_or(0, u64::from);
    }
}

/// What is wrong after the restart's end; nothing is what is wanted.
fn examine(engine: &Engine, all_said: &[Said], again: &std::process::Output) -> Vec<String> {
    let mut wrong = Vec::new();
    if again.status.code() != Some(0) {
        wrong.push(format!("the restart ended with {:?}", again.status.code()));
    }
    let verified = engine.neo("verify", &["--json"]);
    if verified.status.code() != Some(0) {
        wrong.push(format!("neo verify: {:?} {}{}", verified.status.code(), stdout(&verified), stderr(&verified)));
    }
    let Ok(conn) = open(engine) else { return vec!["the record cannot be opened".to_string()] };
    for said in all_said {
        wrong.extend(missing(&conn, said));
        let Some(session) = said.session else { continue };
        let sql = "SELECT coalesce(ended_at_source, 'open') || ' ' || coalesce(end_reason, 'open') FROM sessions
                   WHERE number = ?1";
        let end = conn.query_row(sql, [session], |row| row.get::<_, String>(0));
        if end.as_deref() != Ok("recovered crash") {
            wrong.push(format!("S{session} was killed; it is {end:?}"));
        }
    }
    let open: i64 =
        conn.query_row("SELECT count(*) FROM sessions WHERE ended_at IS NULL", [], |row| row.get(0)).unwrap();
    if open != 0 {
        wrong.push(format!("{open} sessions are open after the restart"));
    }
    wrong
}

fn durable_seq(engine: &Engine) -> u64 {
    let read =
        open(engine).and_then(|conn| conn.query_row("SELECT durable_seq FROM meta", [], |row| row.get::<_, i64>(0)));
    read.map_or(0, |seq| u64::try_from(seq).unwrap())
}

/// Keeps what is left of a record that something is wrong with, for whoever looks for the reason.
fn keep(engine: &Engine, number: usize) {
    let kept = std::env::temp_dir().join(format!("neo-kill-{}-{number}", std::process::id()));
    let copied = std::process::Command::new("cp").arg("-r").arg(engine.folder()).arg(&kept).status();
    eprintln!("the folder is kept in {}: {copied:?}", kept.display());
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn a_killed_engine_loses_nothing_that_it_called_durable_and_no_session_stays_open() {
    let (kills, seed) = (setting("KILLS", 25), setting("KILL_SEED", 1));
    let (mut moments, mut tally, started) = (Moments(seed), Tally::default(), Instant::now());
    for speed in ["max", "50"].into_iter().cycle() {
        let of_record = KILLS_PER_RECORD.min(kills - tally.kills);
        one_record(speed, of_record, &mut moments, &mut tally);
        eprintln!(
            "{} of {kills} kills in {} s: {} sessions, {} rows reported as durable, {} fills, {} wrong",
            tally.kills,
            started.elapsed().as_secs(),
            tally.sessions,
            tally.reported,
            tally.fills,
            tally.wrong.len()
        );
        if tally.kills >= kills {
            break;
        }
    }
    eprintln!(
        "summary: seed {seed}, {} kills ({} before a session was told, {} before a row of it was durable), \
         {} sessions, {} rows reported as durable by the engines that died, {} fills, {} wrong",
        tally.kills,
        tally.before_a_session,
        tally.in_recovery,
        tally.sessions,
        tally.reported,
        tally.fills,
        tally.wrong.len()
    );
    assert!(tally.wrong.is_empty(), "{:#?}", tally.wrong);
    // Engines that die before they trade prove nothing.
    assert!(tally.reported > 20 * kills, "{tally:?}");
}

/// The harness must be able to fail: with the log deleted, rows that were durable are gone.
#[test]
fn a_deleted_log_is_noticed() {
    let engine = Engine::new();
    let first = engine.neo("run", &["--for", "20s", "--speed", "max"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let victim = start(&engine, "max");
    // The pipe is the only clock: it has told of rows when the log has some.
    let mut wal = engine.db().into_os_string();
    wal.push("-wal");
    while std::fs::metadata(&wal).map_or(0, |wal| wal.len()) < 500_000 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = victim.kill();
    std::fs::remove_file(&wal).unwrap();
    let again = engine.neo("run", &["--for", "20s", "--speed", "max"]);
    let wrong = examine(&engine, &[said], &again);
    assert!(!wrong.is_empty());
    eprintln!("noticed: {wrong:#?}");
}
