//! One strand, once: back from what is wanted to the step that limits it, then forward from there (rippled,
//! `StrandFlow`).

use std::collections::BTreeSet;

use super::Stop;
use super::step::Step;
use super::view::View;
use crate::amount::{InOut, Value};
use crate::state::OfferKey;

/// What a strand came to. The view is left as the strand made it.
pub(super) struct Ran {
    /// What went through it.
    pub exchanged: InOut,
    /// True when it may not run again.
    pub inactive: bool,
}

/// Runs a strand for `wanted`, spending at most `most`; none when it is dry, and then the view is as before.
pub(super) fn run(
    strand: &mut [Step],
    view: &mut View<'_>,
    dead: &mut BTreeSet<OfferKey>,
    most: Option<Value>,
    wanted: Value,
) -> Result<Option<Ran>, Stop> {
    view.begin();
    match flow(strand, view, dead, most, wanted) {
        Ok(Some(exchanged)) => {
            let inactive = strand.iter().any(|step| step.is_inactive());
            Ok(Some(Ran { exchanged, inactive }))
        }
        Ok(None) | Err(Stop::Dry) => {
            view.fall_back();
            Ok(None)
        }
        Err(stop) => Err(stop),
    }
}

/// One step, with the one before it in sight.
fn at(
    strand: &mut [Step],
    place: usize,
    mut act: impl FnMut(&mut Step, Option<&Step>) -> Result<InOut, Stop>,
) -> Result<InOut, Stop> {
    let (before, rest) = strand.split_at_mut_checked(place).ok_or(Stop::Dry)?;
    let step = rest.first_mut().ok_or(Stop::Dry)?;
    act(step, before.last())
}

fn flow(
    strand: &mut [Step],
    view: &mut View<'_>,
    dead: &mut BTreeSet<OfferKey>,
    most: Option<Value>,
    wanted: Value,
) -> Result<Option<InOut>, Stop> {
    let steps = strand.len();
    // XRP goes from account to account by itself.
    if steps == 0 || (steps == 2 && strand.iter().all(|step| matches!(step, Step::Xrp(_)))) {
        return Ok(None);
    }
    let (mut limiting, mut limited_output) = (steps, wanted);
    let mut output = wanted;
    for place in (0..steps).rev() {
        let mut result = at(strand, place, |step, before| step.reverse(before, view, dead, output))?;
        if result.output.is_zero() {
            return Ok(None);
        }
        match most {
            Some(most) if place == 0 && most < result.input => {
                // More than may be spent: the first step limits, so forward from there.
                view.fall_back();
                result = at(strand, place, |step, before| step.forward(before, view, dead, most))?;
                if result.output.is_zero() || result.input != most {
                    return Ok(None);
                }
                (limiting, limited_output) = (place, result.output);
            }
            _ if result.output != output => {
                // This step has less: once more for what it has, with nothing done by those after it.
                view.fall_back();
                output = result.output;
                result = at(strand, place, |step, before| step.reverse(before, view, dead, output))?;
                if result.output.is_zero() || result.output != output {
                    return Ok(None);
                }
                (limiting, limited_output) = (place, result.output);
            }
            _ => {}
        }
        output = result.input;
    }
    let mut input = limited_output;
    for place in limiting.saturating_add(1)..steps {
        let result = at(strand, place, |step, before| step.forward(before, view, dead, input))?;
        if result.output.is_zero() || result.input != input {
            return Ok(None);
        }
        input = result.output;
    }
    let first = strand.first().and_then(|step| step.last_run());
    let last = strand.last().and_then(|step| step.last_run());
    Ok(first.zip(last).map(|(first, last)| InOut { input: first.input, output: last.output }))
}
