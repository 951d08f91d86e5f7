use super::*;

fn text(value: &str) -> Cell {
    Cell::Text(value.to_string())
}

#[test]
fn fields_are_quoted_as_rfc_4180_says_and_the_unknown_differs_from_the_empty() {
    let mut line = String::new();
    csv_line(&[text("a,b"), text("say \"no\""), text("two\nlines"), text("\r"), Cell::Null, text("")], &mut line);
    assert_eq!(line, "\"a,b\",\"say \"\"no\"\"\",\"two\nlines\",\"\r\",,\"\"\n");
    line.clear();
    csv_line(&[text("2.401300000000001"), Cell::Integer(-12), Cell::Integer(i64::MAX)], &mut line);
    assert_eq!(line, "2.401300000000001,-12,9223372036854775807\n");
}

#[test]
fn a_json_line_keeps_the_order_and_decimals_as_text() {
    let names = ["seq", "rlusd", "detail"].map(ToString::to_string);
    let mut line = String::new();
    json_line(&names, &[Cell::Integer(7), text("0.100000000000000"), Cell::Null], &mut line).unwrap();
    json_line(&names, &[Cell::Integer(8), text("1"), text("a\"\n")], &mut line).unwrap();
    assert_eq!(
        line,
        "{\"seq\":7,\"rlusd\":\"0.100000000000000\",\"detail\":null}\n{\"seq\":8,\"rlusd\":\"1\",\"detail\":\"a\\\"\\n\"}\n"
    );
}

#[test]
fn a_file_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fills.csv");
    whole(&file, |sink| Ok(sink.write_all(b"whole\n")?)).unwrap();
    let error = whole(&file, |sink| {
        sink.write_all(b"ha")?;
        bail!("the disk is gone")
    });
    assert!(error.is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "whole\n", "the older one stays");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    whole(&file, |sink| Ok(sink.write_all(b"again\n")?)).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "again\n");
    assert!(whole(&folder.path().join("none/fills.csv"), |_| Ok(())).is_err());
}

#[test]
fn a_database_its_log_and_a_folder_are_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    for head in [&b"SQLite format 3\0rest"[..], &[0x37, 0x7f, 0x06, 0x83, 0], &[0x37, 0x7f, 0x06, 0x82, 0]] {
        let file = folder.path().join("neo.db");
        fs::write(&file, head).unwrap();
        let error = whole(&file, |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("is a database"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), head);
    }
    assert!(whole(folder.path(), |_| Ok(())).unwrap_err().to_string().contains("is no file"));
    let empty = folder.path().join("neo.db-wal");
    fs::write(&empty, "").unwrap();
    assert!(whole(&empty, |_| Ok(())).unwrap_err().to_string().contains("file of a record"));
}
