//! Ledger times as text.

use neo_ledger::LedgerTime;

const SECONDS_PER_DAY: i64 = 86_400;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Year, month, day, hour, minute and second of a time, UTC.
fn parts(time: LedgerTime) -> (i64, i64, i64, i64, i64, i64) {
    let unix_s = time.to_unix_s();
    let (days, second) = (unix_s.div_euclid(SECONDS_PER_DAY), unix_s.rem_euclid(SECONDS_PER_DAY));
    // Years that begin in March put the leap day at the end; 719,468 days lie between 0000-03-01 and 1970-01-01.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day, second / 3_600, second / 60 % 60, second % 60)
}

/// `2026-11-23T04:21:57Z`
#[must_use]
pub fn iso(time: LedgerTime) -> String {
    let (year, month, day, hour, minute, second) = parts(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `2026-Nov-23 04:21:45` and what is to follow, as rippled prints times.
#[must_use]
pub fn human(time: LedgerTime, fraction: &str) -> String {
    let (year, month, day, hour, minute, second) = parts(time);
    let name = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or("");
    format!("{year:04}-{name}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_a_node_prints_them() {
        assert_eq!(iso(LedgerTime(848_722_905)), "2026-11-23T04:21:45Z");
        assert_eq!(human(LedgerTime(848_722_905), "000000000"), "2026-Nov-23 04:21:45.000000000 UTC");
        assert_eq!(iso(LedgerTime(0)), "2000-01-01T00:00:00Z");
        assert_eq!(iso(LedgerTime(5_184_000 - 86_400)), "2000-02-29T00:00:00Z");
    }
}
