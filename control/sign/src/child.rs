//! One started signer, from our side.

use std::io;
use std::time::Duration;

use kiln_model::Foreign;
use kiln_wire::frame::{self, DATA, DATA_CAP, FrameError};
use kiln_wire::signer::{
    ANSWER_CAP, Answer, Backend, Certificate, Failure, KeyName, Kind, Ready, Request,
    SIGNATURE_CAP, Sign, VERSION,
};

use crate::SignError;
use crate::spawn::{SignerLink, SignerSpawn};

/// How long an answer may take: a program of the operator's is given a minute for each of two
/// questions, and a key of 3072 bits is made in seconds.
const PATIENCE: Duration = Duration::from_secs(180);

/// The barrier that a signer with keys can't do without (`kiln_signer::Barrier::Calls`).
const NEEDED: &str = "calls";

pub(crate) struct Child {
    link: SignerLink,
}

impl Child {
    pub(crate) fn start(spawn: &dyn SignerSpawn) -> Result<Self, SignError> {
        let mut child = Self { link: spawn.spawn().map_err(SignError::Spawn)? };
        let socket = &child.link.socket;
        socket
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| socket.set_write_timeout(Some(PATIENCE)))
            .map_err(SignError::Spawn)?;
        match child.receive()? {
            Answer::Ready(ready) => accept(&ready).map(|()| child),
            // Before it is ready it does nothing but confine itself and open its folder.
            Answer::Failed(Failure::System(why)) => Err(SignError::NotReady(Foreign::new(&why))),
            Answer::Failed(failure) => Err(SignError::of_failure(failure)),
            _ => Err(SignError::Nonsense("it began with an answer".to_owned())),
        }
    }

    pub(crate) fn certificate(&mut self, key: &KeyName) -> Result<Certificate, SignError> {
        self.send(&Request::Certificate(key.clone()))?;
        match self.receive()? {
            Answer::Certificate(certificate) => Ok(certificate),
            Answer::Failed(failure) => Err(SignError::of_failure(failure)),
            _ => Err(SignError::Nonsense("an answer to something else".to_owned())),
        }
    }

    pub(crate) fn sign(
        &mut self,
        key: &KeyName,
        kind: Kind,
        bytes: &[u8],
        time: u32,
    ) -> Result<Vec<u8>, SignError> {
        let size = bytes.len() as u64;
        if size > kind.cap() {
            return Err(SignError::Large { kind: kind.word(), size, cap: kind.cap() });
        }
        self.send(&Request::Sign(Sign { key: key.clone(), kind, time, size }))?;
        for part in bytes.chunks(DATA_CAP) {
            let sent = frame::write(&mut &self.link.socket, DATA, part);
            sent.map_err(|error| self.broken(error))?;
        }
        match self.receive()? {
            Answer::Signature(signature) if signature.len() <= SIGNATURE_CAP => Ok(signature),
            Answer::Failed(failure) => Err(SignError::of_failure(failure)),
            _ => Err(SignError::Nonsense("an answer to something else".to_owned())),
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), SignError> {
        let sent = frame::write_message(&mut &self.link.socket, request);
        sent.map_err(|error| self.broken(error))
    }

    fn receive(&mut self) -> Result<Answer, SignError> {
        match frame::read_message::<Answer>(&mut &self.link.socket, ANSWER_CAP) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.ended()),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&mut self, error: FrameError) -> SignError {
        match error {
            FrameError::Io(error) if is_timeout(&error) => {
                self.kill();
                SignError::Slow(PATIENCE.as_secs())
            }
            FrameError::Io(_) => self.ended(),
            error => SignError::Nonsense(error.to_string()),
        }
    }

    /// Why the child is gone.
    fn ended(&mut self) -> SignError {
        let how = self.kill().unwrap_or_else(|| "it hung up".to_owned());
        SignError::Ended(Foreign::new(&how))
    }

    /// Ends the child, if it has not ended, and says how it did.
    fn kill(&mut self) -> Option<String> {
        let process = &mut self.link.process;
        let _ = process.kill();
        process.wait().ok().map(|status| status.to_string())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn accept(ready: &Ready) -> Result<(), SignError> {
    if ready.version != VERSION {
        let text = format!("it speaks version {}, not {VERSION}", ready.version);
        return Err(SignError::Nonsense(text));
    }
    let holds = ready.barriers.iter().any(|barrier| barrier == NEEDED);
    // One that asks a program must be able to start it.
    if ready.backend == Backend::Folder && !holds {
        return Err(SignError::NotReady(Foreign::new(&ready.barriers.join(", "))));
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
