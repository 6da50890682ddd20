//! Snapshots of repositories that are as they should be, and of others.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crate::kit::server::{Reply, Server, dead};
use crate::kit::upstream::{
    self, Files, MADE, Shelf, at, files, key, metalink, record, repomd, spec,
};
use crate::kit::{Signer, package};
use kiln_cas::Cas;
use kiln_fetch::{Fetcher, Progress};
use kiln_model::{Digest, Fault, Faulty, LockedPackage, Reason, RepoSpec, Report};
use kiln_parse::compression::{Compression, unpack};
use kiln_parse::place;
use kiln_repo::{Options, RepoError, Repos, Snapshot};

/// A day after all repositories were made.
const NOW: u64 = MADE + 86_400;
const REPOMD: &str = "repodata/repomd.xml";
const PRIMARY: &str = "repodata/primary.xml.zst";

struct Bench {
    folder: tempfile::TempDir,
    repos: Repos,
}

fn bench() -> Bench {
    bench_with(Options::default())
}

fn bench_with(options: Options) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let cas = Cas::open(&folder.path().join("blobs.v1")).expect("a store");
    let fetching = kiln_fetch::Options {
        backoff: Duration::ZERO,
        rounds: 1,
        ..kiln_fetch::Options::default()
    };
    let fetcher = Fetcher::new(cas, fetching).expect("a fetcher");
    let repos = Repos::open(fetcher, &folder.path().join("snapshots.v1"), options);
    Bench { folder, repos: repos.expect("opened") }
}

impl Bench {
    async fn refresh(&self, repo: &RepoSpec, now: u64) -> Result<Snapshot, RepoError> {
        self.repos.refresh(repo, now, &quiet()).await
    }

    /// Everything that is said of a failure.
    async fn failure(&self, repo: &RepoSpec) -> (Fault, String) {
        let error = self.refresh(repo, NOW).await.expect_err("it must not hold");
        let report = Report::of(&error);
        let said = format!("{} {} {:?}", report.error, report.causes.join(" "), report.hint);
        assert!(said.contains(&format!("'{}'", repo.id)), "{said} does not name the repo");
        (report.fault, said)
    }

    fn text(&self, snapshot: &Snapshot) -> String {
        let blob = self.repos.cas().read(&snapshot.primary.digest).expect("in the Cas");
        let (_, mut unpacked) = unpack(blob, snapshot.primary.open_size).expect("packed");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut unpacked, &mut text).expect("text");
        text
    }
}

fn quiet() -> Progress {
    Arc::new(|_| {})
}

fn pick(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(report.contains(part), "{report} has not '{part}'");
    }
}

#[tokio::test]
async fn a_repository_becomes_a_snapshot_with_its_packages_metadata() {
    let (bench, shelf) = (bench(), Shelf::new(files("one", MADE)));
    let server = shelf.server();
    let snapshot = bench.refresh(&at(server.url("/r")), NOW).await.expect("refreshed");
    assert_eq!(snapshot.repo, "base");
    assert_eq!(snapshot.repomd, Digest::of(&files("one", MADE)[REPOMD]));
    assert_eq!((snapshot.revision.as_str(), snapshot.made), ("4102444800", MADE));
    assert_eq!(snapshot.packages, 7);
    assert_eq!(snapshot.primary.compression, Compression::Zstd);
    assert_eq!(snapshot.places, [server.url("/r/")]);
    assert_eq!(snapshot.places, snapshot.package_places);
    assert!(bench.text(&snapshot).contains("<!-- one -->"));
    assert_eq!(server.count("/r/repodata/filelists.xml.zst"), 0);
    let all = bench.repos.in_use().expect("listed");
    assert!(all.contains(&snapshot.repomd) && all.contains(&snapshot.primary.digest));
}

#[tokio::test]
async fn file_lists_come_when_they_are_asked_for_and_once() {
    let (bench, shelf) = (bench(), Shelf::new(files("one", MADE)));
    let server = shelf.server();
    let snapshot = bench.refresh(&at(server.url("/r")), NOW).await.expect("refreshed");
    for _ in 0..2 {
        let lists = bench.repos.filelists(&snapshot, &quiet()).await.expect("fetched");
        let lists = lists.expect("it has some");
        assert!(bench.repos.cas().has(&lists.digest));
        assert!(bench.repos.in_use().expect("listed").contains(&lists.digest));
    }
    assert_eq!(server.count("/r/repodata/filelists.xml.zst"), 1);
}

#[tokio::test]
async fn a_fresh_snapshot_is_used_without_a_word_to_anyone() {
    let (bench, shelf) = (bench(), Shelf::new(files("one", MADE)));
    let server = shelf.server();
    let repo = at(server.url("/r"));
    let first = bench.refresh(&repo, NOW).await.expect("refreshed");
    let asked = server.seen().len();
    shelf.set(files("two", MADE + 1));
    assert_eq!(bench.refresh(&repo, NOW + 899).await.expect("still fresh"), first);
    assert_eq!(server.seen().len(), asked);
    let second = bench.refresh(&repo, NOW + 900).await.expect("refreshed");
    assert!(bench.text(&second).contains("<!-- two -->"));
    // The first generation is still whole: a lock may refer to it.
    assert!(bench.text(&first).contains("<!-- one -->"));
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (bench, shelf) = (bench(), Shelf::new(files("one", MADE)));
    let server = shelf.server();
    let repo = at(server.url("/r"));
    let first = bench.refresh(&repo, NOW).await.expect("refreshed");
    let second = bench.refresh(&repo, NOW + 10_000).await.expect("refreshed");
    assert_eq!(first, second);
    assert_eq!(server.count("/r/repodata/repomd.xml"), 2);
    assert_eq!(server.count("/r/repodata/primary.xml.zst"), 1);
    assert!(server.seen().last().expect("one").header("if-none-match").is_some());
}

#[tokio::test]
async fn what_the_target_says_of_a_repository_is_taken_up_at_once() {
    let (bench, shelf) = (bench(), Shelf::new(files("one", MADE)));
    let server = shelf.server();
    let repo = at(server.url("/r"));
    bench.refresh(&repo, NOW).await.expect("refreshed");
    let other = RepoSpec { priority: 10, exclude: vec!["kernel*".to_owned()], ..repo };
    let snapshot = bench.refresh(&other, NOW).await.expect("fresh");
    assert_eq!((snapshot.priority, &snapshot.exclude[..]), (10, &["kernel*".to_owned()][..]));
}

const MODULES: &str = "---\ndocument: modulemd\nversion: 2\ndata:\n  name: clay\n  stream: 1\n  \
    artifacts:\n    rpms:\n    - clay-0:1-1.module.noarch\n...\n---\ndocument: modulemd\nversion: 2\n\
    data:\n  name: clay\n  stream: 2\n  artifacts:\n    rpms:\n    - clay-0:2-1.module.noarch\n...\n\
    ---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: clay\n  stream: 1\n...\n";

#[tokio::test]
async fn packages_of_module_streams_that_do_not_count_are_not_taken() {
    let bench = bench();
    let mut all = files("one", MADE);
    let packed = upstream::zstd(MODULES.as_bytes());
    let path = "repodata/modules.yaml.zst";
    let records = record("primary", PRIMARY, &all[PRIMARY], 200, MADE)
        + &record("modules", path, &packed, MODULES.len(), MADE);
    all.insert(REPOMD.to_owned(), repomd(&records).into_bytes());
    all.insert(path.to_owned(), packed);
    let shelf = Shelf::new(all.clone());
    let server = shelf.server();
    let repo = RepoSpec { exclude: vec!["sand".to_owned()], ..at(server.url("/r")) };
    for _ in 0..2 {
        let snapshot = bench.refresh(&repo, NOW).await.expect("refreshed");
        assert_eq!(snapshot.exclude, ["sand", "clay-2-1.module.noarch"]);
    }
    assert_eq!(server.count("/r/repodata/modules.yaml.zst"), 1);
    // Another choice needs nothing from anyone.
    let other = RepoSpec { modules: vec!["clay:2".to_owned()], ..repo };
    let snapshot = bench.refresh(&other, NOW).await.expect("fresh");
    assert_eq!(snapshot.exclude, ["sand", "clay-1-1.module.noarch"]);

    let broken = upstream::zstd(b"---\ndocument: modulemd\n");
    let records = record("primary", PRIMARY, &all[PRIMARY], 200, MADE + 1)
        + &record("modules", path, &broken, 100, MADE + 1);
    all.insert(REPOMD.to_owned(), repomd(&records).into_bytes());
    all.insert(path.to_owned(), broken);
    shelf.set(all);
    let error = bench.refresh(&other, NOW + 1000).await.expect_err("nobody knows what to hide");
    assert!(matches!(error, RepoError::Modules { .. }), "{error}");
}

#[tokio::test]
async fn a_repository_of_this_machine_is_looked_at_every_time() {
    let bench = bench();
    let folder = bench.folder.path().join("a repo");
    upstream::write(&files("one", MADE), &folder);
    let repo = at(place::of_file(&folder));
    bench.refresh(&repo, NOW).await.expect("refreshed");
    fs::remove_dir_all(&folder).expect("removed");
    upstream::write(&files("two", MADE - 1), &folder);
    // Older is no matter here: whoever can write the folder can do as he likes.
    let snapshot = bench.refresh(&repo, NOW).await.expect("refreshed");
    assert!(bench.text(&snapshot).contains("<!-- two -->"));
}

#[tokio::test]
async fn without_network_what_is_here_is_used_and_nothing_else() {
    let (bench, shelf) = (bench(), Shelf::new(files("one", MADE)));
    let server = shelf.server();
    let repo = at(server.url("/r"));
    let offline = bench.repos.with(Options { offline: true, ..Options::default() });
    let error = offline.refresh(&repo, NOW, &quiet()).await.expect_err("never fetched");
    assert!(matches!(error, RepoError::Offline { .. }), "{error}");
    let first = bench.refresh(&repo, NOW).await.expect("refreshed");
    let asked = server.seen().len();
    let kept = offline.refresh(&repo, NOW + 1_000_000, &quiet()).await.expect("kept");
    assert_eq!((kept, server.seen().len()), (first, asked));
}

#[tokio::test]
async fn a_metalink_finds_the_mirror_that_is_up_to_date() {
    let bench = bench();
    let (old, new) = (files("old", MADE), files("new", MADE + 60));
    let (lagging, current) = (Shelf::new(old.clone()).server(), Shelf::new(new.clone()).server());
    let mirrors = [format!("{}/r/", dead()), lagging.url("/r/"), current.url("/r/")];
    let text = metalink(&[&new[REPOMD]], &mirrors);
    let lists = Server::new(move |_| Reply::ok(text.clone()));
    let repo = RepoSpec { metalink: Some(lists.url("/metalink")), ..spec("base") };
    let snapshot = bench.refresh(&repo, NOW).await.expect("refreshed");
    assert!(bench.text(&snapshot).contains("<!-- new -->"));
    // The one that holds comes first from now on.
    assert_eq!(snapshot.places[0], current.url("/r/"));
    assert_eq!(snapshot.places.len(), 3);

    // Later the metalink says that nothing is new: no mirror is asked.
    let asked = current.seen().len();
    let again = bench.refresh(&repo, NOW + 10_000).await.expect("refreshed");
    assert_eq!(again.repomd, snapshot.repomd);
    assert_eq!(current.seen().len(), asked);
}

#[tokio::test]
async fn an_alternate_of_the_metalink_will_do_until_a_newer_one_was_seen() {
    let bench = bench();
    let (old, new) = (files("old", MADE), files("new", MADE + 60));
    let lagging = Shelf::new(old.clone());
    let server = lagging.server();
    let text = metalink(&[&new[REPOMD], &old[REPOMD]], &[server.url("/r/")]);
    let lists = Server::new(move |_| Reply::ok(text.clone()));
    let repo = RepoSpec { metalink: Some(lists.url("/metalink")), ..spec("base") };
    bench.refresh(&repo, NOW).await.expect("an alternate");
    lagging.set(new);
    bench.refresh(&repo, NOW + 1000).await.expect("the newest");
    // The metalink calls the newest by name, so what is here stays, whatever the mirror does.
    lagging.set(old);
    let snapshot = bench.refresh(&repo, NOW + 2000).await.expect("kept");
    assert_eq!(snapshot.made, MADE + 60);
}

#[tokio::test]
async fn a_repomd_that_its_metalink_does_not_know_is_a_breach() {
    let bench = bench();
    let server = Shelf::new(files("evil", MADE)).server();
    let text = metalink(&[&files("good", MADE)[REPOMD]], &[server.url("/r/")]);
    let lists = Server::new(move |_| Reply::ok(text.clone()));
    let repo = RepoSpec { metalink: Some(lists.url("/metalink")), ..spec("base") };
    let (fault, said) = bench.failure(&repo).await;
    assert_eq!(fault, Fault::Breach);
    pick(&said, &["metalink", &server.url("/r/")]);
}

#[tokio::test]
async fn a_mirror_list_is_tried_in_its_order() {
    let bench = bench();
    let server = Shelf::new(files("one", MADE)).server();
    let text = format!("# mirrors\n{}/r\n{}\n", dead(), server.url("/r"));
    let lists = Server::new(move |_| Reply::ok(text.clone()));
    let repo = RepoSpec { mirrorlist: Some(lists.url("/list")), ..spec("base") };
    let snapshot = bench.refresh(&repo, NOW).await.expect("refreshed");
    assert_eq!(snapshot.places[0], server.url("/r/"));
}

#[tokio::test]
async fn lists_that_are_none_are_named() {
    let bench = bench();
    let nothing = Server::new(|_| Reply::ok("# no mirrors for this release"));
    let repo = RepoSpec { mirrorlist: Some(nothing.url("/list")), ..spec("base") };
    pick(&bench.failure(&repo).await.1, &["no mirrors for this release"]);
    let repo = RepoSpec { metalink: Some(nothing.url("/list")), ..spec("base") };
    pick(&bench.failure(&repo).await.1, &["reading the metalink"]);
    let gone = Server::new(|_| Reply::status(404));
    let repo = RepoSpec { metalink: Some(gone.url("/list")), ..spec("base") };
    pick(&bench.failure(&repo).await.1, &["metalink", "404"]);
}

#[tokio::test]
async fn a_dead_or_empty_place_is_named_with_what_it_said() {
    let bench = bench();
    let gone = dead();
    let (fault, said) = bench.failure(&at(format!("{gone}/r"))).await;
    assert_eq!(fault, Fault::Host);
    pick(&said, &[&gone, "refused", "this machine's network"]);
    let empty = Shelf::default().server();
    pick(&bench.failure(&at(empty.url("/r"))).await.1, &["404", &empty.url("/r/")]);
    let web = Server::new(|_| Reply::ok("<html><body>It works!</body></html>"));
    pick(&bench.failure(&at(web.url("/r"))).await.1, &["reading repomd.xml"]);
    let endless = Server::new(|_| Reply::Endless);
    pick(&bench.failure(&at(endless.url("/r"))).await.1, &["more than 1048576 bytes"]);
    let round = Server::new(|_| Reply::redirect("/r/repodata/repomd.xml"));
    pick(&bench.failure(&at(round.url("/r"))).await.1, &["redirected"]);
}

#[tokio::test]
async fn a_repomd_with_a_million_records_is_refused() {
    let bench = bench();
    let many = repomd(&"<data/>".repeat(1_000_000));
    let server = Server::new(move |_| Reply::ok(many.clone()));
    pick(&bench.failure(&at(server.url("/r"))).await.1, &["more than 1048576 bytes"]);
}

#[tokio::test]
async fn metadata_with_a_wrong_digest_are_a_breach_and_half_of_them_are_not_used() {
    let bench = bench();
    let mut bad = files("one", MADE);
    bad.get_mut(PRIMARY).expect("there")[10] ^= 1;
    let server = Shelf::new(bad).server();
    let (fault, said) = bench.failure(&at(server.url("/r"))).await;
    assert_eq!(fault, Fault::Breach);
    pick(&said, &["wrong bytes", "primary.xml.zst"]);

    let mut half = files("one", MADE);
    half.get_mut(PRIMARY).expect("there").truncate(20);
    let server = Shelf::new(half).server();
    pick(&bench.failure(&at(server.url("/r"))).await.1, &["it offers 20 bytes instead of"]);
}

#[tokio::test]
async fn a_repository_that_moves_on_while_it_is_read_is_read_again() {
    let bench = bench();
    let (old, new) = (files("old", MADE), files("new", MADE + 1));
    let shelf = Shelf::new(new.clone());
    let first = std::sync::Mutex::new(Some(old[REPOMD].clone()));
    let served = shelf.clone();
    let server = Server::new(move |request| {
        if request.path.ends_with("repomd.xml")
            && let Some(bytes) = first.lock().expect("no panic").take()
        {
            return Reply::ok(bytes);
        }
        served.serve(request)
    });
    let snapshot = bench.refresh(&at(server.url("/r")), NOW).await.expect("refreshed");
    assert!(bench.text(&snapshot).contains("<!-- new -->"));
}

#[tokio::test]
async fn a_bomb_is_stopped_by_the_size_that_was_announced() {
    let bench = bench();
    let open = vec![b' '; 64 << 20];
    let text = [b"<metadata packages=\"1\">", &open[..], b"</metadata>"].concat();
    let packed = upstream::zstd(&text);
    assert!(packed.len() < 10_000);
    let records = record("primary", PRIMARY, &packed, 1000, MADE);
    let bomb = Files::from([
        (REPOMD.to_owned(), repomd(&records).into_bytes()),
        (PRIMARY.to_owned(), packed),
    ]);
    let server = Shelf::new(bomb).server();
    let snapshot = bench.refresh(&at(server.url("/r")), NOW).await.expect("nothing is unpacked");
    let blob = bench.repos.cas().read(&snapshot.primary.digest).expect("in the Cas");
    let (_, mut unpacked) = unpack(blob, snapshot.primary.open_size).expect("packed");
    let error = std::io::copy(&mut unpacked, &mut std::io::sink()).expect_err("a bomb");
    assert!(error.to_string().contains("more than 1000 bytes"), "{error}");

    let records = record("primary", PRIMARY, b"x", 9 << 30, MADE);
    let server = Shelf::new(Files::from([(REPOMD.to_owned(), repomd(&records).into())])).server();
    pick(&bench.failure(&at(server.url("/r"))).await.1, &["primary would be over"]);
}

#[tokio::test]
async fn what_is_no_metadata_is_seen_at_once() {
    let bench = bench();
    for bytes in [b"<html>login</html>".to_vec(), vec![0x28, 0xb5, 0x2f, 0xfd, 9, 9]] {
        let records = record("primary", PRIMARY, &bytes, 100, MADE);
        let broken = Files::from([
            (REPOMD.to_owned(), repomd(&records).into_bytes()),
            (PRIMARY.to_owned(), bytes),
        ]);
        let server = Shelf::new(broken).server();
        pick(&bench.failure(&at(server.url("/r"))).await.1, &["unpacking its primary"]);
    }
}

#[tokio::test]
async fn a_stale_repository_is_named_with_its_age() {
    let bench = bench();
    let server = Shelf::new(files("one", MADE - 40 * 86_400)).server();
    let repo = RepoSpec { stale_after_days: Some(30), ..at(server.url("/r")) };
    pick(&bench.failure(&repo).await.1, &["41 days old", "may be 30", "stale_after_days"]);
    // The operator's limit is for repositories whose target says nothing.
    let repo = RepoSpec { stale_after_days: Some(50), ..repo };
    bench.refresh(&repo, NOW).await.expect("young enough");
    let strict = bench.repos.with(Options { stale_after_days: Some(7), ..Options::default() });
    let error = strict.refresh(&at(server.url("/r")), NOW, &quiet()).await.expect_err("stale");
    assert!(matches!(error, RepoError::Stale { limit: 7, .. }), "{error}");
}

#[tokio::test]
async fn a_repository_does_not_go_back_in_time() {
    let bench = bench();
    let shelf = Shelf::new(files("new", MADE));
    let server = shelf.server();
    let repo = at(server.url("/r"));
    bench.refresh(&repo, NOW).await.expect("refreshed");
    shelf.set(files("old", MADE - 1));
    let error = bench.refresh(&repo, NOW + 1000).await.expect_err("older");
    pick(&error.to_string(), &["'base'", "older than one that was seen"]);
    assert!(error.hint().is_some_and(|hint| hint.contains("--accept-older")));
    let lenient = bench.repos.with(Options { accept_older: true, ..Options::default() });
    let snapshot = lenient.refresh(&repo, NOW + 1000, &quiet()).await.expect("on purpose");
    assert_eq!(snapshot.made, MADE - 1);
}

#[tokio::test]
async fn signed_metadata_are_believed_and_unsigned_or_wrongly_signed_are_not() {
    let bench = bench();
    let (known, stranger) = (Signer::new("known"), Signer::new("stranger"));
    let public = known.public();
    let keys = Server::new(move |_| Reply::ok(public.clone()));
    let mut signed = files("one", MADE);
    upstream::sign(&mut signed, &known);
    let shelf = Shelf::new(signed.clone());
    let server = shelf.server();
    let repo = RepoSpec {
        keys: vec![key(keys.url("/key"), Some(&known))],
        check_metadata: true,
        ..at(server.url("/r"))
    };
    bench.refresh(&repo, NOW).await.expect("signed");
    assert_eq!(keys.seen().len(), 1);

    let fresh = bench_with(Options::default());
    let mut bad = files("two", MADE + 1);
    shelf.set(bad.clone());
    pick(&fresh.failure(&repo).await.1, &["repomd.xml.asc", "404", "check_metadata = false"]);

    upstream::sign(&mut bad, &stranger);
    shelf.set(bad.clone());
    let (fault, said) = fresh.failure(&repo).await;
    assert_eq!(fault, Fault::Breach);
    pick(&said, &[&stranger.fingerprint(), "does not name", "add it to the target's keys"]);

    let other = signed["repodata/repomd.xml.asc"].clone();
    bad.insert("repodata/repomd.xml.asc".to_owned(), other);
    shelf.set(bad);
    let (fault, said) = fresh.failure(&repo).await;
    assert_eq!(fault, Fault::Breach);
    pick(&said, &["is wrong", &known.fingerprint()]);
}

#[tokio::test]
async fn an_honest_mirror_makes_up_for_one_without_a_signature() {
    let bench = bench();
    let known = Signer::new("known");
    let public = known.public();
    let keys = Server::new(move |_| Reply::ok(public.clone()));
    let mut signed = files("one", MADE);
    let unsigned = Shelf::new(signed.clone()).server();
    upstream::sign(&mut signed, &known);
    let server = Shelf::new(signed).server();
    let repo = RepoSpec {
        baseurl: vec![unsigned.url("/r"), server.url("/r")],
        keys: vec![key(keys.url("/key"), None)],
        check_metadata: true,
        ..spec("base")
    };
    let snapshot = bench.refresh(&repo, NOW).await.expect("refreshed");
    assert_eq!(snapshot.places[0], server.url("/r/"));
}

#[tokio::test]
async fn a_key_is_the_one_that_the_target_names_wherever_it_comes_from() {
    let bench = bench();
    let (known, stranger) = (Signer::new("known"), Signer::new("stranger"));
    let (evil, good) = (stranger.public(), known.public());
    let keys = Server::new(move |request| match &*request.path {
        "/evil" => Reply::ok(evil.clone()),
        "/good" => Reply::ok(good.clone()),
        _ => Reply::status(404),
    });
    let mut signed = files("one", MADE);
    upstream::sign(&mut signed, &known);
    let server = Shelf::new(signed).server();
    let places = |paths: &[&str]| paths.iter().map(|path| keys.url(path)).collect();
    let with = |from: Vec<String>| RepoSpec {
        keys: vec![kiln_model::Key { fingerprint: Some(known.fingerprint()), from }],
        check_metadata: true,
        ..at(server.url("/r"))
    };
    let (fault, said) = bench.failure(&with(places(&["/gone", "/evil"]))).await;
    assert_eq!(fault, Fault::Breach);
    pick(&said, &["404", "expected the key", &known.fingerprint(), &stranger.fingerprint()]);
    let snapshot = bench.refresh(&with(places(&["/gone", "/evil", "/good"])), NOW).await;
    assert_eq!(snapshot.expect("the third place has it").packages, 7);
}

fn locked(name: &str, bytes: &[u8], location: &str) -> LockedPackage {
    LockedPackage {
        nevra: format!("{name}-1.0-1.noarch").parse().expect("a NEVRA"),
        repo: "base".to_owned(),
        location: location.to_owned(),
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
        why: Reason::Profile(name.parse().expect("a requirement")),
    }
}

#[tokio::test]
async fn packages_are_fetched_and_their_signatures_checked_once() {
    let bench = bench();
    let (known, stranger) = (Signer::new("known"), Signer::new("stranger"));
    let public = known.public();
    let keys = Server::new(move |_| Reply::ok(public.clone()));
    let good = package("clay", "1.0", Some(&known));
    let bad = package("sand", "1.0", Some(&stranger));
    let mut all = files("one", MADE);
    all.insert("Packages/clay.rpm".to_owned(), good.clone());
    all.insert("Packages/sand.rpm".to_owned(), bad.clone());
    let server = Shelf::new(all).server();
    let repo = RepoSpec {
        keys: vec![key(keys.url("/key"), Some(&known))],
        check_packages: true,
        ..at(server.url("/r"))
    };
    let snapshots = [bench.refresh(&repo, NOW).await.expect("refreshed")];
    let repos = [repo];
    let clay = locked("clay", &good, "Packages/clay.rpm");
    for _ in 0..2 {
        let packages = [&clay];
        let fetched =
            bench.repos.fetch_packages(&repos, &snapshots, &packages, NOW, &quiet()).await;
        fetched.expect("believed");
    }
    assert_eq!(server.count("/r/Packages/clay.rpm"), 1);
    assert_eq!(keys.seen().len(), 1);

    let sand = locked("sand", &bad, "Packages/sand.rpm");
    let packages = [&clay, &sand];
    let error = bench.repos.fetch_packages(&repos, &snapshots, &packages, NOW, &quiet()).await;
    let report = Report::of(&error.expect_err("a stranger's"));
    assert_eq!(report.fault, Fault::Breach);
    pick(&report.error, &["sand-1.0-1.noarch", "'base'"]);
    pick(&report.causes.join(" "), &[&stranger.fingerprint()]);
}

#[tokio::test]
async fn packages_above_their_repository_are_found() {
    let bench = bench();
    let blob = package("clay", "1.0", None);
    let shelf = Shelf::new(files("one", MADE));
    let bytes = blob.clone();
    let server = Server::new(move |request| match &*request.path {
        "/al/blobstore/clay.rpm" => Reply::ok(bytes.clone()),
        path => {
            let path = path.replace("/al/core/guids/1/x86_64/", "/r/");
            shelf.serve(&crate::kit::server::Request { path, ..request.clone() })
        }
    });
    let repo = RepoSpec { packages_above: 4, ..at(server.url("/al/core/guids/1/x86_64")) };
    let snapshot = bench.refresh(&repo, NOW).await.expect("refreshed");
    assert_eq!(snapshot.package_prefix, "../../../../");
    assert_eq!(snapshot.package_places, [server.url("/al/")]);
    let clay = locked("clay", &blob, "blobstore/clay.rpm");
    let fetched = bench.repos.fetch_packages(&[repo], &[snapshot], &[&clay], NOW, &quiet()).await;
    fetched.expect("fetched");
}

#[tokio::test]
async fn a_package_of_a_repository_that_nobody_described_is_refused() {
    let bench = bench();
    let clay = locked("clay", b"bytes", "clay.rpm");
    let error = bench.repos.fetch_packages(&[], &[], &[&clay], NOW, &quiet()).await;
    assert!(matches!(error, Err(RepoError::Unknown { .. })), "{error:?}");
    // What is here already needs no repository any more.
    bench.repos.cas().insert_bytes(b"bytes").expect("stored");
    bench.repos.fetch_packages(&[], &[], &[&clay], NOW, &quiet()).await.expect("here");
}

#[tokio::test]
async fn many_repositories_are_refreshed_at_one_time_and_in_order() {
    let bench = bench();
    let servers: Vec<Server> =
        (0..5).map(|n| Shelf::new(files(&n.to_string(), MADE)).server()).collect();
    let repos: Vec<RepoSpec> = servers
        .iter()
        .enumerate()
        .map(|(n, server)| RepoSpec { id: format!("r{n}"), ..at(server.url("/r")) })
        .collect();
    let snapshots = bench.repos.refresh_all(&repos, NOW, &quiet()).await.expect("refreshed");
    let ids: Vec<&str> = snapshots.iter().map(|snapshot| &*snapshot.repo).collect();
    assert_eq!(ids, ["r0", "r1", "r2", "r3", "r4"]);
}
