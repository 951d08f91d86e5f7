//! A bar for what takes long, drawn on standard error where that is a terminal.

use std::io::{self, IsTerminal};

use crate::output::Out;

/// Cells of the bar.
const WIDTH: u64 = 30;

/// One line that is drawn over again.
pub struct Bar {
    out: Out,
    shown: bool,
    last: String,
    failed: Option<io::Error>,
}

impl Bar {
    /// A bar on standard error; none where nobody looks.
    #[must_use]
    pub fn stderr() -> Bar {
        Bar { out: Out::stderr(), shown: io::stderr().is_terminal(), last: String::new(), failed: None }
    }

    /// Draws what is being done, and how much of it is done where that is known. What the terminal refuses is told by
    /// [`Bar::clear`]: the work goes on without a bar.
    pub fn draw(&mut self, what: &str, done: u64, of: Option<u64>) {
        let line = line(what, done, of);
        if !self.shown || self.failed.is_some() || line == self.last {
            return;
        }
        if let Err(error) = self.out.text(&format!("\r\x1b[K{line}")) {
            self.failed = Some(error);
        }
        self.last = line;
    }

    /// Takes the bar away.
    ///
    /// # Errors
    /// What the terminal refused, the drawing included.
    pub fn clear(&mut self) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.shown && !self.last.is_empty() {
            self.last.clear();
            return self.out.text("\r\x1b[K");
        }
        Ok(())
    }
}

/// What is being done, and how much of it is done where that is known, as one line.
#[must_use]
pub fn line(what: &str, done: u64, of: Option<u64>) -> String {
    match of {
        Some(of @ 1..) => {
            let done = done.min(of);
            let full = done.saturating_mul(WIDTH) / of;
            let bar: String = (0..WIDTH).map(|cell| if cell < full { '#' } else { '.' }).collect();
            format!("[{bar}] {:>3} %  {what}", done.saturating_mul(100) / of)
        }
        _ if done > 0 => format!("{what}: {done} rows"),
        _ => what.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_how_much_is_done() {
        assert_eq!(line("reading fills", 15, Some(30)), "[###############...............]  50 %  reading fills");
        assert_eq!(line("reading fills", 31, Some(30)), format!("[{}] 100 %  reading fills", "#".repeat(30)));
        assert_eq!(line("reading fills", 7, None), "reading fills: 7 rows");
        assert_eq!(line("checking the backups", 0, Some(0)), "checking the backups");
    }
}
