//! A signer in a child of its own, and what to ask it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::io::Cursor;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;

use kiln_signer::start;
use kiln_wire::frame::{self, DATA, DATA_CAP};
use kiln_wire::signer::{
    ANSWER_CAP, Answer, Certificate, Failure, KeyName, Kind, Ready, Request, Sign,
};
use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey};
use pgp::packet::{Packet, PacketParser};

pub const HEADER: &[u8] = b"\x8e\xad\xe8\x01 and what a header is";
pub const REPOMD: &[u8] = b"<?xml version=\"1.0\"?><repomd/>";
pub const STATEMENT: &[u8] = b"DSSEv1 4 text 2 {}";

/// A second that is later than the keys that tests make; 2100.
pub const LATER: u32 = 4_102_444_800;

pub struct Signer {
    pub socket: UnixStream,
    pub process: Child,
}

pub fn key(name: &str) -> KeyName {
    name.parse().expect("a name")
}

impl Signer {
    /// With keys of 2048 bits, which are made faster.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut all = vec!["--rsa", "2048"];
        all.extend(arguments);
        let mut signer = Self::raw(folder, &all);
        signer.ready();
        signer
    }

    pub fn asking(folder: &Path, program: &[&str]) -> Self {
        let mut all = vec!["program"];
        all.extend(program);
        Self::raw(folder, &all)
    }

    pub fn raw(folder: &Path, arguments: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_kiln-signer-child"));
        let (socket, process) = start(program, arguments, folder).expect("started");
        Self { socket, process }
    }

    pub fn ready(&mut self) -> Ready {
        match self.receive() {
            Some(Answer::Ready(ready)) => ready,
            other => panic!("not ready: {other:?}"),
        }
    }

    pub fn receive(&self) -> Option<Answer> {
        frame::read_message(&mut &self.socket, ANSWER_CAP).expect("an answer or an end")
    }

    pub fn send(&self, request: &Request) {
        frame::write_message(&mut &self.socket, request).expect("sent");
    }

    pub fn certificate(&self, name: &str) -> Certificate {
        self.send(&Request::Certificate(key(name)));
        match self.receive() {
            Some(Answer::Certificate(certificate)) => certificate,
            other => panic!("no certificate: {other:?}"),
        }
    }

    pub fn try_sign(&self, name: &str, kind: Kind, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let size = bytes.len() as u64;
        self.send(&Request::Sign(Sign { key: key(name), kind, time: LATER, size }));
        for part in bytes.chunks(DATA_CAP) {
            frame::write(&mut &self.socket, DATA, part).expect("sent");
        }
        match self.receive() {
            Some(Answer::Signature(signature)) => Ok(signature),
            Some(Answer::Failed(failure)) => Err(failure),
            other => panic!("no answer: {other:?}"),
        }
    }

    pub fn sign(&self, name: &str, kind: Kind, bytes: &[u8]) -> Vec<u8> {
        self.try_sign(name, kind, bytes).expect("signed")
    }

    /// Hangs up; how it ended.
    pub fn end(self) -> Option<i32> {
        let Self { socket, mut process } = self;
        drop(socket);
        process.wait().expect("waited for").code()
    }
}

/// Whether the certificate's key made the signature over the bytes.
pub fn verifies(certificate: &Certificate, kind: Kind, signature: &[u8], bytes: &[u8]) -> bool {
    let public = || SignedPublicKey::from_string(&certificate.openpgp).expect("a certificate").0;
    match kind {
        Kind::Header => {
            let packet = PacketParser::new(Cursor::new(signature)).next();
            let Some(Ok(Packet::Signature(signature))) = packet else { panic!("{packet:?}") };
            DetachedSignature::new(signature).verify(&public(), bytes).is_ok()
        }
        Kind::Repomd => {
            let text = std::str::from_utf8(signature).expect("armour");
            let (signature, _) = DetachedSignature::from_string(text).expect("a signature");
            signature.verify(&public(), bytes).is_ok()
        }
        Kind::Statement => {
            let public = certificate.statement[..].try_into().expect("32 bytes");
            let public = ed25519_dalek::VerifyingKey::from_bytes(public).expect("a key");
            let signature = ed25519_dalek::Signature::from_slice(signature).expect("64 bytes");
            public.verify_strict(bytes, &signature).is_ok()
        }
    }
}
