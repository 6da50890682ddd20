//! The child's main loop: one request after another, until the other side hangs up.

use std::os::unix::net::UnixStream;

use kiln_wire::frame::{self, FrameError};
use kiln_wire::signer::{
    Answer, Backend, Certificate, Failure, KeyName, REQUEST_CAP, Ready, Request, Sign, VERSION,
};

use crate::folder::Log;
use crate::incoming::Incoming;

/// Where the keys are that sign.
pub(crate) trait Keys {
    /// What [`Ready`] says of it.
    const BACKEND: Backend;

    /// The public part of a key, made where there is none.
    fn certificate(&mut self, key: &KeyName) -> Result<Certificate, Failure>;

    /// Signs what `bytes` gives to its end. What the bytes begin with was looked at.
    fn sign(&mut self, ask: &Sign, bytes: &mut Incoming<'_>) -> Result<Vec<u8>, Failure>;
}

/// Answers what comes through `socket` until the other side closes it. `barriers` is what the
/// process was confined by.
pub(crate) fn serve<K: Keys>(
    socket: &UnixStream,
    mut keys: K,
    mut log: Log,
    barriers: Vec<String>,
) -> Result<(), FrameError> {
    let ready = Ready { version: VERSION, backend: K::BACKEND, barriers };
    frame::write_message(&mut &*socket, &Answer::Ready(ready))?;
    while let Some(request) = frame::read_message::<Request>(&mut &*socket, REQUEST_CAP)? {
        let answer = match request {
            Request::Certificate(key) => keys.certificate(&key).map(Answer::Certificate),
            Request::Sign(ask) if ask.size > ask.kind.cap() => {
                let (size, cap) = (ask.size, ask.kind.cap());
                let why = format!("{size} bytes, over the cap of {cap}");
                let answer = Answer::Failed(Failure::Protocol(why));
                // The bytes are coming; only a new socket has no rest of them.
                return frame::write_message(&mut &*socket, &answer);
            }
            Request::Sign(ask) => sign(socket, &mut keys, &mut log, &ask)?,
        };
        frame::write_message(&mut &*socket, &answer.unwrap_or_else(Answer::Failed))?;
    }
    Ok(())
}

/// A signature, noted before anyone has it.
fn sign(
    socket: &UnixStream,
    keys: &mut impl Keys,
    log: &mut Log,
    ask: &Sign,
) -> Result<Result<Answer, Failure>, FrameError> {
    let mut bytes = Incoming::new(socket, ask.size);
    let signature = match bytes.begins_with(ask.kind.begins())? {
        true => keys.sign(ask, &mut bytes),
        false => Err(Failure::Form(ask.kind)),
    };
    let digest = bytes.finish()?;
    Ok(signature.and_then(|signature| {
        log.note(ask, &digest).map_err(Failure::System)?;
        Ok(Answer::Signature(signature))
    }))
}
