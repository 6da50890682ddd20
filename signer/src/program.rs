//! Keys that a program of the operator's has, as one that asks a hardware module or another host.
//!
//! The program is started anew for each request, without a shell, with the request's words behind
//! its own arguments:
//!
//! | words | standard input | what it must print |
//! | --- | --- | --- |
//! | `certificate NAME` | nothing | the OpenPGP certificate in ASCII armour |
//! | `statement-key NAME` | nothing | the public key of Ed25519, its 32 bytes |
//! | `sign NAME header SECONDS` | a main header | an OpenPGP signature, binary |
//! | `sign NAME repomd SECONDS` | a repomd.xml | an OpenPGP signature in ASCII armour |
//! | `sign NAME statement SECONDS` | a statement (DSSE's PAE) | 64 bytes of Ed25519 |
//!
//! NAME is that of the key and SECONDS what the signature should say of its time. It ends with 0
//! when it signed; else what it printed as errors goes to the operator. It has no environment but
//! `PATH`, [`PATIENCE`] to end in, and its group of processes ends with it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kiln_wire::signer::{Backend, Certificate, Failure, KeyName, Kind, SIGNATURE_CAP, Sign};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::incoming::Incoming;
use crate::serve::Keys;

/// How long the program may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most of its errors that is passed on, in bytes.
const ERRORS_CAP: u64 = 2 << 10;

/// The program and its own arguments.
pub(crate) struct Asked {
    command: Vec<OsString>,
    patience: Duration,
}

impl Asked {
    pub(crate) fn new(command: Vec<OsString>) -> Result<Self, Failure> {
        if command.is_empty() {
            return Err(Failure::Program("no program is named".to_owned()));
        }
        Ok(Self { command, patience: PATIENCE })
    }

    fn ask(&self, words: &[&str], input: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let failed = |why: String| Failure::Program(format!("'{}': {why}", words.join(" ")));
        let io = |error: io::Error| failed(error.to_string());
        let mut child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io)?;
        let (mut to, from) = (child.stdin.take(), child.stdout.take());
        let errors = child.stderr.take();
        let said = thread::scope(|scope| {
            // One that doesn't read its input to the end may still have signed.
            scope.spawn(move || to.as_mut().map(|to| to.write_all(&input)));
            let output = scope.spawn(move || read(from, SIGNATURE_CAP as u64));
            let errors = scope.spawn(move || read(errors, ERRORS_CAP));
            let status = end(&mut child, self.patience);
            let lost = || io::Error::other("a thread was lost");
            let output = output.join().map_err(|_| lost())?;
            let errors = errors.join().map_err(|_| lost())?;
            Ok::<_, io::Error>((status?, output?, errors?))
        });
        let (status, output, errors) = said.map_err(io)?;
        match status {
            None => Err(failed(format!("no answer in {} seconds", self.patience.as_secs()))),
            Some(status) if !status.success() => {
                let mut why = status.to_string();
                let _ = write!(why, ": {}", String::from_utf8_lossy(&errors).trim());
                Err(failed(why))
            }
            Some(_) if output.len() > SIGNATURE_CAP => {
                Err(failed(format!("more than {SIGNATURE_CAP} bytes")))
            }
            Some(_) => Ok(output),
        }
    }
}

/// Reads to the end, and keeps one byte more than `cap`: so that it shows.
fn read(from: Option<impl Read>, cap: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        (&mut from).take(cap + 1).read_to_end(&mut bytes)?;
        io::copy(&mut from, &mut io::sink())?;
    }
    Ok(bytes)
}

/// Waits for the program and then ends what it left; `None` where it took too long.
fn end(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = Pid::from_child(child);
    let waited = wait(pid, patience);
    // It is not waited for yet, so its number still means its group and no other.
    let _ = kill_process_group(pid, Signal::KILL);
    let status = child.wait()?;
    Ok(waited?.then_some(status))
}

/// Whether the process ended in time.
fn wait(pid: Pid, patience: Duration) -> io::Result<bool> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Keys for Asked {
    const BACKEND: Backend = Backend::Program;

    fn certificate(&mut self, key: &KeyName) -> Result<Certificate, Failure> {
        let openpgp = self.ask(&["certificate", key.as_str()], Vec::new())?;
        let statement = self.ask(&["statement-key", key.as_str()], Vec::new())?;
        let openpgp = String::from_utf8(openpgp)
            .map_err(|_| Failure::Program("its certificate is not in ASCII armour".to_owned()))?;
        if statement.len() != 32 {
            let why = format!("its public key of Ed25519 has {} bytes, not 32", statement.len());
            return Err(Failure::Program(why));
        }
        Ok(Certificate { openpgp, statement })
    }

    fn sign(&mut self, ask: &Sign, bytes: &mut Incoming<'_>) -> Result<Vec<u8>, Failure> {
        let mut input = Vec::new();
        bytes
            .read_to_end(&mut input)
            .map_err(|error| Failure::System(format!("reading what is to be signed: {error}")))?;
        let time = ask.time.to_string();
        let words = ["sign", ask.key.as_str(), ask.kind.word(), &time];
        let signature = self.ask(&words, input)?;
        // Whoever asked checks the signature itself; here it only has to look like one.
        let is_one = match ask.kind {
            // The first bit of every packet is set (RFC 9580, section 4.2).
            Kind::Header => signature.first().is_some_and(|first| first & 0x80 != 0),
            Kind::Repomd => signature.starts_with(b"-----BEGIN PGP SIGNATURE-----"),
            Kind::Statement => signature.len() == 64,
        };
        match is_one {
            true => Ok(signature),
            false => Err(Failure::Program(format!("it printed no {} signature", ask.kind.word()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_with_all_that_it_started() {
        let command = ["/bin/sh", "-c", "sleep 1000 & sleep 1000"].map(OsString::from).to_vec();
        let asked = Asked { command, patience: Duration::from_millis(50) };
        match asked.ask(&["sign"], vec![0; 1 << 20]) {
            Err(Failure::Program(why)) => assert!(why.contains("no answer"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
