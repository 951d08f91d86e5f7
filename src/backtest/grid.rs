//! Which configurations are tried: `--grid KEY=VALUES`, crossed with one another or walked side by side. Pure.

use neo_market::Dec;

use crate::config::key_of;

/// Most runs that are begun: a run takes seconds.
pub const MOST_RUNS: usize = 10_000;
/// Most values of one key.
const MOST_VALUES: usize = 1_000;

/// A key and the values it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The whole key, such as `quote.bid_offset_bps`.
    pub key: String,
    /// Its values, as texts of a configuration.
    pub values: Vec<String>,
}

/// One configuration: a value for each key.
pub type Variant = Vec<(String, String)>;

impl Axis {
    /// Reads `KEY=VALUES`: `5..50:5` (both ends are in it), `5,10,20`, `fixed,glft`, or one value.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub fn parse(text: &str) -> Result<Axis, String> {
        let wrong = |why: String| {
            format!("--grid {text}: {why}; write KEY=FROM..TO:STEP or KEY=A,B,C, such as bid_offset_bps=5..50:5")
        };
        let (name, values) = text.split_once('=').ok_or_else(|| wrong("there is no =".to_string()))?;
        let key = key_of(name.trim()).map_err(wrong)?;
        let mut all = Vec::new();
        for part in values.split(',').map(str::trim) {
            match part.split_once("..") {
                None if part.is_empty() => return Err(wrong("a value is missing".to_string())),
                None => all.push(part.to_string()),
                Some((from, rest)) => all.extend(range(from, rest).map_err(wrong)?),
            }
        }
        if all.len() > MOST_VALUES {
            return Err(wrong(format!("{} values are more than {MOST_VALUES}", all.len())));
        }
        let mut seen = std::collections::BTreeSet::new();
        match all.iter().find(|value| !seen.insert(value.as_str())) {
            Some(twice) => Err(wrong(format!("{twice} is there twice"))),
            None => Ok(Axis { key, values: all }),
        }
    }

    /// The key without its section.
    #[must_use]
    pub fn name(&self) -> &str {
        short(&self.key)
    }
}

/// A key without its section.
#[must_use]
pub fn short(key: &str) -> &str {
    key.split_once('.').map_or(key, |(_, name)| name)
}

/// `FROM` and `TO:STEP`.
fn range(from: &str, rest: &str) -> Result<Vec<String>, String> {
    let number = |what: &str, text: &str| -> Result<Dec, String> {
        text.trim().parse().map_err(|_| format!("{what} is {:?}, which is no number", text.trim()))
    };
    let (to, step) = rest.split_once(':').ok_or_else(|| format!("the range {from}..{rest} has no :STEP"))?;
    let (from, to, step) = (number("FROM", from)?, number("TO", to)?, number("STEP", step)?);
    if !step.is_positive() {
        return Err(format!("the step is {step}, which gets nowhere"));
    }
    if to < from {
        return Err(format!("the range ends at {to}, before it begins at {from}"));
    }
    let (mut at, mut all) = (from, Vec::new());
    while at <= to {
        if all.len() == MOST_VALUES {
            return Err(format!("the range {from}..{to}:{step} has more than {MOST_VALUES} values"));
        }
        all.push(at.to_string());
        at = at.add(step).map_err(|error| error.to_string())?;
    }
    Ok(all)
}

/// All configurations of some axes: each value of one with each of the others, but those that are `paired` side by side.
///
/// # Errors
/// A pair that does not fit together, a key twice, or too many of them.
pub fn variants(axes: &[Axis], paired: Option<&str>) -> Result<Vec<Variant>, String> {
    for (at, axis) in axes.iter().enumerate() {
        if axes.iter().skip(at + 1).any(|other| other.key == axis.key) {
            return Err(format!("--grid {} is there twice; put all its values into one", axis.name()));
        }
    }
    let together = paired.map_or_else(|| Ok(Vec::new()), |names| pair(axes, names))?;
    // The pair stands where the first of it does.
    let mut groups: Vec<Vec<&Axis>> = Vec::new();
    for axis in axes {
        if together.first() == Some(&axis) {
            groups.push(together.clone());
        } else if !together.contains(&axis) {
            groups.push(vec![axis]);
        }
    }
    let lengths = groups.iter().map(|group| group.first().map_or(1, |axis| axis.values.len()));
    let count = lengths.fold(1_usize, usize::saturating_mul);
    if count > MOST_RUNS {
        return Err(too_many(count));
    }
    let mut all: Vec<Variant> = vec![Vec::new()];
    for group in groups {
        let steps = group.first().map_or(0, |axis| axis.values.len());
        let step = |at: usize| {
            let values = group.iter().filter_map(move |axis| Some((axis.key.clone(), axis.values.get(at)?.clone())));
            values.collect::<Variant>()
        };
        all = all
            .iter()
            .flat_map(|before| {
                (0..steps).map(|at| before.iter().cloned().chain(step(at)).collect()).collect::<Vec<_>>()
            })
            .collect();
    }
    Ok(all)
}

/// What is said of too many runs.
#[must_use]
pub fn too_many(count: usize) -> String {
    format!(
        "these are {count} runs, more than {MOST_RUNS}: take larger steps or fewer seeds, walk two keys side by side with \
         --paired, or search coarsely first and finely around the best"
    )
}

fn pair<'a>(axes: &'a [Axis], names: &str) -> Result<Vec<&'a Axis>, String> {
    let mut together: Vec<&Axis> = Vec::new();
    for name in names.split(',').map(str::trim) {
        let found: Vec<&Axis> =
            axes.iter().filter(|axis| axis.key == name || axis.name().starts_with(name) && !name.is_empty()).collect();
        match found[..] {
            [one] if !together.contains(&one) => together.push(one),
            [_] => return Err(format!("--paired {names}: {name} is there twice")),
            [] => return Err(format!("--paired {names}: {name:?} is no key of a --grid")),
            _ => return Err(format!("--paired {names}: {name:?} begins more than one key; write it whole")),
        }
    }
    let [first, rest @ ..] = &together[..] else { return Err("--paired names no key".to_string()) };
    if rest.is_empty() {
        return Err(format!("--paired {names}: name two keys or more, such as bid,ask"));
    }
    match rest.iter().find(|other| other.values.len() != first.values.len()) {
        Some(other) => Err(format!(
            "--paired {names}: {} has {} values and {} has {}; give them as many",
            first.name(),
            first.values.len(),
            other.name(),
            other.values.len()
        )),
        None => Ok(together),
    }
}

/// Seeds: `1..20` (both in it), `1,5,9` or one.
///
/// # Errors
/// What is wrong with them.
pub fn seeds(text: &str) -> Result<Vec<u64>, String> {
    let wrong = || format!("--seeds {text}: write 1..20, 1,5,9 or 7");
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim) {
        let ends = part.split_once("..").unwrap_or((part, part));
        let (Ok(from), Ok(to)) = (ends.0.parse::<u64>(), ends.1.parse::<u64>()) else { return Err(wrong()) };
        if from > to || to - from >= MOST_RUNS as u64 {
            return Err(wrong());
        }
        all.extend(from..=to);
    }
    let mut seen = std::collections::BTreeSet::new();
    if all.iter().all(|seed| seen.insert(*seed)) { Ok(all) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(text: &str) -> Axis {
        Axis::parse(text).unwrap()
    }

    #[test]
    fn ranges_hold_both_ends_and_steps_are_decimals() {
        assert_eq!(axis("bid_offset_bps=5..20:5").values, ["5", "10", "15", "20"]);
        assert_eq!(axis("quote.bid_offset_bps=0.1..0.35:0.1").values, ["0.1", "0.2", "0.3"]);
        assert_eq!(axis("levels=1, 2,4..6:1").values, ["1", "2", "4", "5", "6"]);
        assert_eq!(axis("price_band_bps=100").key, "risk.price_band_bps");
        assert_eq!(axis("session.seed=1,2").key, "session.seed");
    }

    #[test]
    fn a_grid_that_is_none_says_how_it_is_written() {
        for (text, why) in [
            ("bid_offset_bps", "there is no ="),
            ("bid_ofset_bps=5", "bid_offset_bps"),
            ("levels=", "a value is missing"),
            ("levels=1,,2", "a value is missing"),
            ("levels=1..x:1", "TO is \"x\""),
            ("levels=1..5", "no :STEP"),
            ("levels=1..5:0", "gets nowhere"),
            ("levels=5..1:1", "before it begins"),
            ("levels=1,1", "twice"),
            ("bid_offset_bps=0..1:0.0001", "more than 1000"),
        ] {
            let said = Axis::parse(text).unwrap_err();
            assert!(said.contains(why) && said.contains("FROM..TO:STEP"), "{text}: {said}");
        }
    }

    #[test]
    fn axes_are_crossed_and_a_pair_is_walked_side_by_side() {
        let axes = [axis("bid_offset_bps=5,10"), axis("levels=1,2,3"), axis("ask_offset_bps=6,12")];
        assert_eq!(variants(&axes, None).unwrap().len(), 12);
        let paired = variants(&axes, Some("bid,ask")).unwrap();
        assert_eq!(paired.len(), 6);
        let last: Vec<(&str, &str)> = paired[5].iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(last, [("quote.bid_offset_bps", "10"), ("quote.ask_offset_bps", "12"), ("quote.levels", "3")]);
        assert_eq!(variants(&[], None).unwrap(), [Vec::new()]);
        for (paired, why) in
            [("bid,levels", "give them as many"), ("bid", "two keys"), ("bid,bid", "twice"), ("bid,skew", "no key")]
        {
            assert!(variants(&axes, Some(paired)).unwrap_err().contains(why), "{paired}");
        }
        assert!(variants(&[axis("levels=1"), axis("quote.levels=2")], None).unwrap_err().contains("twice"));
        let many = [axis("bid_offset_bps=1..200:1"), axis("ask_offset_bps=1..200:1")];
        assert!(variants(&many, None).unwrap_err().contains("40000 runs, more than 10000"));
    }

    #[test]
    fn seeds_are_ranges_and_lists() {
        assert_eq!(seeds("1..3,7").unwrap(), [1, 2, 3, 7]);
        for wrong in ["", "3..1", "1,1", "x", "1..99999999"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
