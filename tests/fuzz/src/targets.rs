//! The parsers, each with the inputs that it begins with.

use std::io::{BufReader, Read};

use kiln_model::{Nevra, Requirement};
use kiln_parse::primary::Caps;
use kiln_parse::rpmfile::{Facts, HeadCap};
use kiln_parse::rpmhead::Head;
use kiln_parse::target::Origin;
use kiln_parse::{
    buildlog, compression, cpio, filelists, lock, metalink, mirrorlist, mock_config, mock_lock,
    modules, need, place, primary, repomd, target,
};
use kiln_repo::{Keyring, Record};
use kiln_wire::{frame, solver, worker};

use crate::seeds::Seeds;

/// A parser of strangers' bytes.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// The inputs that are made strange.
    pub seeds: fn(&Seeds) -> Vec<Vec<u8>>,
    /// Parses; whatever it answers is fine.
    pub parse: fn(&[u8]),
}

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn as_text(bytes: &[u8], parse: impl FnOnce(&str)) {
    parse(&String::from_utf8_lossy(bytes));
}

/// Every parser that reads what strangers wrote.
pub fn all() -> Vec<Target> {
    [packages(), builds(), metadata(), configuration(), messages(), crate::evidence::all()]
        .into_iter()
        .flatten()
        .collect()
}

fn packages() -> Vec<Target> {
    vec![
        Target {
            name: "rpm-facts",
            seeds: |seeds| seeds.packages.clone(),
            parse: |bytes| {
                let _ = Facts::read_source(&mut &*bytes);
                let _ = Facts::read(&mut &*bytes, HeadCap::BINARY);
            },
        },
        Target {
            name: "rpm-head",
            seeds: |seeds| seeds.packages.clone(),
            parse: |bytes| {
                let Ok(head) = Head::read(&mut &*bytes, HeadCap::BINARY) else { return };
                for tags in [head.signature(), head.main()] {
                    for tag in [62, 63, 267, 268, 269, 1000, 1004, 1014, 1027, 1117, 5092] {
                        let _ = (tags.texts(tag), tags.numbers(tag), tags.blob(tag));
                    }
                }
            },
        },
        Target {
            name: "rpm-record",
            seeds: |seeds| seeds.packages.clone(),
            parse: |bytes| {
                // What it would be written as, too, which is XML and so a parser's next input.
                if let Ok(record) = Record::read(&mut &*bytes) {
                    let _ = serde_json::to_vec(&record);
                }
            },
        },
        Target {
            name: "keyring",
            seeds: |_| {
                texts(&[
                    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEaAAAAA==\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
                ])
            },
            parse: |bytes| {
                let _ = kiln_repo::fingerprints(bytes);
                let keys = Keyring::default();
                let _ = keys.verify(bytes, b"content", 1_700_000_000);
            },
        },
    ]
}

/// What builds made, taken apart.
fn builds() -> Vec<Target> {
    vec![
        Target {
            name: "cpio",
            seeds: |_| {
                let entry = |name: &str, size: u32| {
                    let zeros = "00000000".repeat(4);
                    let length = name.len() + 1;
                    format!(
                        "070701{zeros}{zeros}00000000{size:08x}{zeros}{length:08x}00000000{name}\0"
                    )
                };
                texts(&[&format!("{}clay{}", entry("./clay", 4), entry("TRAILER!!!", 0))])
            },
            parse: |bytes| {
                let mut archive = cpio::Cpio::new(bytes);
                while let Ok(Some(_)) = archive.next() {
                    if std::io::copy(&mut archive, &mut std::io::sink()).is_err() {
                        return;
                    }
                }
            },
        },
        Target {
            name: "examiner-contents",
            seeds: |seeds| {
                let ar =
                    "!<arch>\na.o/            0           0     0     644     4         `\nclay";
                let pyc = "\u{27}\r\r\n0000000000000000code";
                let mut all = texts(&[ar, pyc, "one line\nand 2026-11-30\n"]);
                all.extend(seeds.packages.iter().map(|package| {
                    // The payload, which is packed.
                    package[package.len() / 2..].to_vec()
                }));
                all.push(std::fs::read("/proc/self/exe").unwrap_or_default());
                all.iter_mut().for_each(|one| one.truncate(1 << 16));
                all
            },
            parse: |bytes| {
                let (one, other) = bytes.split_at(bytes.len() / 2);
                for name in ["/x", "/x.pyc"] {
                    let _ = kiln_examiner::differing(name, bytes, one);
                    let _ = kiln_examiner::differing(name, one, other);
                }
            },
        },
    ]
}

fn metadata() -> Vec<Target> {
    vec![
        Target {
            name: "repomd",
            seeds: |seeds| vec![seeds.repomd.clone()],
            parse: |bytes| drop(repomd::Repomd::parse(bytes)),
        },
        Target {
            name: "primary",
            seeds: |seeds| vec![seeds.primary.clone()],
            parse: |bytes| drop(primary::read(bytes, Caps::default(), "", |_| {})),
        },
        Target {
            name: "filelists",
            seeds: |seeds| vec![seeds.filelists.clone()],
            parse: |bytes| {
                let wanted = [
                    filelists::Wanted::Path("/usr/share/kiln/file".to_owned()),
                    filelists::Wanted::End("/file".to_owned()),
                ];
                let _ = filelists::find(bytes, &wanted);
            },
        },
        Target {
            name: "modules",
            seeds: |_| {
                texts(&[
                    "---\ndocument: modulemd\nversion: 2\ndata:\n  name: nodejs\n  stream: \"20\"\n  version: 9\n  context: abc\n  arch: x86_64\n  artifacts:\n    rpms:\n    - nodejs-1:20.1-1.x86_64\n...\n---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: nodejs\n  stream: \"20\"\n...\n",
                ])
            },
            parse: |bytes| drop(modules::Modules::parse(bytes)),
        },
        Target {
            name: "metalink",
            seeds: |_| {
                texts(&[
                    "<?xml version=\"1.0\"?><metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\"><files><file name=\"repomd.xml\"><size>10</size><verification><hash type=\"sha256\">aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</hash></verification><resources><url protocol=\"https\">https://example.org/repodata/repomd.xml</url></resources></file></files></metalink>",
                ])
            },
            parse: |bytes| drop(metalink::Metalink::parse(bytes)),
        },
        Target {
            name: "mirrorlist",
            seeds: |_| texts(&["# mirrors\nhttps://example.org/a/\nhttp://example.org/b\n"]),
            parse: |bytes| drop(mirrorlist::parse(bytes)),
        },
        Target {
            name: "compression",
            seeds: |seeds| {
                let gz = |bytes: &[u8]| {
                    let mut packed =
                        flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
                    let mut to = Vec::new();
                    packed.read_to_end(&mut to).expect("packed in memory");
                    to
                };
                let zst = zstd::encode_all(&*seeds.primary, 3).expect("packed in memory");
                vec![gz(&seeds.primary), zst]
            },
            parse: |bytes| {
                if let Ok((_, mut unpacked)) = compression::unpack(bytes, 8 << 20) {
                    let _ = std::io::copy(&mut unpacked, &mut std::io::sink());
                }
            },
        },
    ]
}

fn configuration() -> Vec<Target> {
    vec![
        Target {
            name: "target",
            seeds: |seeds| seeds.targets.clone(),
            parse: |bytes| {
                as_text(bytes, |text| {
                    let origin = Origin { name: "a.toml".to_owned(), folder: None };
                    let _ = target::parse(text, &origin);
                });
            },
        },
        Target {
            name: "mock-config",
            seeds: |_| {
                texts(&[
                    "config_opts['root'] = 'fedora-{{ releasever }}-x86_64'\nconfig_opts['chroot_setup_cmd'] = 'install bash @build'\nif True:\n  config_opts['x'] = ['a', 'b'] + ['c']\ninclude('templates/a.tpl')\nconfig_opts['dnf.conf'] = \"\"\"\n[main]\nkeepcache=1\n{% if mirrored %}\n[fedora]\nmetalink=https://example.org/?repo=fedora-$releasever&arch=$basearch\ngpgkey=file:///a\n{% endif %}\n\"\"\"\n",
                ])
            },
            parse: |bytes| {
                as_text(bytes, |text| {
                    let _ = mock_config::import("a.cfg", text, &mut |_| Ok(String::new()));
                });
            },
        },
        Target {
            name: "lock",
            seeds: |_| {
                texts(&[
                    "{\"version\":1,\"target\":\"trial-13-x86_64\",\"profile\":\"distribution/1\",\"arch\":\"x86_64\",\"solver\":\"libsolv 0.7\",\"macros\":{},\"requires\":[\"gcc\"],\"snapshots\":[],\"packages\":[],\"toolbox\":[]}",
                ])
            },
            parse: |bytes| drop(lock::read(bytes)),
        },
        Target {
            name: "mock-lock",
            seeds: |_| {
                texts(&[
                    "{\"version\":\"1.1.0\",\"buildroot\":{\"rpms\":[{\"arch\":\"noarch\",\"epoch\":null,\"license\":\"MIT\",\"name\":\"a\",\"release\":\"1\",\"sigmd5\":\"cf31d87e5e3eac97ff32a98e7e073f37\",\"signature\":null,\"url\":\"https://example.org/a.rpm\",\"version\":\"1\"}]},\"config\":{}}",
                ])
            },
            parse: |bytes| drop(mock_lock::read(bytes)),
        },
        Target {
            name: "need",
            seeds: |_| {
                texts(&[
                    "(gcc >= 1:2.3-4 if (make or cmake)) unless bar",
                    "a = 1",
                    "(a with b < 2)",
                ])
            },
            parse: |bytes| {
                as_text(bytes, |text| {
                    let _ = need::Need::parse(text);
                    let _ = text.parse::<Requirement>();
                    let _ = text.parse::<Nevra>();
                    let _ = place::check(text);
                    let _ = place::base(text);
                    let _ = place::join("https://example.org/", text);
                });
            },
        },
        Target {
            name: "build-log",
            seeds: |_| {
                texts(&[
                    "/bin/sh: line 3: cmake: command not found\nfatal error: zlib.h: No such file or directory\nPackage 'foo', required by 'virtual:world', not found\nCould NOT find ZLIB (missing: ZLIB_LIBRARY)\nModuleNotFoundError: No module named 'yaml'\nCan't locate Foo/Bar.pm in @INC\nmeson.build:3:0: ERROR: Dependency \"glib-2.0\" not found\n",
                ])
            },
            parse: |bytes| drop(buildlog::missing(BufReader::new(bytes))),
        },
    ]
}

fn messages() -> Vec<Target> {
    vec![
        Target {
            name: "frames",
            seeds: |_| {
                let mut bytes = Vec::new();
                frame::write(&mut bytes, frame::DATA, b"some data").expect("written to memory");
                frame::write(&mut bytes, frame::MESSAGE, b"{\"a\":1}").expect("written to memory");
                vec![bytes]
            },
            parse: |bytes| {
                let mut from = bytes;
                while let Ok(Some(frame)) = frame::read(&mut from, 1 << 16) {
                    let _ = frame.message::<solver::Answer>();
                }
            },
        },
        Target {
            name: "answers",
            seeds: |_| {
                texts(&[
                    "{\"ready\":{\"version\":1,\"solver\":\"libsolv\",\"barriers\":[]}}",
                    "{\"who\":[[]]}",
                    "{\"unlisted\":[\"/a\"]}",
                ])
            },
            parse: |bytes| drop(serde_json::from_slice::<solver::Answer>(bytes)),
        },
        Target {
            name: "endings",
            seeds: |_| {
                texts(&[
                    "\"cancelled\"",
                    "{\"failed\":{\"fault\":\"package\",\"error\":\"x\",\"causes\":[],\"hint\":null}}",
                ])
            },
            parse: |bytes| drop(serde_json::from_slice::<worker::Ending>(bytes)),
        },
    ]
}
