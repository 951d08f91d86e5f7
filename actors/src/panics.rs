//! What panicked, where and how it got there: kept for the supervisor, whose fault rows tell it.
//!
//! The hook prints nothing: with the terminal gone, printing would panic again.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::panic::PanicHookInfo;
use std::time::Duration;

use parking_lot::Mutex;

/// Panics that are kept until the supervisor asks for them; of more, the first are the ones that tell why.
const KEPT: usize = 16;
/// How long a panic may wait for another to be kept.
const LOCK: Duration = Duration::from_millis(100);

thread_local! {
    static PART: Cell<Option<&'static str>> = const { Cell::new(None) };
}

static PANICS: Mutex<Vec<Panic>> = Mutex::new(Vec::new());

/// One panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// The actor or the thread.
    pub part: String,
    /// What it said, and the line.
    pub message: String,
    /// How it got there.
    pub backtrace: String,
}

/// Names the actor or the part of the engine that runs on this thread from now on.
pub fn set_part(name: &'static str) {
    PART.set(Some(name));
}

/// The part that runs on this thread, if it was named.
#[must_use]
pub fn part() -> Option<&'static str> {
    PART.get()
}

/// Runs `work` under another name and puts the name back, also after a panic.
pub fn named<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    struct Back(Option<&'static str>);
    impl Drop for Back {
        fn drop(&mut self) {
            PART.set(self.0);
        }
    }
    let _back = Back(PART.replace(Some(name)));
    work()
}

/// For the panic hook: keeps the panic and gives it back for the log.
#[must_use]
pub fn note(info: &PanicHookInfo<'_>) -> Panic {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let part = match (part(), thread.name()) {
        (Some(part), _) => part,
        (None, Some("neo-writer")) => "writer thread",
        (None, Some(name)) => name,
        (None, None) => "unnamed",
    };
    let panic = Panic {
        part: part.to_string(),
        message: format!("panicked at {place}: {}", message_of(info.payload())),
        backtrace: Backtrace::force_capture().to_string(),
    };
    if let Some(mut kept) = PANICS.try_lock_for(LOCK)
        && kept.len() < KEPT
    {
        kept.push(panic.clone());
    }
    panic
}

/// The oldest panic of this part that nobody has taken.
#[must_use]
pub fn take(part: &str) -> Option<Panic> {
    let mut kept = PANICS.try_lock_for(LOCK)?;
    let index = kept.iter().position(|panic| panic.part == part)?;
    Some(kept.remove(index))
}

/// The text of a panic; one without text says so.
#[must_use]
pub fn message_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_kept_under_the_name_of_its_part_with_its_backtrace() {
        std::panic::set_hook(Box::new(|info| {
            let panic = note(info);
            assert!(!panic.backtrace.is_empty());
        }));
        let thread = std::thread::spawn(|| {
            set_part("testing");
            let caught = std::panic::catch_unwind(|| named("inner", || panic!("one")));
            assert!(caught.is_err());
            panic!("two");
        });
        assert!(thread.join().is_err());
        let inner = take("inner").unwrap();
        assert!(inner.message.ends_with("one") && inner.message.contains("panics.rs"), "{}", inner.message);
        assert!(take("testing").unwrap().message.ends_with("two"));
        assert_eq!(take("testing"), None);
    }
}
