//! `neo verify`: is the record whole and true? What was found, one line each, with the next step.

use std::path::Path;

use anyhow::Result;
use neo_store::verify::{Check, Facts, Finding, Severity, Verification};
use serde::Serialize;

use crate::exit::ExitCode;
use crate::output::{Out, printable};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Verdict<'a> {
    /// `ok`, `findings` or `malformed`.
    verdict: &'static str,
    /// The file.
    db: &'a Path,
    #[serde(flatten)]
    verification: &'a Verification,
}

/// Verifies `db` and its backups: exit code 0 when nothing but notes was found, 1 for findings, 3 for a malformed file.
///
/// # Errors
/// [`neo_store::StoreError`] when the file is not ours or cannot be read, and what standard output refused.
pub fn run(db: &Path, json: bool, out: &mut Out) -> Result<ExitCode> {
    let verification = neo_store::verify(db)?;
    let (verdict, exit) = verdict_of(&verification);
    if json {
        out.json_line(&Verdict { verdict, db, verification: &verification })?;
    } else {
        for line in lines(db, &verification) {
            out.line(&printable(&line))?;
        }
    }
    Ok(exit)
}

fn verdict_of(verification: &Verification) -> (&'static str, ExitCode) {
    if verification.malformed {
        ("malformed", ExitCode::Database)
    } else if verification.is_clean() {
        ("ok", ExitCode::Clean)
    } else {
        ("findings", ExitCode::Failed)
    }
}

/// One line a check that found nothing, one a finding, and the verdict.
fn lines(db: &Path, verification: &Verification) -> Vec<String> {
    let Verification { malformed, findings, facts } = verification;
    let mut lines = Vec::new();
    for check in Check::ALL {
        let found: Vec<&Finding> = findings.iter().filter(|finding| finding.check == check).collect();
        if !found.is_empty() {
            lines.extend(found.into_iter().map(finding_line));
        } else if *malformed && check != Check::Wal {
            lines.push(format!("{:<12}  not checked: the file is malformed", check.as_str()));
        } else {
            lines.push(format!("{:<12}  ok{}", check.as_str(), detail(check, facts)));
        }
    }
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    lines.push(match verdict_of(verification).0 {
        "ok" => format!("{} is whole and true", db.display()),
        "malformed" => format!("{} is malformed; start no engine on it", db.display()),
        _ => format!("{}: {}, {}", db.display(), counted(errors, "error"), counted(warnings, "warning")),
    });
    lines
}

fn finding_line(finding: &Finding) -> String {
    format!("{:<12}  {}: {}", finding.check.as_str(), finding.severity.as_str(), finding.text)
}

fn detail(check: Check, facts: &Facts) -> String {
    match check {
        Check::Sequence => format!(" (1 to {})", facts.durable_seq),
        Check::Sessions => format!(" ({})", facts.sessions),
        Check::Fills => format!(" ({})", facts.fills),
        Check::Thinned => format!(" ({} rows)", facts.thinned),
        Check::Balances => format!(" ({} compared)", facts.balances_checked),
        Check::Backups => format!(" ({} readable)", facts.backups_readable),
        Check::Wal => format!(" ({} bytes)", facts.wal_bytes),
        Check::Integrity
        | Check::ForeignKeys
        | Check::Intents
        | Check::Orders
        | Check::Values
        | Check::Results
        | Check::MarkOuts
        | Check::Repairs => String::new(),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verification(severity: Option<Severity>, malformed: bool) -> Verification {
        let finding = |severity| Finding {
            check: Check::Sequence,
            severity,
            session: Some(3),
            text: "row 7 is missing".to_string(),
        };
        let facts = Facts { sessions: 2, rows: 90, durable_seq: 90, fills: 4, ..Facts::default() };
        Verification { malformed, findings: severity.map(finding).into_iter().collect(), facts }
    }

    #[test]
    fn the_exit_code_is_the_verdict() {
        for (severity, malformed, wanted) in [
            (None, false, ExitCode::Clean),
            (Some(Severity::Note), false, ExitCode::Clean),
            (Some(Severity::Warning), false, ExitCode::Failed),
            (Some(Severity::Error), false, ExitCode::Failed),
            (Some(Severity::Error), true, ExitCode::Database),
        ] {
            assert_eq!(verdict_of(&verification(severity, malformed)).1, wanted, "{severity:?} {malformed}");
        }
    }

    #[test]
    fn every_check_has_a_line_and_the_verdict_is_last() {
        let clean = lines(Path::new("x.db"), &verification(None, false));
        assert_eq!(clean.len(), Check::ALL.len() + 1);
        assert!(clean.contains(&"sequence      ok (1 to 90)".to_string()), "{clean:?}");
        assert_eq!(clean.last().map(String::as_str), Some("x.db is whole and true"));
        let found = lines(Path::new("x.db"), &verification(Some(Severity::Error), false));
        assert!(found.contains(&"sequence      error: row 7 is missing".to_string()), "{found:?}");
        assert_eq!(found.last().map(String::as_str), Some("x.db: 1 error, 0 warnings"));
    }

    #[test]
    fn json_is_one_flat_object() {
        let verification = verification(Some(Severity::Error), false);
        let json =
            serde_json::to_value(Verdict { verdict: "findings", db: Path::new("x.db"), verification: &verification });
        let json = json.unwrap();
        assert_eq!((&json["verdict"], &json["facts"]["rows"]), (&"findings".into(), &90.into()));
        let finding = &json["findings"][0];
        assert_eq!((&finding["check"], &finding["severity"]), (&"sequence".into(), &"error".into()));
    }
}
