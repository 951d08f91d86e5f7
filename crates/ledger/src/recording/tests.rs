use std::io;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::types::Currency;

const BLOB: &str = "1200002200000000240000000361D4838D7EA4C6800000000000000000000000000055534400000000004B4E9C06F24296074F7BC48F92A97916C6DC5EA968400000000000000A";

fn header() -> Header {
    let issuer = "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De".parse().unwrap();
    let token = Token { currency: Currency::RLUSD, issuer };
    Header::new(0, "wss://user:secret@node.example/key?x=1", Some(issuer), token, "2026-11-27T00:00:00Z".to_string())
}

fn at(n: u64) -> Moment {
    Moment { unix_ms: 1_764_200_000_000 + i64::try_from(n).unwrap(), monotonic_us: n * 1_000_000 }
}

/// A part with a member every other message.
fn small() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for n in 0..6 {
        writer
            .message(at(n), 1, Direction::Recv, &format!("{{\"type\":\"ledgerClosed\",\"ledger_index\":{n}}}"))
            .unwrap();
    }
    writer.gap(at(6), "the disk refused", 3).unwrap();
    writer.finish().unwrap()
}

type Read = (Vec<Line>, Option<Cut>, Option<RecordingError>);

fn read(bytes: &[u8]) -> Result<Read, RecordingError> {
    let mut reader = Reader::new(bytes)?;
    let (mut lines, mut failed) = (Vec::new(), None);
    for line in reader.by_ref() {
        match line {
            Ok(line) => lines.push(line),
            Err(error) => failed = Some(error),
        }
    }
    let cut = reader.cut();
    Ok((lines, cut, failed))
}

#[test]
fn what_is_written_is_read_and_the_header_tells_no_secret() {
    let bytes = small();
    assert_eq!(Reader::new(&bytes[..]).unwrap().header(), &header());
    assert_eq!(header().url, "wss://node.example/...");
    let (lines, cut, failed) = read(&bytes).unwrap();
    assert!(cut.is_none() && failed.is_none());
    assert_eq!(lines.len(), 7);
    let first = What::Message {
        conn: 1,
        node: None,
        dir: Direction::Recv,
        payload: Payload::Json("{\"type\":\"ledgerClosed\",\"ledger_index\":0}".to_string()),
    };
    assert_eq!(lines[0], Line { at: at(0), what: first });
    assert_eq!(lines[6].what, What::Gap { reason: "the disk refused".to_string(), dropped: 3 });
}

#[test]
fn messages_of_another_node_than_the_headers_name_it() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    let of = |conn, node: &str| Source { conn, node: Some(node.into()) };
    writer.message(at(0), of(1, "wss://node.example/..."), Direction::Recv, "[1]").unwrap();
    writer.message(at(1), of(2, "wss://other.example:51233"), Direction::Recv, "[2]").unwrap();
    writer.message(at(2), of(2, "a \"quoted\" name"), Direction::Sent, "no JSON").unwrap();
    writer.message(at(3), 3, Direction::Recv, "[4]").unwrap();
    let (lines, ..) = read(&writer.finish().unwrap()).unwrap();
    let node = |line: &Line| match &line.what {
        What::Message { conn, node, .. } => (*conn, node.clone()),
        What::Gap { .. } => panic!("{line:?}"),
    };
    let named = |name: &str| Some(name.to_string());
    let nodes: Vec<_> = lines.iter().map(node).collect();
    let other = (2, named("wss://other.example:51233"));
    assert_eq!(nodes, [(1, None), other, (2, named("a \"quoted\" name")), (3, None)]);
}

#[test]
fn cut_at_every_byte_it_gives_a_prefix_and_says_where() {
    let bytes = small();
    let (all, ..) = read(&bytes).unwrap();
    let (mut lengths, mut uncut) = (std::collections::BTreeSet::new(), 0);
    for length in 0..bytes.len() {
        match read(&bytes[..length]) {
            Err(RecordingError::Empty) => assert!(lengths.is_empty(), "{length}"),
            Err(error) => panic!("{length}: {error}"),
            Ok((lines, cut, failed)) => {
                assert!(failed.is_none(), "{length}: {failed:?}");
                assert_eq!(lines[..], all[..lines.len()], "{length}");
                if let Some(cut) = cut {
                    assert!(cut.at < u64::try_from(length).unwrap(), "{length}: {cut:?}");
                    assert_eq!(cut.lines, u64::try_from(lines.len()).unwrap() + 1);
                }
                uncut += usize::from(cut.is_none());
                lengths.insert(lines.len());
            }
        }
    }
    assert_eq!(uncut, lengths.len(), "only between two members nothing is missing");
    // The header's member, and then one every two seconds.
    assert!(lengths.len() >= 3 && lengths.contains(&0), "{lengths:?}");
    // A disk that lost its power leaves zeros.
    let mut zeros = bytes.clone();
    zeros.extend([0; 4_096]);
    let (lines, cut, failed) = read(&zeros).unwrap();
    assert!(failed.is_none() && lines == all && cut.unwrap().at == u64::try_from(bytes.len()).unwrap());
}

#[test]
fn a_wrong_byte_is_named_and_never_read_as_something_else() {
    let bytes = small();
    let (all, ..) = read(&bytes).unwrap();
    for place in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[place] ^= 0x55;
        // Bytes of gzip's head that mean nothing may differ; else a prefix and a word about it.
        if let Ok((lines, cut, failed)) = read(&wrong) {
            assert_eq!(lines[..], all[..lines.len()], "{place}");
            assert!(lines.len() == all.len() || cut.is_some() || failed.is_some(), "{place}");
        }
    }
}

#[test]
fn other_files_and_other_versions_are_refused_by_name() {
    let told = |bytes: &[u8]| Reader::new(bytes).unwrap_err().to_string();
    assert!(told(b"t_ms,price\n").contains("no recording"), "{}", told(b"t_ms,price\n"));
    assert!(told(b"").contains("ends before"));
    let with = |change: fn(&mut Header)| {
        let mut header = header();
        change(&mut header);
        Writer::new(Vec::new(), &header).unwrap().finish().unwrap()
    };
    let newer = told(&with(|header| header.version = 2));
    assert!(newer.contains("version 2") && newer.contains("version 1"), "{newer}");
    assert!(told(&with(|header| header.format = "tape".into())).contains("neo-recording"));
}

#[test]
fn a_submitted_blob_is_named_by_its_hash() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    writer.message(at(0), 1, Direction::Sent, &crate::request::submit(9, BLOB, true)).unwrap();
    writer.message(at(0), 1, Direction::Recv, "not\njson").unwrap();
    writer.message(at(0), 1, Direction::Recv, " {\n \"a\": \"b\\nc\" }\r\n").unwrap();
    let (lines, ..) = read(&writer.finish().unwrap()).unwrap();
    let payload = |n: usize| match &lines[n].what {
        What::Message { payload, .. } => payload.clone(),
        What::Gap { .. } => panic!("{n}"),
    };
    let sent: serde_json::Value = serde_json::from_str(payload(0).as_str()).unwrap();
    assert!(sent.get("tx_blob").is_none(), "{sent}");
    assert_eq!(sent["tx_hash"], crate::codec::transaction_hash(BLOB).unwrap().to_string());
    assert_eq!((&sent["command"], &sent["id"]), (&"submit".into(), &9.into()));
    assert_eq!(payload(1), Payload::Text("not\njson".to_string()));
    assert_eq!(payload(2), Payload::Json("{  \"a\": \"b\\nc\" }".to_string()));
}

proptest! {
    #[test]
    fn any_text_comes_back(texts in proptest::collection::vec((".*", any::<bool>()), 0..20)) {
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        let mut expected = Vec::new();
        for (n, (text, json)) in texts.iter().enumerate() {
            let text = if *json { serde_json::to_string(text).unwrap() } else { text.clone() };
            writer.message(at(n as u64), n as u64, Direction::Recv, &text).unwrap();
            expected.push(text);
        }
        let (lines, cut, failed) = read(&writer.finish().unwrap()).unwrap();
        prop_assert!(cut.is_none() && failed.is_none());
        let texts: Vec<String> = lines.iter().map(|line| match &line.what {
            What::Message { payload: Payload::Text(text), .. } => text.clone(),
            What::Message { payload: Payload::Json(text), .. } => text.clone(),
            What::Gap { .. } => String::new(),
        }).collect();
        for (text, expected) in texts.iter().zip(&expected) {
            // Blanks around JSON are no part of it.
            prop_assert!(text == expected || text == expected.replace(['\n', '\r'], " ").trim_matches([' ', '\t']));
        }
        prop_assert_eq!(texts.len(), expected.len());
    }
}

fn read_series(file: &Path) -> Vec<(u32, Vec<Line>)> {
    let read_part = |(part, path): (u32, std::path::PathBuf)| {
        let bytes = std::fs::read(path).unwrap();
        let reader = Reader::new(&bytes[..]).unwrap();
        assert_eq!(reader.header().part, part);
        (part, reader.map(Result::unwrap).collect())
    };
    parts(file).unwrap().into_iter().map(read_part).collect()
}

#[test]
fn parts_follow_one_another_and_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    for (name, second) in [("rec.jsonl.gz", "rec.0002.jsonl.gz"), ("rec", "rec.0002"), ("a.b.gz", "a.b.0002.gz")] {
        assert_eq!(part_path(Path::new(name), 2), Path::new(second));
    }
    let file = folder.path().join("rec.jsonl.gz");
    for other in ["rec.2.jsonl.gz", "rec.0001.jsonl.gz", "rec.0002.gz", "xrec.0002.jsonl.gz", "rec.abcd.jsonl.gz"] {
        std::fs::write(folder.path().join(other), "another's").unwrap();
    }
    let rotation = Rotation { part_bytes: 600, keep: 0 };
    let mut series = Series::new(&file, header(), rotation);
    for n in 0..40 {
        series.message(at(n * 2), 1, Direction::Recv, &format!("[{n}]")).unwrap();
    }
    series.finish().unwrap();
    let read = read_series(&file);
    assert!(read.len() > 3, "{} parts", read.len());
    assert_eq!(series.written().len(), read.len());
    let lines: Vec<u64> =
        read.iter().flat_map(|(_, lines)| lines).map(|line| line.at.monotonic_us / 2_000_000).collect();
    assert_eq!(lines, (0..40).collect::<Vec<_>>());
    let on_disk: u64 = parts(&file).unwrap().iter().map(|(_, path)| std::fs::metadata(path).unwrap().len()).sum();
    assert_eq!(series.bytes(), on_disk);

    // Another run goes on behind them, and keeps two.
    let last = read.last().unwrap().0;
    let mut series = Series::new(&file, header(), Rotation { keep: 2, ..rotation });
    series.begin().unwrap();
    let left: Vec<u32> = parts(&file).unwrap().into_iter().map(|(part, _)| part).collect();
    assert_eq!(left, [last, last + 1]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2 + 5, "another's files stay");
}

#[test]
fn a_folder_that_is_not_there_is_an_error_and_a_part_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("later").join("rec.gz");
    let mut series = Series::new(&file, header(), Rotation { part_bytes: 1 << 20, keep: 0 });
    assert!(series.message(at(0), 1, Direction::Recv, "[0]").is_err());
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    series.gap(at(1), "the disk refused", 1).unwrap();
    series.finish().unwrap();
    assert_eq!(read_series(&file)[0].1.len(), 1);
}

/// Takes so many bytes and no more, as a full disk does: part of the last write is there.
struct Full {
    bytes: Vec<u8>,
    room: usize,
}

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room - self.bytes.len());
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_is_full_is_an_error_and_what_it_took_is_readable() {
    let whole = small();
    let mut full = Full { bytes: Vec::new(), room: whole.len() - 5 };
    let mut writer = Writer::new(&mut full, &header()).unwrap();
    let mut refused = None;
    for n in 0..40 {
        if let Err(error) = writer.message(at(n), 1, Direction::Recv, &format!("[{n}]")) {
            refused = Some(error.kind());
            break;
        }
    }
    assert_eq!(refused, Some(io::ErrorKind::StorageFull));
    drop(writer);
    let (lines, cut, failed) = read(&full.bytes).unwrap();
    assert!(!lines.is_empty() && cut.is_some() && failed.is_none(), "{lines:?} {cut:?} {failed:?}");
}
