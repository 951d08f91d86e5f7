//! Which backups are kept: the last few, then one a day, then one a week. Pure.

use std::collections::BTreeSet;

use chrono::Datelike;

use super::BackupFile;

/// How many backups are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The newest ones; at least one is kept, whatever this says.
    pub last: u32,
    /// Of those older: the newest of each day (UTC), for so many days that have one.
    pub daily: u32,
    /// Of those older still: the newest of each ISO week, for so many weeks that have one.
    pub weekly: u32,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { last: 10, daily: 7, weekly: 4 }
    }
}

impl Retention {
    /// Those of `files`, in any order, that no rule keeps. A day or week that a kept newer backup lies in needs no other.
    #[must_use]
    pub fn surplus<'a>(&self, files: &'a [BackupFile]) -> Vec<&'a BackupFile> {
        let mut newest_first: Vec<&BackupFile> = files.iter().collect();
        newest_first.sort_by_key(|file| std::cmp::Reverse((file.taken_at, file.repeat)));
        let last = usize::try_from(self.last.max(1)).unwrap_or(usize::MAX).min(newest_first.len());
        let (kept, older) = newest_first.split_at(last);
        let day = |file: &BackupFile| file.taken_at.date_naive();
        let week = |file: &BackupFile| (file.taken_at.iso_week().year(), file.taken_at.iso_week().week());
        let mut days: BTreeSet<_> = kept.iter().map(|file| day(file)).collect();
        let mut weeks: BTreeSet<_> = kept.iter().map(|file| week(file)).collect();
        let (mut days_left, mut weeks_left) = (self.daily, self.weekly);
        let mut surplus = Vec::new();
        for file in older {
            if days_left > 0 && days.insert(day(file)) {
                days_left -= 1;
                weeks.insert(week(file));
            } else if days_left == 0 && weeks_left > 0 && weeks.insert(week(file)) {
                weeks_left -= 1;
            } else {
                surplus.push(*file);
            }
        }
        surplus
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};

    fn at(text: &str) -> BackupFile {
        let taken_at: DateTime<Utc> = format!("{text}:00Z").parse().unwrap();
        BackupFile { path: text.into(), name: text.into(), taken_at, repeat: 0, size: 1 }
    }

    fn removed(rules: (u32, u32, u32), taken: &[&str]) -> Vec<String> {
        let files: Vec<_> = taken.iter().map(|text| at(text)).collect();
        let rules = Retention { last: rules.0, daily: rules.1, weekly: rules.2 };
        rules.surplus(&files).into_iter().map(|file| file.name.clone()).collect()
    }

    #[test]
    fn each_rule_keeps_what_it_says() {
        // 2026-04-18 is a Saturday; 2026-04-13 the Monday before.
        let taken = [
            "2026-04-18T19:00",
            "2026-04-18T12:00",
            "2026-04-18T08:00",
            "2026-04-17T20:00",
            "2026-04-17T10:00",
            "2026-04-14T10:00",
            "2026-04-12T23:00",
            "2026-04-11T10:00",
            "2026-04-01T10:00",
            "2026-03-10T10:00",
        ];
        for (rules, expected) in [
            ((10, 0, 0), &[][..]),
            ((0, 0, 0), &taken[1..]),
            ((1, 0, 0), &taken[1..]),
            ((9, 0, 0), &taken[9..]),
            // The last two, then one each of the 17th and the 14th.
            ((2, 2, 0), &[taken[2], taken[4], taken[6], taken[7], taken[8], taken[9]][..]),
            // And one each of the two weeks before that have one.
            ((2, 2, 2), &[taken[2], taken[4], taken[7], taken[9]][..]),
            // Weeks alone: this week is there already.
            ((1, 0, 2), &[taken[1], taken[2], taken[3], taken[4], taken[5], taken[7], taken[9]][..]),
            ((2, 9, 9), &[taken[2], taken[4]][..]),
        ] {
            assert_eq!(removed(rules, &taken), expected, "{rules:?}");
        }
    }

    #[test]
    fn the_same_second_and_a_year_of_days() {
        let mut twice = [at("2026-04-18T19:00"), at("2026-04-18T19:00")];
        twice[0].repeat = 1;
        twice[0].name = "second".into();
        let surplus = Retention { last: 1, daily: 7, weekly: 4 }.surplus(&twice);
        assert_eq!(surplus.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["2026-04-18T19:00"]);

        // One a day for a year, pruned after each: what is left is bounded and reaches back over the weeks.
        let rules = Retention::default();
        let mut kept: Vec<BackupFile> = Vec::new();
        let first = at("2026-01-01T03:00");
        for day in 0..365 {
            kept.push(BackupFile { taken_at: first.taken_at + TimeDelta::days(day), ..first.clone() });
            let surplus: BTreeSet<_> = rules.surplus(&kept).into_iter().map(|file| file.taken_at).collect();
            kept.retain(|file| !surplus.contains(&file.taken_at));
        }
        assert_eq!(kept.len(), 10 + 7 + 4);
        let span = kept.last().unwrap().taken_at - kept[0].taken_at;
        assert!(span >= TimeDelta::days(16 + 3 * 7), "{span}");
        assert!(removed((3, 2, 1), &[]).is_empty());
    }
}
