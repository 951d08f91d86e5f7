//! The one thread that writes to standard output and standard error while the engine runs.
//!
//! Log lines, status lines and the status block share one terminal, and a terminal can stand still for ever (Ctrl-S, a
//! pipe that nobody reads). So nothing else writes there: everybody hands lines to this thread through a bounded queue
//! and goes on. What does not fit is counted, and the count is shown when there is room again.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use console::Term;
use crossbeam_channel::{Receiver, Sender, bounded};

/// Lines that can wait for the terminal.
const QUEUE: usize = 4_096;

enum Message {
    /// A line for standard output.
    Print(String),
    /// A line for standard error.
    Log(String),
    /// The status block from now on; no lines remove it.
    Block(Vec<String>),
    /// Answered when everything before it is written.
    Flush(Sender<()>),
}

/// Lines that nobody saw.
#[derive(Debug, Default)]
struct Counts {
    /// The queue was full.
    lost: AtomicU64,
    /// The terminal, the pipe or the file refused them.
    refused: AtomicU64,
}

/// Hands lines to the screen's thread. Never waits, except where it says so.
#[derive(Clone)]
pub struct Screen {
    sender: Sender<Message>,
    counts: Arc<Counts>,
    has_block: bool,
}

/// A terminal that a block can be drawn on and removed from.
pub(crate) trait BlockTerminal: Send {
    /// Writes lines below each other.
    fn draw(&mut self, lines: &[String]) -> io::Result<()>;
    /// Removes the last rows.
    fn erase(&mut self, rows: usize) -> io::Result<()>;
    /// Columns.
    fn width(&self) -> usize;
}

/// Where the screen writes.
pub(crate) struct Devices {
    /// Standard output.
    pub print: Box<dyn Write + Send>,
    /// Standard error; `None` shows no log lines.
    pub log: Option<Box<dyn Write + Send>>,
    /// The terminal for the block, if standard output is one.
    pub block: Option<Box<dyn BlockTerminal>>,
    /// True when log lines go to the same terminal as the block.
    pub log_shares_terminal: bool,
}

impl Devices {
    /// This process's standard output and, with `log`, standard error.
    pub(crate) fn standard(log: bool) -> Devices {
        let term = Term::buffered_stdout();
        let on_terminal = io::stdout().is_terminal() && !console::is_dumb();
        Devices {
            print: Box::new(io::stdout()),
            log: log.then(|| Box::new(io::stderr()) as Box<dyn Write + Send>),
            block: on_terminal.then(|| Box::new(term) as Box<dyn BlockTerminal>),
            log_shares_terminal: io::stderr().is_terminal(),
        }
    }
}

impl BlockTerminal for Term {
    fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        // A block higher than the terminal could not be removed again: what scrolled away is out of reach.
        let rows = usize::from(self.size().0).saturating_sub(1).max(1);
        for line in lines.iter().take(rows) {
            self.write_line(line)?;
        }
        self.flush()
    }

    fn erase(&mut self, rows: usize) -> io::Result<()> {
        let height = usize::from(self.size().0).saturating_sub(1).max(1);
        self.clear_last_lines(rows.min(height))?;
        self.flush()
    }

    fn width(&self) -> usize {
        usize::from(self.size().1)
    }
}

impl Screen {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system said when it could not start one.
    pub(crate) fn start(devices: Devices) -> io::Result<Screen> {
        let (sender, receiver) = bounded(QUEUE);
        let counts = Arc::new(Counts::default());
        let screen = Screen { sender, counts: Arc::clone(&counts), has_block: devices.block.is_some() };
        let painter = Painter { devices, counts, wanted: Vec::new(), drawn: Vec::new(), told_lost: 0 };
        thread::Builder::new().name("neo-screen".to_string()).spawn(move || painter.run(&receiver))?;
        Ok(screen)
    }

    /// Prints a line on standard output.
    pub fn print(&self, line: String) {
        self.hand(Message::Print(line));
    }

    /// Prints a line on standard error.
    pub fn log(&self, line: String) {
        self.hand(Message::Log(line));
    }

    /// Shows this block below everything else from now on; no lines remove it.
    pub fn block(&self, lines: Vec<String>) {
        self.hand(Message::Block(lines));
    }

    /// True when standard output is a terminal that a block can be drawn on.
    #[must_use]
    pub fn has_block(&self) -> bool {
        self.has_block
    }

    /// Lines that nobody saw: the terminal stood still, or refused them.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed).saturating_add(self.counts.refused.load(Ordering::Relaxed))
    }

    /// Waits until everything handed in so far is written, at most so long; false when it was not.
    #[must_use]
    pub fn flush(&self, at_most: Duration) -> bool {
        let (done, wait) = bounded(1);
        self.sender.send_timeout(Message::Flush(done), at_most).is_ok() && wait.recv_timeout(at_most).is_ok()
    }

    fn hand(&self, message: Message) {
        if self.sender.try_send(message).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Painter {
    devices: Devices,
    counts: Arc<Counts>,
    wanted: Vec<String>,
    drawn: Vec<String>,
    told_lost: u64,
}

impl Painter {
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(first) = receiver.recv() {
            let mut waiting = Vec::new();
            // Everything that waits is written before the block is drawn again: a burst of lines does not flicker.
            for message in std::iter::once(first).chain(receiver.try_iter().take(QUEUE)) {
                waiting.extend(self.on(message));
            }
            self.settle();
            for done in waiting {
                // The one who asked waited too long and is gone.
                if done.try_send(()).is_err() {
                    continue;
                }
            }
        }
    }

    fn on(&mut self, message: Message) -> Option<Sender<()>> {
        match message {
            Message::Print(line) => {
                self.erase();
                self.write(true, &line);
            }
            Message::Log(line) => {
                if self.devices.log_shares_terminal {
                    self.erase();
                }
                self.write(false, &line);
            }
            Message::Block(lines) => self.wanted = lines,
            Message::Flush(done) => return Some(done),
        }
        None
    }

    fn settle(&mut self) {
        let lost = self.counts.lost.load(Ordering::Relaxed);
        if lost > self.told_lost {
            let line = format!("{} lines are not shown: the terminal was too slow", lost - self.told_lost);
            self.told_lost = lost;
            if self.devices.log_shares_terminal {
                self.erase();
            }
            self.write(false, &line);
        }
        if self.drawn == self.wanted {
            return;
        }
        self.erase();
        let Some(block) = &mut self.devices.block else { return };
        if block.draw(&self.wanted).is_err() {
            self.block_refused();
            return;
        }
        self.drawn.clone_from(&self.wanted);
    }

    fn erase(&mut self) {
        let Some(block) = &mut self.devices.block else { return };
        if self.drawn.is_empty() {
            return;
        }
        // A terminal made narrower since has broken our lines into more rows.
        let width = block.width().max(1);
        let rows = self.drawn.iter().map(|line| line.chars().count().div_ceil(width).max(1)).sum();
        self.drawn.clear();
        if block.erase(rows).is_err() {
            self.block_refused();
        }
    }

    fn block_refused(&mut self) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        self.devices.block = None;
    }

    fn write(&mut self, print: bool, line: &str) {
        let sink = if print { Some(&mut self.devices.print) } else { self.devices.log.as_mut() };
        let Some(sink) = sink else { return };
        let whole = format!("{line}\n");
        if sink.write_all(whole.as_bytes()).and_then(|()| sink.flush()).is_err() {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            // The terminal is closed or the pipe has no reader: from now on lines are only counted.
            *sink = Box::new(Closed(Arc::clone(&self.counts)));
        }
    }
}

/// Stands in for a device that refused: counts lines.
struct Closed(Arc<Counts>);

impl Write for Closed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// What happened on the test's terminal, in order.
    #[derive(Clone, Default)]
    struct Tape(Arc<Mutex<Vec<String>>>);

    impl Tape {
        fn push(&self, text: String) {
            self.0.lock().unwrap().push(text);
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    struct Named(&'static str, Tape);

    impl Write for Named {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.push(format!("{} {}", self.0, String::from_utf8_lossy(bytes).trim_end()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Terminal(Tape, usize);

    impl BlockTerminal for Terminal {
        fn draw(&mut self, lines: &[String]) -> io::Result<()> {
            self.0.push(format!("draw {}", lines.join("|")));
            Ok(())
        }

        fn erase(&mut self, rows: usize) -> io::Result<()> {
            self.0.push(format!("erase {rows}"));
            Ok(())
        }

        fn width(&self) -> usize {
            self.1
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::Other.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn devices(tape: &Tape, width: usize) -> Devices {
        Devices {
            print: Box::new(Named("out", tape.clone())),
            log: Some(Box::new(Named("err", tape.clone()))),
            block: Some(Box::new(Terminal(tape.clone(), width))),
            log_shares_terminal: true,
        }
    }

    #[test]
    fn lines_never_tear_the_block() {
        let tape = Tape::default();
        let screen = Screen::start(devices(&tape, 80)).unwrap();
        screen.block(vec!["a".into(), "b".into()]);
        assert!(screen.flush(PATIENCE));
        screen.log("warning".into());
        assert!(screen.flush(PATIENCE));
        screen.block(Vec::new());
        assert!(screen.flush(PATIENCE));
        screen.print("summary".into());
        assert!(screen.flush(PATIENCE));
        let draws = tape.take();
        assert_eq!(draws, ["draw a|b", "erase 2", "err warning", "draw a|b", "erase 2", "draw ", "out summary"]);
        assert_eq!(screen.unseen(), 0);
    }

    #[test]
    fn a_narrower_terminal_shows_the_block_on_more_rows() {
        let tape = Tape::default();
        let screen = Screen::start(devices(&tape, 4)).unwrap();
        screen.block(vec!["123456789".into(), String::new()]);
        assert!(screen.flush(PATIENCE));
        screen.log("x".into());
        assert!(screen.flush(PATIENCE));
        assert!(tape.take().contains(&"erase 4".to_string()));
    }

    #[test]
    fn a_closed_terminal_turns_the_lines_off_and_counts_them() {
        let tape = Tape::default();
        let devices = Devices { log: Some(Box::new(Broken)), block: None, ..devices(&tape, 80) };
        let screen = Screen::start(devices).unwrap();
        for line in ["one", "two", "three"] {
            screen.log(line.into());
        }
        screen.print("still printed".into());
        assert!(screen.flush(PATIENCE));
        assert_eq!((screen.unseen(), tape.take()), (3, vec!["out still printed".to_string()]));
    }

    #[test]
    fn a_terminal_that_stands_still_stops_nobody() {
        /// Takes nothing until the test lets it.
        struct Stalled(Receiver<()>, Tape);
        impl Write for Stalled {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // An error means that the test let go for good.
                if self.0.recv().is_err() {
                    self.1.push(String::from_utf8_lossy(bytes).trim_end().to_string());
                }
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (let_go, gate) = bounded(0);
        let tape = Tape::default();
        let devices = Devices { log: Some(Box::new(Stalled(gate, tape.clone()))), block: None, ..devices(&tape, 80) };
        let screen = Screen::start(devices).unwrap();
        for number in 0..(3 * QUEUE) {
            screen.log(number.to_string());
        }
        assert!(screen.unseen() >= QUEUE as u64);
        assert!(!screen.flush(Duration::from_millis(1)));
        drop(let_go);
        assert!(screen.flush(PATIENCE));
        assert!(tape.take().iter().any(|line| line.contains("the terminal was too slow")));
    }
}
