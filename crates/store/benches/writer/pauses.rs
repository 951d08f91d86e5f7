//! How long a checkpoint holds the writer up: with the passes that the writer makes by itself, and without.

use neo_store::checkpoint::PassLimits;
use neo_store::record::Record;
use neo_store::{Options, Writer};

use crate::Figure;
use crate::rows::{NO_PASSES, Running, fill, options};

/// Rows of one commit where a WAL of some size is wanted soon.
const GROUP: u32 = 64;
/// 60 seconds at 200 rows a second.
const MINUTE_ROWS: u32 = 12_000;

/// Commits in groups until `enough`; gives how many groups that took.
fn written(running: &Running, group: u32, mut enough: impl FnMut(&Writer, u32) -> bool) -> u32 {
    let mut groups = 0;
    while !enough(&running.writer, groups) {
        running.durably((groups * group..(groups + 1) * group).map(|n| Record::Fill(fill(n))).collect());
        groups += 1;
    }
    groups
}

fn shown_ms(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}

/// The same commits without and with the writer's own passes.
fn at_wal_size(mb: u64) -> Vec<Figure> {
    let without = Running::start(&Options { passes: NO_PASSES, ..options() });
    let groups = written(&without, GROUP, |writer, _| writer.wal_bytes() >= mb << 20);
    let alone = without.checkpoint();
    without.seal();
    let with = Running::start(&options());
    written(&with, GROUP, |_, made| made == groups);
    let timer = with.checkpoint();
    let (worst, count) = with.passes();
    with.seal();
    let passes = format!("{} ({count} passes before it, worst {})", shown_ms(timer.pause_us), shown_ms(worst));
    vec![
        Figure::new(format!("checkpoint's pause, {mb} MB of WAL, without passes"), shown_ms(alone.pause_us), ""),
        Figure::new(format!("checkpoint's pause, {mb} MB of WAL written, with passes"), passes, ""),
    ]
}

/// A row a commit, as many as come in a minute at 200 a second; not paced, because only the number of commits counts.
fn after_a_minute(passes: PassLimits, what: &str, aim: &'static str) -> Figure {
    let running = Running::start(&Options { passes, ..options() });
    written(&running, 1, |_, made| made == MINUTE_ROWS);
    let timer = running.checkpoint();
    let (worst, count) = running.passes();
    running.seal();
    let wal_mb = timer.wal_bytes >> 20;
    let figure =
        format!("{} ({count} passes before it, worst {}; WAL {wal_mb} MB)", shown_ms(timer.pause_us), shown_ms(worst));
    Figure::new(format!("checkpoint's pause after 12,000 commits of one row, {what}"), figure, aim)
}

/// All sizes, and the minute.
pub fn run() -> Vec<Figure> {
    let mut figures: Vec<Figure> = [1, 10, 100].into_iter().flat_map(at_wal_size).collect();
    figures.push(after_a_minute(PassLimits::default(), "with passes", "< 25 ms"));
    figures.push(after_a_minute(NO_PASSES, "without", ""));
    figures
}
