//! What was asked for, and whether its moment has come. Debug builds only.

#![allow(clippy::panic, reason = "to panic is what it is for; release builds have none of it")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::{Injected, MOMENTS, Place};

/// The variable that asks for faults.
const VARIABLE: &str = "NEO_FAIL";

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Panic,
    Error,
    Freeze,
}

#[derive(Debug)]
struct Request {
    text: String,
    place: String,
    kind: Kind,
    from: usize,
    always: bool,
    done: AtomicBool,
}

static REQUESTS: OnceLock<Vec<Request>> = OnceLock::new();
static MOMENT: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn moment(name: &str) {
    if let Some(index) = MOMENTS.iter().position(|known| *known == name) {
        MOMENT.fetch_max(index, Ordering::SeqCst);
    }
}

pub(crate) fn hit(place: Place) -> Result<(), Injected> {
    let requests = REQUESTS.get_or_init(|| std::env::var(VARIABLE).map_or_else(|_| Vec::new(), |text| parse(&text)));
    let now = MOMENT.load(Ordering::SeqCst);
    let due = requests.iter().find(|request| {
        request.place == place.as_str()
            && now >= request.from
            && (request.always || !request.done.swap(true, Ordering::SeqCst))
    });
    let Some(request) = due else { return Ok(()) };
    match request.kind {
        Kind::Error => Err(Injected { request: request.text.clone() }),
        Kind::Panic => panic!("injected by {VARIABLE}={}", request.text),
        Kind::Freeze => loop {
            std::thread::sleep(Duration::from_secs(3_600));
        },
    }
}

/// A request that is not understood ends the test that made it: a fault that never comes would pass for a fault survived.
fn parse(text: &str) -> Vec<Request> {
    text.split(',').filter(|one| !one.is_empty()).map(one).collect()
}

fn one(text: &str) -> Request {
    let mut parts = text.split(':');
    let place = parts.next().unwrap_or_default().to_string();
    let kind = match parts.next() {
        Some("panic") => Some(Kind::Panic),
        Some("error") => Some(Kind::Error),
        Some("freeze") => Some(Kind::Freeze),
        _ => None,
    };
    let moment = parts.next().unwrap_or("start");
    let from = MOMENTS.iter().position(|known| *known == moment);
    let always = match parts.next() {
        None => Some(false),
        Some("always") => Some(true),
        Some(_) => None,
    };
    match (kind, from, always) {
        (Some(kind), Some(from), Some(always)) => {
            Request { text: text.to_string(), place, kind, from, always, done: AtomicBool::new(false) }
        }
        _ => panic!("{VARIABLE}={text} is not PLACE:KIND[:MOMENT[:always]]"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
    use super::*;

    #[test]
    fn requests_are_understood_or_refused_loudly() {
        let requests = parse("feed:panic,writer:error:quoting:always");
        assert_eq!((requests[0].place.as_str(), &requests[0].kind, requests[0].from), ("feed", &Kind::Panic, 0));
        assert_eq!((&requests[1].kind, requests[1].from, requests[1].always), (&Kind::Error, 1, true));
        for wrong in ["feed", "feed:crash", "feed:panic:never", "feed:panic:start:often"] {
            assert!(std::panic::catch_unwind(|| parse(wrong)).is_err(), "{wrong}");
        }
    }
}
