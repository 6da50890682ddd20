//! Tarballs as nobody should make them (POSIX ustar).

/// One entry of a tarball.
pub enum Entry<'a> {
    /// A file with some bytes.
    File(&'a str, &'a [u8]),
    /// A symbolic link and what it points to.
    Link(&'a str, &'a str),
    /// Another name of a file.
    Hard(&'a str, &'a str),
}

/// A tarball of these, names as they are given.
pub fn tarball(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        let (name, kind, to, body): (_, _, _, &[u8]) = match entry {
            Entry::File(name, body) => (name, b'0', "", body),
            Entry::Link(name, to) => (name, b'2', to, &[]),
            Entry::Hard(name, to) => (name, b'1', to, &[]),
        };
        let mut head = [0_u8; 512];
        let mut put = |at: usize, text: &str| {
            head[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        put(0, name);
        put(100, "0000644\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", body.len()));
        put(136, "00000000000\0");
        put(148, "        ");
        put(157, to);
        put(257, "ustar\x0000");
        head[156] = kind;
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&head);
        tar.extend_from_slice(body);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}
