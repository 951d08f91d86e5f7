//! Everything the command line prints goes through here, as values: a closed pipe or terminal never panics.
//!
//! `println!` and `eprintln!` panic when their reader is gone, and then a session would stay open.

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use serde::Serialize;

/// Where a command prints. A reader that closed its pipe has read what it wanted: that is no error, and what is printed
/// after it goes nowhere.
pub struct Out {
    sink: Box<dyn Write + Send>,
    reader_gone: bool,
}

impl Out {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Out {
        Out::to(Box::new(io::stdout()))
    }

    /// Standard error.
    #[must_use]
    pub fn stderr() -> Out {
        Out::to(Box::new(io::stderr()))
    }

    /// Any other place.
    #[must_use]
    pub fn to(sink: Box<dyn Write + Send>) -> Out {
        Out { sink, reader_gone: false }
    }

    /// Prints one line, or several if the text has line breaks in it, and flushes.
    ///
    /// # Errors
    /// What the system said, unless the reader closed the pipe.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        // One write for the whole line: lines of two processes on one terminal do not mix.
        self.text(&format!("{text}\n"))
    }

    /// Prints text as it is, without a line break after it, and flushes.
    ///
    /// # Errors
    /// As for [`Out::line`].
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        if self.reader_gone {
            return Ok(());
        }
        match self.sink.write_all(text.as_bytes()).and_then(|()| self.sink.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.reader_gone = true;
                Ok(())
            }
            other => other,
        }
    }

    /// Prints a value as one line of JSON.
    ///
    /// # Errors
    /// As for [`Out::line`]; a value that is no JSON is [`ErrorKind::InvalidData`].
    pub fn json_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        self.line(&text)
    }

    /// True once the reader closed its pipe.
    #[must_use]
    pub fn reader_gone(&self) -> bool {
        self.reader_gone
    }
}

/// How long the last words wait for somebody to read them.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Says something on standard error before the process ends, and waits half a second at most: a pipe may be full that
/// nobody reads. Where nobody hears it, the exit code still says it.
pub fn last_words(text: &str) {
    let (done, said) = bounded(1);
    let text = text.to_string();
    let speak = move || match Out::stderr().line(&text) {
        // The process does not wait for this thread: who asked may be gone.
        Ok(()) | Err(_) => done.try_send(()).is_ok(),
    };
    if thread::Builder::new().name("neo-last-words".to_string()).spawn(speak).is_ok()
        && said.recv_timeout(LAST_WORDS).is_err()
    {
        tracing::debug!("standard error does not take the last words");
    }
}

/// Text from outside (the node, a file, another process) made safe for a terminal and for one line: control characters
/// are written as escapes.
#[must_use]
pub fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_string();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
        if c.is_control() {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
        safe
    })
}

/// Rows as aligned columns, two spaces between them, without blanks at the end of a line. Columns whose number is in
/// `right` are aligned to the right. A row may have fewer cells than others.
#[must_use]
pub fn table(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::{Arc, Mutex};

    /// Keeps what is written where the test can see it.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_and_json_lines_end_with_a_line_break() {
        let sink = Shared::default();
        let mut out = Out::to(Box::new(sink.clone()));
        out.line("one").unwrap();
        out.json_line(&serde_json::json!({ "two": 2 })).unwrap();
        assert_eq!(*sink.0.lock().unwrap(), b"one\n{\"two\":2}\n");
    }

    #[test]
    fn a_real_pipe_whose_reader_left_is_no_error() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut out = Out::to(Box::new(writer));
        out.line("read").unwrap();
        let mut first = [0_u8; 5];
        reader.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"read\n");
        drop(reader);
        assert!(!out.reader_gone());
        out.line("nobody reads this").unwrap();
        assert!(out.reader_gone());
        out.line("nor this").unwrap();
    }

    #[test]
    fn other_errors_are_given_back() {
        // What a closed terminal says (EIO) and what a full disk says.
        for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
            let mut out = Out::to(Box::new(Broken(kind)));
            assert_eq!(out.line("text").unwrap_err().kind(), kind);
            assert!(!out.reader_gone());
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("plain – text"), "plain – text");
        assert_eq!(printable("a\x1b[2Jb\nc\u{9b}"), "a\\u{1b}[2Jb\\nc\\u{9b}");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["S".to_string(), "fills".into()], vec!["S10".into(), "7".into(), "x".into()], vec![]];
        assert_eq!(table(&rows, &[1]), ["S    fills", "S10      7  x", ""]);
        assert!(table(&[], &[]).is_empty());
    }
}
