//! The numbers of removed rows as one text: where they begin is `first_seq`, and the text is a JSON array of the step from
//! each to the next, `[6,5,6]`. About two bytes a row; SQLite's `json_each` reads it too.

/// The steps between ascending numbers.
pub(crate) fn steps(numbers: &[i64]) -> String {
    let steps: Vec<String> = numbers.windows(2).map(|pair| (pair[1].saturating_sub(pair[0])).to_string()).collect();
    format!("[{}]", steps.join(","))
}

/// The numbers that a row of `thinned` names; `None` when its columns do not agree, so that it was not written so.
pub(crate) fn numbers(first: i64, last: i64, rows: i64, steps: &str) -> Option<Vec<i64>> {
    let steps: Vec<i64> = serde_json::from_str(steps).ok()?;
    let mut numbers = vec![first];
    for step in steps {
        let next = numbers.last()?.checked_add(step).filter(|_| step > 0)?;
        numbers.push(next);
    }
    let agrees = first > 0 && numbers.last() == Some(&last) && i64::try_from(numbers.len()) == Ok(rows);
    agrees.then_some(numbers)
}
