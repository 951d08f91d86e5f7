//! What is said at the end.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

/// How one step fared.
pub enum Verdict {
    Passed,
    Failed(Failure),
    OutOfScope,
}

/// Why a step failed.
#[derive(Serialize)]
pub struct Failure {
    /// The file's name.
    pub file: String,
    /// The step's place in `steps`, from 0; none when the file as a whole cannot be run.
    pub step: Option<usize>,
    /// What differs.
    pub field: String,
    /// What was recorded.
    pub expected: Json,
    /// What the engine did.
    pub got: Json,
}

/// What became of a file's steps, with the type of each.
pub struct Outcome {
    /// False for an index.
    pub counts: bool,
    pub suite: String,
    pub verdicts: Vec<(String, Verdict)>,
}

/// How many steps.
#[derive(Clone, Copy, Default, Serialize)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub out_of_scope: usize,
}

impl Count {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::OutOfScope => self.out_of_scope += 1,
        }
    }
}

/// The run.
#[derive(Default, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub total: Count,
    by_suite: BTreeMap<String, Count>,
    by_type: BTreeMap<String, Count>,
    failures: Vec<Failure>,
    /// Recorded sequences.
    #[serde(skip)]
    pub files: usize,
    #[serde(skip)]
    clean: usize,
}

impl Report {
    /// Adds a file.
    pub fn add(&mut self, outcome: Outcome) {
        if !outcome.counts {
            return;
        }
        self.files += 1;
        let suite = self.by_suite.entry(outcome.suite).or_default();
        let before = self.total.failed;
        for (kind, verdict) in outcome.verdicts {
            self.total.add(&verdict);
            suite.add(&verdict);
            self.by_type.entry(kind).or_default().add(&verdict);
            if let Verdict::Failed(failure) = verdict {
                self.failures.push(failure);
            }
        }
        self.clean += usize::from(self.total.failed == before);
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        match serde_json::to_string(self) {
            Ok(text) => text + "\n",
            Err(error) => format!("{{\"error\":\"the report does not serialise: {error}\"}}\n"),
        }
    }

    /// Failures, then the tables.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for failure in &self.failures {
            let step = failure.step.map_or_else(String::new, |step| format!(" step {step}"));
            text += &format!("{}{step}: {}\n", failure.file, failure.field);
            text += &format!("    expected {}\n    got      {}\n", failure.expected, failure.got);
        }
        table(&mut text, "suite", &self.by_suite);
        table(&mut text, "transaction type", &self.by_type);
        let Count { passed, failed, out_of_scope } = self.total;
        text += &format!("{passed} passed, {failed} failed, {out_of_scope} out of scope; ");
        text += &format!("{} of {} files without a failure\n", self.clean, self.files);
        text
    }
}

fn table(text: &mut String, title: &str, rows: &BTreeMap<String, Count>) {
    *text += &format!("{title:<20} {:>8} {:>8} {:>13}\n", "passed", "failed", "out of scope");
    for (name, Count { passed, failed, out_of_scope }) in rows {
        *text += &format!("{name:<20} {passed:>8} {failed:>8} {out_of_scope:>13}\n");
    }
    text.push('\n');
}
