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

/// A recording in parts of a message or two each, with a trade in every ledger; the files of its parts.
fn in_parts(ledgers: u32) -> (Recording, Vec<(u32, std::path::PathBuf)>) {
    let mut recording = Recording::new(token(), None);
    let header = Header::new(0, "ws://node", None, token(), "2026-01-01T00:00:00Z".to_string());
    recording.series = Series::new(&recording.file(), header, Rotation { part_bytes: 1 << 30, keep: 0 });
    recording.closed(FIRST);
    recording.picture(FIRST, &[bid(2, 2_400).of(50)], &[ask(1, 2_500).of(1_000)]);
    let mut left = 1_000;
    for index in FIRST + 1..=FIRST + ledgers {
        if (index - FIRST).is_multiple_of(3) {
            // A part ends here, as it does when it is full: the run goes on in the next.
            recording.series.finish().unwrap();
            let header = Header::new(0, "ws://node", None, token(), "2026-01-01T00:00:00Z".to_string());
            recording.series = Series::new(&recording.file(), header, Rotation { part_bytes: 1 << 30, keep: 0 });
        }
        recording.closed(index);
        recording.tx(index, 0, &[ask(1, 2_500).taken(left, left - 1)]);
        left -= 1;
    }
    recording.closed(FIRST + ledgers + 1);
    recording.series.finish().unwrap();
    let parts = neo_ledger::recording::parts(&recording.file()).unwrap();
    (recording, parts)
}

fn span_of(recording: &Recording) -> (Span, Vec<String>) {
    let scenario = Scenario { recording: Some(recording.file()), ..Scenario::default() };
    Span::with_holes(&Origin::of(&scenario).unwrap(), 1).unwrap()
}

#[test]
fn full_parts_are_one_stream_in_order() {
    let (recording, parts) = in_parts(12);
    assert_eq!(parts.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let (span, holes) = span_of(&recording);
    assert_eq!((span.first, span.last, span.gaps, span.transactions), (FIRST, FIRST + 13, 0, 12));
    assert!(holes.is_empty(), "{holes:?}");
}

#[test]
fn a_missing_part_in_the_middle_is_told_and_is_a_gap() {
    let (recording, parts) = in_parts(12);
    std::fs::remove_file(&parts[2].1).unwrap();
    let (span, holes) = span_of(&recording);
    assert!(span.gaps > 0, "{span:?}");
    assert_eq!(holes.len(), 1, "{holes:?}");
    assert!(holes[0].starts_with("part 3 of the recording is missing"), "{holes:?}");
    // Those before the first that is there made room for the newer ones: that is no hole.
    for (_, path) in &parts[..2] {
        std::fs::remove_file(path).unwrap();
    }
    assert!(
        Origin::of(&Scenario { recording: Some(recording.file()), ..Scenario::default() }).unwrap().token().is_ok()
    );
}

#[test]
fn a_frame_that_is_torn_is_told_with_its_file() {
    for (part, last) in [(4, true), (2, false)] {
        let (recording, parts) = in_parts(12);
        let whole = std::fs::read(&parts[part].1).unwrap();
        std::fs::write(&parts[part].1, &whole[..whole.len() - 3]).unwrap();
        let (span, holes) = span_of(&recording);
        assert_eq!(holes.len(), 1, "{holes:?}");
        assert!(holes[0].contains("in the middle of a frame"), "{holes:?}");
        assert!(holes[0].starts_with(&parts[part].1.display().to_string()), "{holes:?}");
        assert!(last || span.gaps > 0, "{span:?}");
    }
}
