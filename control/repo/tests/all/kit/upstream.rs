//! An upstream repository, made by hand so that every part of it can be wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use kiln_model::{Digest, Key, RepoSpec};

use super::Signer;
use super::server::{Reply, Request, Server};

/// The second at which all repositories of the tests were made, in 2100: after every signature
/// of theirs, which carries the time of the machine.
pub const MADE: u64 = 4_102_444_800;

/// The files of a repository, by their path in it.
pub type Files = BTreeMap<String, Vec<u8>>;

pub fn primary(name: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <metadata xmlns=\"http://linux.duke.edu/metadata/common\" packages=\"7\">\n\
         <!-- {name} --></metadata>\n"
    )
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("packed")
}

/// A record of `repomd.xml` as createrepo_c writes it.
pub fn record(kind: &str, location: &str, packed: &[u8], open_size: usize, made: u64) -> String {
    format!(
        "<data type=\"{kind}\"><checksum type=\"sha256\">{}</checksum>\
         <location href=\"{location}\"/><timestamp>{made}</timestamp><size>{}</size>\
         <open-size>{open_size}</open-size></data>",
        Digest::of(packed).hex(),
        packed.len()
    )
}

pub fn repomd(records: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <repomd xmlns=\"http://linux.duke.edu/metadata/repo\">\
         <revision>{MADE}</revision>{records}</repomd>"
    )
}

/// A whole repository; `name` makes its packages' metadata differ from others'.
pub fn files(name: &str, made: u64) -> Files {
    let open = primary(name);
    let packed = zstd(open.as_bytes());
    let lists = zstd(format!("<filelists/><!-- {name} -->").as_bytes());
    let records = record("primary", "repodata/primary.xml.zst", &packed, open.len(), made)
        + &record("filelists", "repodata/filelists.xml.zst", &lists, 100, made);
    Files::from([
        ("repodata/repomd.xml".to_owned(), repomd(&records).into_bytes()),
        ("repodata/primary.xml.zst".to_owned(), packed),
        ("repodata/filelists.xml.zst".to_owned(), lists),
    ])
}

pub fn sign(files: &mut Files, signer: &Signer) {
    let signature = signer.sign(&files["repodata/repomd.xml"]);
    files.insert("repodata/repomd.xml.asc".to_owned(), signature);
}

/// Files under `/r/` that can be changed while they are served, with entity tags.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<Files>>);

impl Shelf {
    pub fn new(files: Files) -> Self {
        Self(Arc::new(Mutex::new(files)))
    }

    pub fn set(&self, files: Files) {
        *self.0.lock().expect("no panic") = files;
    }

    pub fn serve(&self, request: &Request) -> Reply {
        let files = self.0.lock().expect("no panic");
        let path = request.path.strip_prefix("/r/").unwrap_or("none");
        let Some(bytes) = files.get(path) else { return Reply::status(404) };
        let tag = format!("\"{}\"", Digest::of(bytes).short());
        if request.header("if-none-match") == Some(&tag) {
            return Reply::Plain(304, Vec::new(), Vec::new());
        }
        match Reply::file(bytes, request) {
            Reply::Plain(200, mut headers, body) => {
                headers.push(("ETag", tag));
                Reply::Plain(200, headers, body)
            }
            other => other,
        }
    }

    pub fn server(&self) -> Server {
        let this = self.clone();
        Server::new(move |request| this.serve(request))
    }
}

pub fn write(files: &Files, to: &Path) {
    for (path, bytes) in files {
        let path = to.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, bytes).expect("written");
    }
}

/// A repository of that id with nothing said about it.
pub fn spec(id: &str) -> RepoSpec {
    RepoSpec {
        id: id.to_owned(),
        baseurl: Vec::new(),
        mirrorlist: None,
        metalink: None,
        keys: Vec::new(),
        check_packages: false,
        check_metadata: false,
        priority: 99,
        exclude: Vec::new(),
        modules: Vec::new(),
        packages_above: 0,
        stale_after_days: None,
    }
}

pub fn at(url: String) -> RepoSpec {
    RepoSpec { baseurl: vec![url], ..spec("base") }
}

pub fn key(place: String, signer: Option<&Signer>) -> Key {
    Key { fingerprint: signer.map(Signer::fingerprint), from: vec![place] }
}

/// A metalink over those generations of `repomd.xml`, newest first.
pub fn metalink(generations: &[&[u8]], mirrors: &[String]) -> String {
    let describe = |bytes: &&[u8]| {
        format!(
            "<size>{}</size><verification><hash type=\"md5\">x</hash>\
             <hash type=\"sha256\">{}</hash></verification>",
            bytes.len(),
            Digest::of(bytes).hex()
        )
    };
    let older: String = generations[1..]
        .iter()
        .map(|bytes| format!("<mm0:alternate>{}</mm0:alternate>", describe(bytes)))
        .collect();
    let urls: String = mirrors
        .iter()
        .enumerate()
        .map(|(index, mirror)| {
            let preference = 100 - index;
            format!("<url preference=\"{preference}\">{mirror}repodata/repomd.xml</url>")
        })
        .collect();
    format!(
        "<metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\" \
         xmlns:mm0=\"http://fedorahosted.org/mirrormanager\"><files><file name=\"repomd.xml\">\
         {}<mm0:alternates>{older}</mm0:alternates><resources>{urls}</resources></file>\
         </files></metalink>",
        describe(&generations[0])
    )
}
