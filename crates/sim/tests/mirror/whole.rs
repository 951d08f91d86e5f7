//! Recordings as files: parts, another pair, and none at all.

use neo_ledger::recording::{Header, Moment, Rotation, Series};
use neo_sim::{Node, Origin, Scenario, ScenarioError, Span};

use super::hand::*;

fn refused(scenario: &Scenario) -> String {
    match Node::new(scenario, 1) {
        Err(error @ (ScenarioError::Recording(_) | ScenarioError::Invalid(_))) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn what_cannot_be_mirrored_is_refused_with_what_to_do() {
    let mut recording = Recording::new(token(), None);
    recording.closed(FIRST);
    recording.closed(FIRST + 9);
    recording.series.finish().unwrap();
    let scenario = |file| Scenario { recording: Some(file), ..Scenario::default() };
    assert!(refused(&scenario(recording.file())).contains("record again"));
    let other = Scenario { issuer: Some(owner(1)), ..scenario(recording.file()) };
    assert!(refused(&other).contains(&format!("sim.issuer = \"{ISSUER}\"")), "{}", refused(&other));
    assert!(refused(&scenario(recording.folder.path().join("none"))).contains("there is no recording"));
    let both = Scenario { tape: Some("x".into()), ..scenario(recording.file()) };
    assert!(refused(&both).contains("recording"));
}

#[test]
fn the_parts_of_a_recording_are_one_and_another_run_is_a_gap() {
    let mut recording = Recording::new(token(), None);
    recording.closed(FIRST);
    recording.picture(FIRST, &[], &[ask(1, 2_500).of(50)]);
    recording.closed(FIRST + 1);
    recording.series.finish().unwrap();
    let header = Header::new(0, "ws://node", None, token(), "2026-01-02T00:00:00Z".to_string());
    recording.series = Series::new(&recording.file(), header, Rotation { part_bytes: 1 << 30, keep: 0 });
    recording.closed(FIRST + 2);
    recording.tx(FIRST + 2, 0, &[ask(1, 2_500).taken(50, 49)]);
    recording.closed(FIRST + 3);
    recording.series.tick(0).unwrap();
    let mut client = recording.replay(|_| {});
    assert_eq!(neo_ledger::recording::parts(&recording.file()).unwrap().len(), 2);
    let scenario = Scenario { recording: Some(recording.file()), ..Scenario::default() };
    let span = Span::of(&Origin::of(&scenario).unwrap(), 1).unwrap();
    assert_eq!((span.first, span.last, span.ledgers, span.transactions), (FIRST, FIRST + 3, 4, 1));
    assert_eq!(span.tail_close.0, 800_000_000 + (FIRST + 2) * 4);
    // Between two runs ledgers may be missing: nothing is traded until the next picture.
    assert_eq!(span.gaps, 3);
    client.close();
    client.close();
    assert_eq!(client.left_of_real(ask(1, 2_500)), 50);
    let _: Moment = Moment::default();
}
