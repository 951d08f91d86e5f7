//! Runs one file: each step against the core, beside the recorded state.

use std::path::Path;

use neo_sim::amendment::Amendments;
use neo_sim::apply::Rules;
use serde_json::{Value as Json, json};

use crate::compare::Difference;
use crate::input::{self, Content};
use crate::recording::{Env, Recording};
use crate::report::{Failure, Outcome, Verdict};
use crate::run::Run;

/// The type under which a file counts that cannot be run at all.
const WHOLE_FILE: &str = "(file)";

/// Runs a file. Whatever is wrong with it is a failure with its name.
pub fn file(path: &Path, metadata: bool) -> Outcome {
    let name = input::name(path);
    let suite = name.split("__").next().unwrap_or_default().to_string();
    let refused = |suite: String, reason: String| {
        let (expected, got) = (json!("a recorded sequence"), Json::String(reason));
        let failure = Failure { file: name.clone(), step: None, field: "file".to_string(), expected, got };
        Outcome { counts: true, suite, verdicts: vec![(WHOLE_FILE.to_string(), Verdict::Failed(failure))] }
    };
    let json = match input::read(path) {
        Ok(Content::Sequence(json)) => json,
        Ok(Content::Index) => return Outcome { counts: false, suite, verdicts: Vec::new() },
        Err(reason) => return refused(suite, reason),
    };
    let mut recording: Recording = match serde_json::from_value(json) {
        Ok(recording) => recording,
        Err(error) => return refused(suite, format!("is not in the form of a recorded sequence: {error}")),
    };
    let suite = if recording.suite.is_empty() { suite } else { recording.suite.clone() };
    let Some(rules) = rules(&recording.env) else {
        return refused(suite, "env: base_fee, reserve_base or reserve_increment is no number of drops".to_string());
    };
    let steps = std::mem::take(&mut recording.steps);
    let names = recording.accounts.into_iter().map(|(name, address)| (address, name)).collect();
    let mut run = Run::new(rules, names, suite.starts_with("rippled_"), metadata);
    let mut verdicts = Vec::new();
    for number in order(&steps) {
        let Some((kind, judged)) = steps.get(number).and_then(|step| run.step(number, step)) else { continue };
        let verdict = judged.unwrap_or_else(|Difference { field, expected, got }| {
            Verdict::Failed(Failure { file: name.clone(), step: Some(number), field, expected, got })
        });
        verdicts.push((kind, verdict));
        if run.broken {
            break;
        }
    }
    Outcome { counts: true, suite, verdicts }
}

/// The order in which steps are judged: as recorded, but a resubmission that was refused, which a recording may list
/// before the transaction that it repeats, comes after it.
fn order(steps: &[Json]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(steps.len());
    let mut waiting: Vec<usize> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let mut rest = steps.iter().skip(number + 1).take_while(|next| next["op"] == "submit");
        let repeats = |next: &Json| next["applied"] == true && next["hash"] == step["hash"];
        let refused = step["op"] == "submit" && step["applied"] == false && step["hash"].is_string();
        if refused && step.get("later_applied_in_ledger").is_none() && rest.any(repeats) {
            waiting.push(number);
            continue;
        }
        order.push(number);
        waiting.retain(|earlier| {
            let due = steps.get(*earlier).is_some_and(|earlier| earlier["hash"] == step["hash"]);
            if due {
                order.push(*earlier);
            }
            !due
        });
    }
    order
}

fn rules(env: &Env) -> Option<Rules> {
    let drops = |json: &Json| json.as_i64().or_else(|| json.as_str()?.parse().ok()).filter(|drops| *drops >= 0);
    Some(Rules {
        network_id: 0,
        base_fee_drops: drops(&env.base_fee)?,
        reserve_base_drops: drops(&env.reserve_base)?,
        reserve_inc_drops: drops(&env.reserve_increment)?,
        amendments: Amendments::default(),
    })
}
