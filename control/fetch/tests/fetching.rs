//! Downloads against servers that behave and servers that do not.

mod kit;

use std::fs;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kiln_cas::Cas;
use kiln_fetch::{Answer, Event, FetchError, Fetcher, Options, PlaceFault, Progress, Wanted};
use kiln_model::{Digest, Fault, Faulty};
use kiln_parse::checksum::Checksum;
use kiln_parse::place;
use kit::{Reply, Server, dead};
use sha2::Digest as _;

const CLAY: &[u8] = b"stoneware fires at 1250 degrees, porcelain higher still";

struct Bench {
    folder: tempfile::TempDir,
    fetcher: Fetcher,
}

fn bench() -> Bench {
    bench_with(Options::default())
}

fn bench_with(options: Options) -> Bench {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
    let options = Options { backoff: Duration::ZERO, ..options };
    let fetcher = Fetcher::new(cas, options).expect("a fetcher");
    Bench { folder, fetcher }
}

impl Bench {
    fn cas(&self) -> &Cas {
        self.fetcher.cas()
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.cas().read_to_vec(&Digest::of(bytes), 1 << 30).is_ok_and(|found| found == bytes)
    }

    /// What an earlier download of CLAY got so far.
    fn leave(&self, bytes: &[u8]) {
        let part = self.cas().download(&Digest::of(CLAY), CLAY.len() as u64);
        let mut part = part.expect("begun").expect("not here");
        part.write_all(bytes).expect("written");
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.folder.path().join("blobs.v1/part")).expect("listed").count()
    }
}

fn wanted(bytes: &[u8], places: &[String]) -> Wanted {
    Wanted {
        name: "clay".into(),
        checksum: Checksum::Sha256(Digest::of(bytes)),
        size: Some(bytes.len() as u64),
        places: places.to_vec(),
    }
}

fn quiet() -> Progress {
    Arc::new(|_| {})
}

fn good(bytes: &'static [u8]) -> Server {
    Server::new(move |request| Reply::file(bytes, request))
}

#[tokio::test]
async fn a_file_is_fetched_once_and_then_it_is_here() {
    let (bench, server) = (bench(), good(CLAY));
    let file = wanted(CLAY, &[server.url("/clay")]);
    let first = bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
    assert_eq!(first.place, Some(server.url("/clay")));
    assert!(bench.holds(CLAY));
    let second = bench.fetcher.fetch(&file, &quiet()).await.expect("here");
    assert_eq!(second.place, None);
    assert_eq!(server.seen().len(), 1);
    assert!(server.seen()[0].header("user-agent").is_some_and(|agent| agent.starts_with("kiln/")));
}

#[tokio::test]
async fn a_file_of_this_machine_is_copied_and_a_folder_is_not_one() {
    let bench = bench();
    let path = bench.folder.path().join("clay with a space");
    fs::write(&path, CLAY).expect("written");
    let file = wanted(CLAY, &[place::of_file(&path)]);
    bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
    assert!(bench.holds(CLAY));

    let other = wanted(b"other", &[place::of_file(bench.folder.path())]);
    let error = bench.fetcher.fetch(&other, &quiet()).await.expect_err("a folder");
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

#[tokio::test]
async fn a_dead_mirror_is_passed_and_named() {
    let (bench, server) = (bench(), good(CLAY));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&heard);
    let progress: Progress = Arc::new(move |event| {
        if let Event::Blamed { blame, .. } = event {
            note.lock().expect("no panic").push(blame.clone());
        }
    });
    let gone = dead();
    let file = wanted(CLAY, &[format!("{gone}/clay"), server.url("/clay")]);
    bench.fetcher.fetch(&file, &progress).await.expect("fetched");
    let heard = heard.lock().expect("no panic");
    assert!(heard[0].contains(&gone) && heard[0].contains("refused"), "{heard:?}");
}

#[tokio::test]
async fn what_no_place_gives_names_every_place_and_what_it_said() {
    let bench = bench();
    let none = Server::new(|_| Reply::status(404));
    let gone = dead();
    let file = wanted(CLAY, &[none.url("/clay"), format!("{gone}/clay")]);
    let error = bench.fetcher.fetch(&file, &quiet()).await.expect_err("nobody has it");
    assert_eq!(error.fault(), Fault::Host);
    for part in ["404", "refused", &gone, "'clay'"] {
        assert!(error.to_string().contains(part), "{error} has not {part}");
    }
    // The dead one might come back; the one that has no such file is asked once.
    assert_eq!(none.seen().len(), 1);
}

#[tokio::test]
async fn a_repository_that_moved_on_gets_a_hint() {
    let bench = bench();
    let none = Server::new(|_| Reply::status(404));
    let file = wanted(CLAY, &[none.url("/clay")]);
    let error = bench.fetcher.fetch(&file, &quiet()).await.expect_err("gone");
    assert!(error.hint().is_some_and(|hint| hint.contains("target refresh")));
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again() {
    let bench = bench();
    let tries = Mutex::new(0);
    let server = Server::new(move |request| {
        let mut tries = tries.lock().expect("no panic");
        *tries += 1;
        if *tries < 3 { Reply::status(503) } else { Reply::file(CLAY, request) }
    });
    let file = wanted(CLAY, &[server.url("/clay")]);
    bench.fetcher.fetch(&file, &quiet()).await.expect("fetched at the third try");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn half_a_file_is_taken_up_where_it_ended() {
    let bench = bench();
    let server = Server::new(|request| match request.range() {
        None => Reply::Half(CLAY.to_vec(), 20),
        Some(_) => Reply::file(CLAY, request),
    });
    let file = wanted(CLAY, &[server.url("/clay")]);
    bench.fetcher.fetch(&file, &quiet()).await.expect("fetched in two parts");
    assert!(bench.holds(CLAY));
    let ranges: Vec<_> = server.seen().iter().map(kit::Request::range).collect();
    assert_eq!(ranges, [None, Some(20)]);
}

#[tokio::test]
async fn a_server_without_ranges_begins_anew() {
    let bench = bench();
    bench.leave(&CLAY[..10]);
    let server = Server::new(|_| Reply::ok(CLAY));
    let file = wanted(CLAY, &[server.url("/clay")]);
    bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
    assert!(bench.holds(CLAY));
    assert_eq!(server.seen()[0].range(), Some(10));
}

#[tokio::test]
async fn a_server_that_sends_another_part_than_was_asked_for_does_no_harm() {
    let bench = bench();
    bench.leave(&CLAY[..10]);
    let server = Server::new(|request| match request.range() {
        Some(_) => {
            let range = format!("bytes 3-{}/{}", CLAY.len() - 1, CLAY.len());
            Reply::Plain(206, vec![("Content-Range", range)], CLAY[3..].to_vec())
        }
        None => Reply::ok(CLAY),
    });
    let file = wanted(CLAY, &[server.url("/clay")]);
    bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
    assert!(bench.holds(CLAY));
}

#[tokio::test]
async fn a_wrong_start_that_one_mirror_left_is_not_held_against_the_next() {
    let bench = bench();
    bench.leave(b"earthenware");
    let server = good(CLAY);
    let file = wanted(CLAY, &[server.url("/clay")]);
    bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
    assert!(bench.holds(CLAY));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn wrong_bytes_are_a_breach_that_names_the_place_and_leaves_nothing() {
    let bench = bench();
    let mut evil = CLAY.to_vec();
    evil[0] ^= 1;
    let server = Server::new(move |_| Reply::ok(evil.clone()));
    let file = wanted(CLAY, &[server.url("/clay")]);
    let error = bench.fetcher.fetch(&file, &quiet()).await.expect_err("wrong bytes");
    assert_eq!(error.fault(), Fault::Breach);
    assert!(error.to_string().contains("wrong bytes"), "{error}");
    assert!(error.to_string().contains(&server.url("/clay")), "{error}");
    assert!(!bench.cas().has(&Digest::of(CLAY)));
    assert_eq!(bench.leftovers(), 0);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_honest_mirror_makes_up_for_one_that_lies() {
    let bench = bench();
    let liar = Server::new(|_| Reply::ok(vec![b'x'; CLAY.len()]));
    let server = good(CLAY);
    let file = wanted(CLAY, &[liar.url("/clay"), server.url("/clay")]);
    bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
    assert!(bench.holds(CLAY));
}

#[tokio::test]
async fn an_endless_body_ends_at_the_announced_size() {
    let bench = bench();
    let server = Server::new(|_| Reply::Endless);
    let file = wanted(CLAY, &[server.url("/clay")]);
    let error = bench.fetcher.fetch(&file, &quiet()).await.expect_err("endless");
    assert!(error.to_string().contains("more than 55 bytes"), "{error}");

    let unannounced = Wanted { size: None, ..file };
    let bench = bench_with(Options { unannounced_cap: 1 << 20, ..Options::default() });
    let error = bench.fetcher.fetch(&unannounced, &quiet()).await.expect_err("endless");
    assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
    assert_eq!(bench.leftovers(), 0);
}

#[tokio::test]
async fn another_size_than_announced_is_refused_before_a_byte_is_read() {
    let bench = bench();
    let server = Server::new(|_| Reply::Half(vec![0; 1 << 20], 0));
    let file = wanted(CLAY, &[server.url("/clay")]);
    let error = bench.fetcher.fetch(&file, &quiet()).await.expect_err("another size");
    assert!(error.to_string().contains("1048576 bytes instead of 55"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_and_loops_are_not() {
    let bench = bench();
    let server = Server::new(|request| match &*request.path {
        "/once" => Reply::redirect("/clay"),
        "/clay" => Reply::ok(CLAY),
        _ => Reply::redirect("/loop"),
    });
    let file = wanted(CLAY, &[server.url("/loop"), server.url("/once")]);
    bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
    assert_eq!(server.count("/loop"), 6);

    let error = bench.fetcher.get(&server.url("/loop"), 100, None).await.expect_err("a loop");
    assert!(matches!(error.fault, PlaceFault::Redirect(_)), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let options =
        Options { stall_timeout: Duration::from_millis(50), rounds: 1, ..Options::default() };
    let bench = bench_with(options);
    let server = Server::new(|_| Reply::Silence);
    let file = wanted(CLAY, &[server.url("/clay")]);
    let error = bench.fetcher.fetch(&file, &quiet()).await.expect_err("silence");
    assert!(error.to_string().contains("too slow"), "{error}");
}

#[tokio::test]
async fn sha512_alone_is_enough_and_is_checked() {
    let (bench, server) = (bench(), good(CLAY));
    let sum = Checksum::Sha512(sha2::Sha512::digest(CLAY).into());
    let file = Wanted { checksum: sum, ..wanted(CLAY, &[server.url("/clay")]) };
    let fetched = bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
    assert_eq!(fetched.digest, Digest::of(CLAY));
    assert!(bench.holds(CLAY));

    let other = Checksum::Sha512(sha2::Sha512::digest(b"glaze").into());
    let file = Wanted { checksum: other, ..file };
    let error = bench.fetcher.fetch(&file, &quiet()).await.expect_err("wrong bytes");
    assert_eq!(error.fault(), Fault::Breach);
    assert_eq!(bench.leftovers(), 0);
}

#[tokio::test]
async fn many_files_come_in_their_order_and_each_once() {
    let bench = bench();
    let server = Server::new(|request| Reply::file(request.path.as_bytes(), request));
    let mut files: Vec<Wanted> = (0..50)
        .map(|n| {
            let path = format!("/{n}");
            wanted(path.as_bytes(), &[server.url(&path)])
        })
        .collect();
    files.push(files[7].clone());
    let fetched = bench.fetcher.fetch_all(&files, &quiet()).await.expect("fetched");
    assert_eq!(fetched.len(), 51);
    assert_eq!(fetched[50], fetched[7]);
    assert_eq!(fetched[49].digest, Digest::of(b"/49"));
    assert_eq!(server.seen().len(), 50);
}

#[tokio::test]
async fn one_that_nobody_has_ends_the_rest() {
    let bench = bench();
    let server = Server::new(|request| match &*request.path {
        "/3" => Reply::status(404),
        path => Reply::ok(path),
    });
    let files: Vec<Wanted> = (0..10)
        .map(|n| wanted(format!("/{n}").as_bytes(), &[server.url(&format!("/{n}"))]))
        .collect();
    let error = bench.fetcher.fetch_all(&files, &quiet()).await.expect_err("one is missing");
    assert!(matches!(error, FetchError::Failed { .. }));
}

#[tokio::test]
async fn a_server_that_failed_is_asked_last_from_then_on() {
    let (bench, server) = (bench(), Server::new(|request| Reply::ok(&*request.path)));
    let bad = Server::new(|_| Reply::status(500));
    for n in 0..5 {
        let path = format!("/{n}");
        let file = wanted(path.as_bytes(), &[bad.url(&path), server.url(&path)]);
        bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
    }
    assert_eq!(bad.seen().len(), 2);
}

#[tokio::test]
async fn a_dropped_download_leaves_what_came_for_the_next_try() {
    let bench = bench();
    let (arrived, mut arrival) = tokio::sync::mpsc::unbounded_channel();
    let progress: Progress = Arc::new(move |event| {
        if let Event::Bytes { count, .. } = event {
            let _ = arrived.send(*count);
        }
    });
    let server = Server::new(|request| match request.range() {
        None => Reply::Half(CLAY.to_vec(), 30),
        Some(_) => Reply::file(CLAY, request),
    });
    let file = wanted(CLAY, &[server.url("/clay")]);
    let cut = file.clone();
    let fetcher = bench.fetcher.clone();
    let task = tokio::spawn(async move { fetcher.fetch(&cut, &progress).await });
    arrival.recv().await.expect("some bytes came");
    task.abort();
    let _ = task.await;
    bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
    assert!(bench.holds(CLAY));
}

#[tokio::test]
async fn a_small_file_is_asked_for_by_its_validator() {
    let bench = bench();
    let server = Server::new(|request| match request.header("if-none-match") {
        Some("\"1\"") => Reply::Plain(304, Vec::new(), Vec::new()),
        _ => Reply::Plain(200, vec![("ETag", "\"1\"".to_owned())], CLAY.to_vec()),
    });
    let url = server.url("/repomd.xml");
    let Answer::New(first) = bench.fetcher.get(&url, 100, None).await.expect("fetched") else {
        panic!("nothing was known yet")
    };
    assert_eq!(first.bytes, CLAY);
    let again = bench.fetcher.get(&url, 100, Some(&first.validator)).await.expect("fetched");
    assert_eq!(again, Answer::Same);
}

#[tokio::test]
async fn a_small_file_over_its_cap_is_refused_announced_or_not() {
    let bench = bench();
    let server = Server::new(|request| match &*request.path {
        "/endless" => Reply::Endless,
        _ => Reply::ok(CLAY),
    });
    for path in ["/endless", "/clay"] {
        let error = bench.fetcher.get(&server.url(path), 54, None).await.expect_err("too long");
        assert!(matches!(error.fault, PlaceFault::Long(54)), "{error}");
    }
}

#[tokio::test]
async fn a_small_file_of_this_machine_is_the_same_until_it_is_written() {
    let bench = bench();
    let path = bench.folder.path().join("repomd.xml");
    let place = place::of_file(&path);
    fs::write(&path, "one").expect("written");
    let Answer::New(first) = bench.fetcher.get(&place, 100, None).await.expect("read") else {
        panic!("nothing was known yet")
    };
    let again = bench.fetcher.get(&place, 100, Some(&first.validator)).await.expect("read");
    assert_eq!(again, Answer::Same);
    fs::write(bench.folder.path().join("new"), "two").expect("written");
    fs::rename(bench.folder.path().join("new"), &path).expect("moved");
    let Answer::New(second) =
        bench.fetcher.get(&place, 100, Some(&first.validator)).await.expect("read")
    else {
        panic!("it was replaced")
    };
    assert_eq!(second.bytes, b"two");
}

#[tokio::test]
async fn tls_is_checked_and_an_authority_of_ones_own_can_be_added() {
    let (server, authority) = Server::tls(|request| Reply::file(CLAY, request));
    let file = wanted(CLAY, &[server.url("/clay")]);
    let strict = bench_with(Options { rounds: 1, ..Options::default() });
    let error = strict.fetcher.fetch(&file, &quiet()).await.expect_err("nobody vouches for it");
    assert!(error.to_string().contains("ertificate"), "{error}");
    let bench = bench_with(Options { authorities: vec![authority], ..Options::default() });
    bench.fetcher.fetch(&file, &quiet()).await.expect("fetched");
}

#[tokio::test]
async fn what_nothing_vouches_for_does_not_go_from_https_to_http() {
    let plain = good(CLAY);
    let to = plain.url("/clay");
    let (server, authority) = Server::tls(move |_| Reply::redirect(to.clone()));
    let bench = bench_with(Options { authorities: vec![authority], ..Options::default() });
    let error = bench.fetcher.get(&server.url("/x"), 100, None).await.expect_err("weaker");
    assert!(error.to_string().contains("from https to http"), "{error}");
    assert_eq!(plain.seen().len(), 0);
    // With a digest to vouch for the bytes, any mirror will do.
    bench.fetcher.fetch(&wanted(CLAY, &[server.url("/x")]), &quiet()).await.expect("fetched");
}

#[tokio::test]
async fn a_service_reaches_nothing_but_the_public_internet() {
    let inside = good(CLAY);
    let options = Options { public_only: true, rounds: 1, ..Options::default() };
    let bench = bench_with(options);
    let port = inside.url("").rsplit(':').next().expect("a port").to_owned();
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "2130706433", "0x7f.1"] {
        let place = format!("http://{host}:{port}/clay");
        let error = bench.fetcher.get(&place, 100, None).await.expect_err(host);
        assert!(matches!(error.fault, PlaceFault::Private), "{host}: {error}");
        let error = bench.fetcher.fetch(&wanted(CLAY, &[place]), &quiet()).await.expect_err(host);
        assert!(error.to_string().contains("public internet"), "{host}: {error}");
    }
    assert_eq!(inside.seen().len(), 0);
}

#[tokio::test]
async fn what_is_no_place_is_not_asked() {
    let bench = bench();
    for place in ["ftp://a.example/x", "clay", "--option", "https://me:pw@a.example/x"] {
        let error = bench.fetcher.get(place, 100, None).await.expect_err(place);
        assert!(matches!(error.fault, PlaceFault::Scheme), "{place}: {error}");
    }
    let error = bench.fetcher.fetch(&wanted(CLAY, &[]), &quiet()).await.expect_err("no place");
    assert!(error.to_string().contains("no place"), "{error}");
}

/// Where the address of the proxy is handed to the process that asks through it.
const THROUGH: &str = "KILN_TEST_THROUGH_A_PROXY";

#[tokio::test]
async fn a_proxy_of_the_environment_is_asked_instead() {
    if std::env::var_os(THROUGH).is_some() {
        let bench = bench_with(Options { rounds: 1, ..Options::default() });
        let file = wanted(CLAY, &["http://mirror.invalid/clay".to_owned()]);
        bench.fetcher.fetch(&file, &quiet()).await.expect("fetched through the proxy");
        return;
    }
    let proxy = good(CLAY);
    let this = std::env::current_exe().expect("this test");
    #[allow(clippy::disallowed_methods, reason = "the environment is a process's own")]
    let status = std::process::Command::new(this)
        .args(["--exact", "a_proxy_of_the_environment_is_asked_instead"])
        .env(THROUGH, "1")
        .env("HTTP_PROXY", proxy.url(""))
        .env("http_proxy", proxy.url(""))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("REQUEST_METHOD")
        .status()
        .expect("started");
    assert!(status.success());
    assert_eq!(proxy.count("http://mirror.invalid/clay"), 1);
}
