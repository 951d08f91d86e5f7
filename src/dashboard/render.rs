//! The pictures: text from a status, nothing else.

use chrono::{DateTime, Utc};
use neo_actors::Status;
use neo_actors::status::{Phase, QuoteStatus};
use neo_market::{AmountError, Dec, Rounding, Side, bps_from_mid};

use crate::output::printable;

/// Columns of the labels.
const LABEL: usize = 11;
/// A ledger's age means something only when its close time is near the real time; a simulated one may be far from it.
const AGE_MAX_S: i64 = 3_600;
/// Shown for what is not known.
const UNKNOWN: &str = "-";

/// The status block: lines of at most `width` columns. `now` is the real time.
#[must_use]
pub fn render(status: &Status, width: usize, now: DateTime<Utc>) -> Vec<String> {
    let mid = mid(status);
    let rows = [
        (String::new(), heading(status, now)),
        ("ledger".to_string(), ledger(status, now)),
        ("market".to_string(), market(status, mid)),
        ("our bids".to_string(), quotes(status, Side::Bid, mid)),
        ("our asks".to_string(), quotes(status, Side::Ask, mid)),
        ("inventory".to_string(), inventory(status)),
        ("value".to_string(), value(status)),
        ("fills".to_string(), fills(status)),
        ("records".to_string(), records(status, now)),
    ];
    rows.iter().flat_map(|(label, parts)| wrap(label, parts, width)).collect()
}

/// The status in one line, for logs and pipes.
#[must_use]
pub fn plain_line(status: &Status) -> String {
    let best = |side| {
        let ours = status.quotes.iter().filter(move |quote| quote.side == side);
        ours.min_by_key(|quote| quote.level).map(|quote| quote.price)
    };
    let mut line = format!(
        "S{} ledger {}  bid {} ask {}  ours {} / {}  value {} RLUSD  fills {}/{}  {}",
        status.session,
        status.ledger_index,
        price(status.best_bid),
        price(status.best_ask),
        price(best(Side::Bid)),
        price(best(Side::Ask)),
        status.total_value_rlusd.map_or_else(|| UNKNOWN.to_string(), |value| format!("{value:.2}")),
        status.bid_fills,
        status.ask_fills,
        phase(status.phase),
    );
    if let Some(reason) = &status.withheld_reason {
        line.push_str(": ");
        line.push_str(&printable(reason));
    }
    line
}

fn heading(status: &Status, now: DateTime<Utc>) -> Vec<String> {
    let mut parts = vec![format!("S{} {}", status.session, printable(&status.mode)), phase(status.phase).to_string()];
    parts.extend(status.withheld_reason.as_deref().map(|reason| format!("({})", printable(reason))));
    parts.extend(status.started_at.map(|at| format!("running {}", clock((now - at).num_seconds()))));
    parts.push(format!("trading {}", clock(status.trading_s)));
    parts
}

fn ledger(status: &Status, now: DateTime<Utc>) -> Vec<String> {
    let Some(closed) = status.close_time else { return vec!["none yet".to_string()] };
    let age_s = (now - closed).num_seconds();
    let when = if age_s.abs() <= AGE_MAX_S {
        format!("{} s old", age_s.max(0))
    } else {
        format!("closed {}", closed.format("%Y-%m-%d %H:%M:%SZ"))
    };
    vec![status.ledger_index.to_string(), when]
}

fn market(status: &Status, mid: Option<Dec>) -> Vec<String> {
    let mut parts = vec![
        format!("bid {}", price(status.best_bid)),
        format!("ask {}", price(status.best_ask)),
        format!("mid {}", price(mid)),
    ];
    let reference = status.reference_price;
    parts.extend((reference != mid).then(|| format!("reference {}", price(reference))).filter(|_| reference.is_some()));
    parts
}

fn quotes(status: &Status, side: Side, mid: Option<Dec>) -> Vec<String> {
    let mut ours: Vec<&QuoteStatus> = status.quotes.iter().filter(|quote| quote.side == side).collect();
    ours.sort_by_key(|quote| quote.level);
    if ours.is_empty() {
        return vec!["none".to_string()];
    }
    let show = |quote: &&QuoteStatus| {
        let away = match mid.map(|mid| bps_from_mid(side, quote.price, mid)) {
            Some(Ok(bps)) => format!(" ({bps:.1} bps)"),
            Some(Err(_)) | None => String::new(),
        };
        format!("{}{away} {:.2} XRP", quote.price, quote.remaining_drops)
    };
    ours.iter().map(show).collect()
}

fn inventory(status: &Status) -> Vec<String> {
    let mut parts = vec![format!("{:.2} XRP", status.xrp_drops), format!("{:.2} RLUSD", status.rlusd)];
    parts.extend(xrp_share_pct(status).map(|share| format!("{share:.1} % in XRP")));
    parts
}

fn value(status: &Status) -> Vec<String> {
    let Some(total) = status.total_value_rlusd else { return vec!["not known: no mark price yet".to_string()] };
    let mut parts = vec![format!("{total:.2} RLUSD")];
    if let Some(Ok(change)) = status.starting_value_rlusd.map(|start| total.sub(start)) {
        parts.push(format!("{} since the start", signed(change)));
    }
    parts
}

fn fills(status: &Status) -> Vec<String> {
    vec![
        format!("{} bid", status.bid_fills),
        format!("{} ask", status.ask_fills),
        format!("{} in flight", status.in_flight),
        format!("{} failed", status.failed_transactions),
    ]
}

fn records(status: &Status, now: DateTime<Utc>) -> Vec<String> {
    let checkpoint = match status.last_checkpoint_at {
        Some(at) => {
            let ago = (now - at).num_seconds().max(0);
            let pause = status.last_checkpoint_pause_us.map(|us| format!(" ({}.{} ms)", us / 1_000, us % 1_000 / 100));
            format!("checkpoint {ago} s ago{}", pause.unwrap_or_default())
        }
        None => "no checkpoint yet".to_string(),
    };
    let mut parts = vec![
        format!("{} durable", status.durable_seq),
        format!("{} queued", status.queued_records),
        format!("WAL {}", bytes(status.wal_bytes)),
        checkpoint,
    ];
    if status.checkpoint_busy {
        parts.push("blocked by a reader".to_string());
    }
    parts
}

/// The middle of the others' best prices.
fn mid(status: &Status) -> Option<Dec> {
    let sum = status.best_bid?.add(status.best_ask?);
    // Prices too absurd to add have no middle to show.
    let Ok(mid) = sum.and_then(|sum| sum.div(Dec::from_i64(2), Rounding::HalfEven)) else { return None };
    Some(mid)
}

fn xrp_share_pct(status: &Status) -> Option<Dec> {
    let total = status.total_value_rlusd?;
    let share = |total: Dec| -> Result<Dec, AmountError> {
        let in_xrp = total.sub(status.rlusd)?;
        in_xrp.mul(Dec::from_i64(100), Rounding::HalfEven)?.div(total, Rounding::HalfEven)
    };
    // A total of zero has no shares.
    let Ok(share) = share(total) else { return None };
    Some(share)
}

pub(crate) fn signed(value: Dec) -> String {
    // Rounded first: a change of -0.001 is shown as +0.00.
    let rounded = value.round_places(2, Rounding::HalfEven).unwrap_or(value);
    if rounded.is_negative() { format!("{rounded:.2}") } else { format!("+{rounded:.2}") }
}

fn price(price: Option<Dec>) -> String {
    let rounded = price.map(|price| price.round_places(6, Rounding::HalfEven).unwrap_or(price));
    rounded.map_or_else(|| UNKNOWN.to_string(), |price| price.to_string())
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Quoting => "quoting",
        Phase::Withheld => "not quoting",
        Phase::Stopping => "stopping",
    }
}

/// Seconds as `1:02:03` or `2:03`.
fn clock(seconds: i64) -> String {
    let s = seconds.max(0);
    let (hours, minutes, seconds) = (s / 3600, s / 60 % 60, s % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

fn bytes(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", tenths(1_000)),
        _ => format!("{} MB", tenths(1_000_000)),
    }
}

/// A labelled row: as many parts a line as fit, the others below them. A part that does not fit a line is cut.
fn wrap(label: &str, parts: &[String], width: usize) -> Vec<String> {
    let indent = if label.is_empty() { 0 } else { LABEL };
    let mut lines = Vec::new();
    let mut line = format!("{label:<indent$}");
    let mut empty = true;
    for part in parts {
        let needed = line.chars().count() + part.chars().count() + if empty { 0 } else { 2 };
        if !empty && needed > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            empty = true;
        }
        if !empty {
            line.push_str("  ");
        }
        line.push_str(part);
        empty = false;
    }
    lines.push(line);
    lines.into_iter().map(|line| cut(line, width)).collect()
}

fn cut(line: String, width: usize) -> String {
    if line.chars().count() <= width {
        return line;
    }
    let mut short: String = line.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use neo_market::Drops;

    fn d(text: &str) -> Dec {
        text.parse().unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn quote(side: Side, level: u8, price: &str) -> QuoteStatus {
        QuoteStatus { side, level, price: d(price), remaining_drops: Drops::new(100_000_000) }
    }

    fn status() -> Status {
        Status {
            session: 39,
            mode: "sim".to_string(),
            started_at: Some(at("2026-04-18T19:00:00Z")),
            phase: Phase::Quoting,
            ledger_index: 96_120_384,
            close_time: Some(at("2026-04-18T19:12:01Z")),
            trading_s: 3_723,
            best_bid: Some(d("2.3991")),
            best_ask: Some(d("2.4009")),
            quotes: vec![
                quote(Side::Bid, 1, "2.3952"),
                quote(Side::Ask, 0, "2.4024"),
                quote(Side::Bid, 0, "2.3976"),
                quote(Side::Ask, 1, "2.4048"),
            ],
            in_flight: 2,
            xrp_drops: Drops::new(1_000_500_000),
            rlusd: d("2345.678"),
            total_value_rlusd: Some(d("4746.878")),
            starting_value_rlusd: Some(d("4750")),
            bid_fills: 3,
            ask_fills: 4,
            durable_seq: 1_234,
            wal_bytes: 1_250_000,
            last_checkpoint_at: Some(at("2026-04-18T19:11:51Z")),
            last_checkpoint_pause_us: Some(3_260),
            ..Status::default()
        }
    }

    const NOW: &str = "2026-04-18T19:12:03Z";

    #[test]
    fn the_block_says_everything_at_80_columns() {
        let block = render(&status(), 80, at(NOW));
        assert_eq!(
            block,
            [
                "S39 sim  quoting  running 12:03  trading 1:02:03",
                "ledger     96120384  2 s old",
                "market     bid 2.3991  ask 2.4009  mid 2.4",
                "our bids   2.3976 (10.0 bps) 100.00 XRP  2.3952 (20.0 bps) 100.00 XRP",
                "our asks   2.4024 (10.0 bps) 100.00 XRP  2.4048 (20.0 bps) 100.00 XRP",
                "inventory  1000.50 XRP  2345.68 RLUSD  50.6 % in XRP",
                "value      4746.88 RLUSD  -3.12 since the start",
                "fills      3 bid  4 ask  2 in flight  0 failed",
                "records    1234 durable  0 queued  WAL 1.2 MB  checkpoint 12 s ago (3.2 ms)",
            ]
        );
    }

    #[test]
    fn no_line_is_ever_wider_than_the_terminal() {
        let mut absurd = status();
        absurd.phase = Phase::Withheld;
        absurd.withheld_reason = Some("the book is crossed ".repeat(20));
        absurd.checkpoint_busy = true;
        absurd.best_bid = Some(d("9999999999999999e80"));
        absurd.rlusd = d("-9999999999999999e80");
        absurd.xrp_drops = Drops::new(i64::MIN);
        absurd.started_at = Some(at("9999-04-18T19:00:00Z"));
        absurd.trading_s = i64::MAX;
        absurd.wal_bytes = u64::MAX;
        for status in [status(), absurd, Status::default()] {
            for width in (0..=40).chain(41..=120) {
                for line in render(&status, width, at(NOW)) {
                    assert!(line.chars().count() <= width, "{width}: {line:?}");
                    assert!(!line.contains(char::is_control));
                }
            }
            assert!(!plain_line(&status).contains('\n'));
        }
    }

    #[test]
    fn nothing_is_cut_at_40_columns() {
        let block = render(&status(), 40, at(NOW));
        assert!(block.iter().all(|line| !line.contains('…')), "{block:#?}");
        let words = |lines: &[String]| lines.join(" ").split_whitespace().map(str::to_string).collect::<Vec<_>>();
        assert_eq!(words(&block), words(&render(&status(), 120, at(NOW))));
    }

    #[test]
    fn what_is_not_known_is_not_shown_as_a_number() {
        let block = render(&Status::default(), 80, at(NOW)).join("\n");
        for part in ["none yet", "bid -  ask -  mid -", "our bids   none", "not known", "no checkpoint yet"] {
            assert!(block.contains(part), "{part} in\n{block}");
        }
        assert!(!block.contains("% in XRP"));
    }

    #[test]
    fn a_simulated_close_time_is_shown_as_a_date() {
        let block = render(&status(), 80, at("2027-01-01T00:00:00Z"));
        assert_eq!(block[1], "ledger     96120384  closed 2026-04-18 19:12:01Z");
    }

    #[test]
    fn the_reason_for_not_quoting_is_shown() {
        let withheld = Status {
            phase: Phase::Withheld,
            withheld_reason: Some("no reference\x1b[2J price".to_string()),
            ..status()
        };
        assert!(render(&withheld, 120, at(NOW))[0].contains(r"not quoting  (no reference\u{1b}[2J price)"));
        assert!(plain_line(&withheld).ends_with(r"fills 3/4  not quoting: no reference\u{1b}[2J price"));
    }

    #[test]
    fn the_plain_line_names_our_nearest_quotes() {
        assert_eq!(
            plain_line(&status()),
            "S39 ledger 96120384  bid 2.3991 ask 2.4009  ours 2.3976 / 2.4024  value 4746.88 RLUSD  fills 3/4  quoting"
        );
    }

    #[test]
    fn signs_and_sizes() {
        assert_eq!([signed(d("-0.001")), signed(d("-0.01")), signed(d("5"))], ["+0.00", "-0.01", "+5.00"]);
        assert_eq!([bytes(999), bytes(4_130), bytes(1_999_999)], ["999 B", "4.1 kB", "1.9 MB"]);
        assert_eq!([clock(59), clock(3_600), clock(-5)], ["0:59", "1:00:00", "0:00"]);
    }
}
