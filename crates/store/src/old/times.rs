//! Times as the predecessor wrote them: ISO 8601 in several forms, epoch seconds, milliseconds and finer, as numbers or
//! as text. A time is read together with its form, so that a new one can be written in the same form.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, TimeDelta, Utc};
use rusqlite::types::{Value, ValueRef};

/// No record of this market is older (the XRP Ledger began in 2012) or will be younger; a number outside is not a time
/// in the unit that it seems to have. The ledger's own epoch (seconds since 2000) falls outside, too.
const YEARS: std::ops::RangeInclusive<i32> = 2012..=2100;

/// What a time without a zone is taken to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zone(pub(crate) FixedOffset);

impl Zone {
    /// UTC, what SQLite's own CURRENT_TIMESTAMP writes.
    pub(crate) fn utc() -> Zone {
        Zone(FixedOffset::east_opt(0).unwrap_or(DateTime::<Utc>::UNIX_EPOCH.fixed_offset().timezone()))
    }

    /// `UTC`, `Z` or an offset such as `+02:00`.
    pub(crate) fn parse(text: &str) -> Option<Zone> {
        if text.eq_ignore_ascii_case("utc") {
            return Some(Zone::utc());
        }
        match suffix(text)? {
            Suffix::None => None,
            Suffix::Z => Some(Zone::utc()),
            Suffix::Offset { offset, .. } => Some(Zone(offset)),
        }
    }
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// `2026-04-18T19:21:19.123Z` and its like.
    Iso {
        /// Between date and time: `T`, `t` or a space.
        separator: char,
        /// Digits after the seconds; `None` where even the seconds are left out.
        fraction: Option<usize>,
        /// What stands at the end.
        suffix: Suffix,
    },
    /// A number since 1970.
    Epoch {
        /// Of what.
        unit: Unit,
        /// Stored as.
        storage: Storage,
    },
}

/// What stands at the end of an ISO time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Suffix {
    /// Nothing: the zone is not told.
    None,
    /// `Z`.
    Z,
    /// `+00:00`, `+0000` or `+00`.
    Offset {
        /// How far east.
        offset: FixedOffset,
        /// Hours and minutes have a colon between them.
        colon: bool,
        /// Minutes are written.
        minutes: bool,
    },
}

/// The unit of an epoch number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    const fn nanoseconds(self) -> i128 {
        match self {
            Unit::Seconds => 1_000_000_000,
            Unit::Milliseconds => 1_000_000,
            Unit::Microseconds => 1_000,
            Unit::Nanoseconds => 1,
        }
    }

    /// By size: for the years that are accepted, the units' ranges do not overlap.
    fn of(number: i128) -> Option<Unit> {
        [Unit::Seconds, Unit::Milliseconds, Unit::Microseconds, Unit::Nanoseconds]
            .into_iter()
            .find(|unit| moment(number.saturating_mul(unit.nanoseconds())).is_some())
    }
}

/// How an epoch number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Storage {
    Integer,
    /// Seconds with a fraction, as most languages' `time()` gives them.
    Real,
    /// Digits as text, with so many decimal places.
    Text {
        /// Digits after the point.
        places: usize,
    },
}

/// A time and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: DateTime<Utc>,
    pub(crate) form: Form,
}

impl Form {
    /// True when a time in this form does not tell its zone.
    pub(crate) fn is_zoneless(&self) -> bool {
        matches!(self, Form::Iso { suffix: Suffix::None, .. })
    }

    /// The time in this form. What the form cannot show is cut off, as a clock of that precision would have done.
    pub(crate) fn write(&self, at: DateTime<Utc>, zone: Zone) -> Value {
        match *self {
            Form::Iso { separator, fraction, suffix } => Value::Text(iso(at, zone, separator, fraction, suffix)),
            Form::Epoch { unit, storage } => epoch(at, unit, storage),
        }
    }
}

/// Reads a time; `None` for what is none.
pub(crate) fn read(value: ValueRef<'_>, zone: Zone) -> Option<Moment> {
    match value {
        ValueRef::Integer(number) => {
            let unit = Unit::of(i128::from(number))?;
            let at = moment(i128::from(number).checked_mul(unit.nanoseconds())?)?;
            Some(Moment { at, form: Form::Epoch { unit, storage: Storage::Integer } })
        }
        // Through its shortest text: the digits that were meant, without a float's own arithmetic.
        ValueRef::Real(number) => read_number(&number.to_string(), |_| Storage::Real),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes).ok()?.trim();
            read_number(text, |places| Storage::Text { places }).or_else(|| read_iso(text, zone))
        }
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

fn read_number(text: &str, storage: impl Fn(usize) -> Storage) -> Option<Moment> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i128 = whole.parse().ok()?;
    let unit = Unit::of(number)?;
    let mut nanoseconds = number.checked_mul(unit.nanoseconds())?;
    let mut place = unit.nanoseconds();
    for digit in fraction.bytes() {
        place /= 10;
        nanoseconds = nanoseconds.checked_add(i128::from(digit - b'0') * place)?;
    }
    let places = fraction.len();
    Some(Moment { at: moment(nanoseconds)?, form: Form::Epoch { unit, storage: storage(places) } })
}

fn read_iso(text: &str, zone: Zone) -> Option<Moment> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (digits(date, 0, 4)?, digits(date, 5, 7)?, digits(date, 8, 10)?);
    if date.as_bytes().get(4) != Some(&b'-') || date.as_bytes().get(7) != Some(&b'-') {
        return None;
    }
    let separator = rest.chars().next().filter(|c| matches!(c, 'T' | 't' | ' '))?;
    let clock = rest.get(1..)?;
    let end = clock.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')).unwrap_or(clock.len());
    let (clock, tail) = clock.split_at_checked(end)?;
    let suffix = suffix(tail.trim_start())?;
    let (hour, minute) = (digits(clock, 0, 2)?, digits(clock, 3, 5)?);
    let (second, fraction, nanosecond) = seconds(clock.get(5..)?)?;
    if clock.as_bytes().get(2) != Some(&b':') {
        return None;
    }
    let naive = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?
        .and_hms_nano_opt(hour, minute, second, nanosecond)?;
    let offset = match suffix {
        Suffix::None => zone.0,
        Suffix::Z => Zone::utc().0,
        Suffix::Offset { offset, .. } => offset,
    };
    let at = naive.and_local_timezone(offset).single()?.to_utc();
    YEARS.contains(&at.year()).then_some(Moment { at, form: Form::Iso { separator, fraction, suffix } })
}

/// `:SS` and its fraction: seconds, digits of the fraction, nanoseconds. Nothing at all is a time without seconds.
fn seconds(text: &str) -> Option<(u32, Option<usize>, u32)> {
    if text.is_empty() {
        return Some((0, None, 0));
    }
    if text.as_bytes().first() != Some(&b':') {
        return None;
    }
    let second = digits(text, 1, 3)?;
    let fraction = match text.get(3..)? {
        "" => "",
        more => more.strip_prefix(['.', ','])?,
    };
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanosecond = format!("{fraction:0<9}").parse().ok()?;
    Some((second, Some(fraction.len()), nanosecond))
}

fn suffix(text: &str) -> Option<Suffix> {
    match text {
        "" => return Some(Suffix::None),
        "Z" | "z" => return Some(Suffix::Z),
        _ => {}
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes, colon) = match text.len() {
        3 => (digits(text, 1, 3)?, None, false),
        5 => (digits(text, 1, 3)?, Some(digits(text, 3, 5)?), false),
        6 if text.as_bytes().get(3) == Some(&b':') => (digits(text, 1, 3)?, Some(digits(text, 4, 6)?), true),
        _ => return None,
    };
    let seconds = i32::try_from(hours * 3_600 + minutes.unwrap_or(0) * 60).ok()?;
    let offset = FixedOffset::east_opt(sign * seconds)?;
    Some(Suffix::Offset { offset, colon, minutes: minutes.is_some() })
}

fn digits(text: &str, from: usize, to: usize) -> Option<u32> {
    let part = text.get(from..to)?;
    if !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    part.parse().ok()
}

fn moment(nanoseconds: i128) -> Option<DateTime<Utc>> {
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
    let rest = i64::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?;
    let at = DateTime::from_timestamp(seconds, 0)?.checked_add_signed(TimeDelta::nanoseconds(rest))?;
    YEARS.contains(&at.year()).then_some(at)
}

fn iso(at: DateTime<Utc>, zone: Zone, separator: char, fraction: Option<usize>, suffix: Suffix) -> String {
    let offset = match suffix {
        Suffix::None => zone.0,
        Suffix::Z => Zone::utc().0,
        Suffix::Offset { offset, .. } => offset,
    };
    let local = at.with_timezone(&offset);
    let mut text = format!("{}{separator}{}", local.format("%Y-%m-%d"), local.format("%H:%M"));
    if let Some(places) = fraction {
        text.push_str(&local.format(":%S").to_string());
        if places > 0 {
            let nanoseconds = format!("{:09}", local.timestamp_subsec_nanos());
            text.push('.');
            text.push_str(nanoseconds.get(..places.min(9)).unwrap_or(&nanoseconds));
        }
    }
    match suffix {
        Suffix::None => {}
        Suffix::Z => text.push('Z'),
        Suffix::Offset { colon, minutes, .. } => {
            let whole = local.format(if colon { "%:z" } else { "%z" }).to_string();
            text.push_str(if minutes { &whole } else { whole.get(..3).unwrap_or(&whole) });
        }
    }
    text
}

fn epoch(at: DateTime<Utc>, unit: Unit, storage: Storage) -> Value {
    let nanoseconds = i128::from(at.timestamp()) * 1_000_000_000 + i128::from(at.timestamp_subsec_nanos());
    let whole = nanoseconds.div_euclid(unit.nanoseconds());
    let fraction = |places: usize| {
        let digits = (unit.nanoseconds().ilog10()) as usize;
        let rest = nanoseconds.rem_euclid(unit.nanoseconds());
        let text = if digits == 0 { String::new() } else { format!("{rest:0digits$}") };
        let text = format!("{text:0<places$}");
        text.get(..places).map_or_else(String::new, str::to_string)
    };
    match storage {
        Storage::Integer => Value::Integer(i64::try_from(whole).unwrap_or(i64::MAX)),
        Storage::Real => {
            // The nearest double to the decimal text; a time since 1970 keeps its microseconds.
            let text = format!("{whole}.{}", fraction(6));
            text.parse().map_or(Value::Text(text), Value::Real)
        }
        Storage::Text { places: 0 } => Value::Text(whole.to_string()),
        Storage::Text { places } => Value::Text(format!("{whole}.{}", fraction(places))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Option<Moment> {
        read(ValueRef::Text(text.as_bytes()), Zone::utc())
    }

    #[test]
    fn every_form_is_written_back_as_it_was_read() {
        for text in [
            "2026-04-18T19:21:19.123456",
            "2026-04-18T19:21:19",
            "2026-04-18 19:21:19",
            "2026-04-18 19:21",
            "2026-04-18T19:21:19Z",
            "2026-04-18T19:21:19.123Z",
            "2026-04-18T19:21:19.123456+00:00",
            "2026-04-18 21:21:19+0200",
            "2026-04-18 21:21:19+02",
            "2026-04-18T14:21:19.123456789-05:00",
            "1776540079",
            "1776540079123",
            "1776540079.123456",
        ] {
            let moment = read_text(text).unwrap_or_else(|| panic!("{text} is not read"));
            assert_eq!(moment.form.write(moment.at, Zone::utc()), Value::Text(text.to_string()), "{moment:?}");
            let difference = moment.at - read_text("2026-04-18T19:21:19Z").unwrap().at;
            assert!(difference.num_seconds().abs() <= 60, "{text} is {}", moment.at);
        }
    }

    #[test]
    fn numbers_are_told_apart_by_their_size() {
        let second = 1_776_540_079_i64;
        for (number, unit) in [
            (second, Unit::Seconds),
            (second * 1_000, Unit::Milliseconds),
            (second * 1_000_000, Unit::Microseconds),
            (second * 1_000_000_000, Unit::Nanoseconds),
        ] {
            let moment = read(ValueRef::Integer(number), Zone::utc()).unwrap();
            assert_eq!(moment.form, Form::Epoch { unit, storage: Storage::Integer });
            assert_eq!(moment.at.timestamp(), second);
            assert_eq!(moment.form.write(moment.at, Zone::utc()), Value::Integer(number));
        }
        let real = read(ValueRef::Real(1_776_540_079.123_456), Zone::utc()).unwrap();
        assert_eq!(real.form.write(real.at, Zone::utc()), Value::Real(1_776_540_079.123_456));
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in [
            "",
            "yesterday",
            "2026-04-18",
            "2026-13-18T19:21:19Z",
            "2026-04-18T25:21:19Z",
            "2026-04-18T19:21:19X",
            "2026-04-18T19:21:19.Z1",
            "2026/04/18 19:21:19",
            "12",
            "-1776540079",
            "1776540079.1.2",
            "1e9",
            "2026-04-1é 19:21:19",
            // The ledger's own epoch: seconds since 2000.
            "829855279",
            "0001-01-01T00:00:00Z",
        ] {
            assert_eq!(read_text(text), None, "{text}");
        }
        assert_eq!(read(ValueRef::Integer(i64::MAX), Zone::utc()), None);
        assert_eq!(read(ValueRef::Integer(i64::MIN), Zone::utc()), None);
        assert_eq!(read(ValueRef::Real(f64::NAN), Zone::utc()), None);
        assert_eq!(read(ValueRef::Real(f64::INFINITY), Zone::utc()), None);
        assert_eq!(read(ValueRef::Null, Zone::utc()), None);
    }

    #[test]
    fn a_time_without_a_zone_is_in_the_zone_that_was_given() {
        let zone = Zone::parse("+02:00").unwrap();
        let moment = read(ValueRef::Text(b"2026-04-18 21:21:19"), zone).unwrap();
        assert_eq!(moment.at, read_text("2026-04-18T19:21:19Z").unwrap().at);
        assert_eq!(moment.form.write(moment.at, zone), Value::Text("2026-04-18 21:21:19".to_string()));
        assert_eq!(Zone::parse("utc"), Some(Zone::utc()));
        assert_eq!((Zone::parse("Berlin"), Zone::parse("")), (None, None));
    }

    #[test]
    fn what_the_form_cannot_show_is_cut_off() {
        let at = read_text("2026-04-18T19:21:19.987654Z").unwrap().at;
        let seconds = Form::Epoch { unit: Unit::Seconds, storage: Storage::Integer };
        assert_eq!(seconds.write(at, Zone::utc()), Value::Integer(at.timestamp()));
        let millis = Form::Iso { separator: 'T', fraction: Some(3), suffix: Suffix::Z };
        assert_eq!(millis.write(at, Zone::utc()), Value::Text("2026-04-18T19:21:19.987Z".to_string()));
    }
}
