use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::time::SystemTime;

use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;

use super::*;

fn of_file(path: &Path) -> OutsideConfig {
    OutsideConfig { file: Some(path.display().to_string()), ..OutsideConfig::default() }
}

/// One look of a watcher at its source, and what it leaves for the feed.
fn look(watcher: &mut Watcher, heard_ms: u64) -> OutsideNews {
    let read = watcher.read();
    watcher.heard(read, heard_ms);
    watcher.slot.take().unwrap()
}

fn watcher(config: OutsideConfig) -> Watcher {
    Watcher::new(config, OutsideSlot::default())
}

#[test]
fn a_file_that_fails_leaves_the_price_before_which_grows_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("price.json");
    let mut watcher = watcher(of_file(&path));
    let absent = look(&mut watcher, 1_000);
    assert_eq!(absent.reading, None);
    assert!(absent.problem.unwrap().contains("price.json"));
    fs::write(&path, r#"{"price": 2.4}"#).unwrap();
    let good = look(&mut watcher, 2_000);
    assert_eq!(good.reading.unwrap().price, "2.4".parse().unwrap());
    assert_eq!((good.heard_ms, good.problem), (2_000, None));
    for bad in [r#"{"price": 2."#, r#"{"price": -1}"#, "", r#"{"bid": 1}"#, &"7".repeat(70_000)] {
        fs::write(&path, bad).unwrap();
        let torn = look(&mut watcher, 9_000);
        assert_eq!((torn.reading, torn.heard_ms), (good.reading, 2_000), "the last good one, with its age");
        assert!(torn.problem.is_some(), "{bad}");
        assert_eq!(torn.at(12_000).reading.unwrap().age_s, good.reading.unwrap().age_s + 10);
    }
    fs::write(&path, r#"{"price": 2.5}"#).unwrap();
    assert_eq!(look(&mut watcher, 9_500).problem, None);
    fs::remove_file(&path).unwrap();
    assert!(look(&mut watcher, 9_600).problem.is_some());
}

#[test]
fn a_file_that_nobody_writes_any_more_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("price.json");
    fs::write(&path, r#"{"price": 2.4}"#).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3_600)).unwrap();
    let age_s = look(&mut watcher(of_file(&path)), 0).reading.unwrap().age_s;
    assert!((3_599..3_700).contains(&age_s), "{age_s}");
    // One that claims to be of tomorrow would stay new for ever.
    file.set_modified(SystemTime::now() + Duration::from_secs(3_600)).unwrap();
    assert!(look(&mut watcher(of_file(&path)), 0).problem.unwrap().contains("ahead"));
}

/// A server that answers one question with this and closes; gives what it was asked.
fn served(answer: &'static [u8]) -> (Result<String, String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut piece = [0; 1_024];
        while !asked.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut piece).unwrap();
            asked.extend_from_slice(&piece[..count]);
        }
        stream.write_all(answer).unwrap();
        String::from_utf8(asked).unwrap()
    });
    let config = OutsideConfig { url: Some(format!("http://127.0.0.1:{port}/xrp?in=usd")), ..OutsideConfig::default() };
    let read = watcher(config).read().map(|reading| reading.price.to_string());
    (read, server.join().unwrap())
}

#[test]
fn a_local_server_is_asked_and_only_a_whole_answer_counts() {
    let (read, asked) =
        served(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"price\": 2.4}");
    assert_eq!(read, Ok("2.4".to_string()));
    assert!(asked.starts_with("GET /xrp?in=usd HTTP/1.0\r\nHost: 127.0.0.1:"), "{asked}");
    assert_eq!(served(b"HTTP/1.0 200 OK\r\n\r\n{\"price\": 2.4}").0, Ok("2.4".to_string()));
    for (answer, why) in [
        (b"HTTP/1.0 404 Not Found\r\n\r\n{\"price\": 2.4}".as_slice(), "status 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"price\": 2.4}", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{\"price\": 2.4}\r\n0\r\n\r\n", "chunks"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "broke off"),
        (b"", "broke off"),
        (b"{\"price\": 2.4}", "no HTTP"),
        (b"HTTP/1.0 200 OK\r\n\r\n\xff\xfe", "utf-8"),
    ] {
        let error = served(answer).0.unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let config = OutsideConfig { url: Some(url), ..OutsideConfig::default() };
    let error = http::get(&config.address().unwrap(), Duration::from_millis(20)).unwrap_err();
    assert!(error.to_string().contains("within 20 ms"), "{error}");
    drop(listener);
    assert!(http::get(&config.address().unwrap(), Duration::from_millis(500)).is_err(), "nobody is there");
}

/// The first news with a price that the thread leaves.
fn first(slot: &OutsideSlot) -> OutsideReading {
    let begun_ms = monotonic_ms();
    while monotonic_ms().saturating_sub(begun_ms) < 60_000 {
        if let Some(reading) = slot.take().and_then(|news| news.reading) {
            return reading;
        }
        std::thread::yield_now();
    }
    panic!("no price within a minute");
}

#[test]
fn the_thread_leaves_what_it_reads_for_the_feed() {
    assert!(start(&OutsideConfig::default(), OutsideSlot::default()).unwrap().is_none(), "nothing is configured");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("price.json");
    fs::write(&path, r#"{"price": "2.4"}"#).unwrap();
    let slot = OutsideSlot::default();
    let running = start(&of_file(&path), slot.clone()).unwrap();
    assert_eq!(first(&slot).price, "2.4".parse().unwrap());
    drop(running);
}

#[test]
fn a_websocket_is_listened_to() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let slot = OutsideSlot::default();
    let running = start(&OutsideConfig { url: Some(url), ..OutsideConfig::default() }, slot.clone()).unwrap();
    let socket = runtime.block_on(async {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
        socket.send(Message::text(r#"{"price": 2.41}"#)).await.unwrap();
        socket
    });
    assert_eq!(first(&slot).price, "2.41".parse().unwrap());
    drop((running, socket));
}
