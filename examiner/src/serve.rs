//! The child's main loop: one pair of files after another, until the other side hangs up.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use kiln_confine::child::Budget;
use kiln_wire::examiner::{Answer, Failure, REQUEST_CAP, Ready, Request, VERSION};
use kiln_wire::frame::FrameError;
use kiln_wire::rights;

use crate::{logs, package};

/// Answers what comes through `socket` until the other side closes it. `barriers` is what the
/// process was confined by; `budget` ends it where one question takes too long.
pub fn serve(
    socket: &UnixStream,
    barriers: Vec<String>,
    mut budget: impl Budget,
) -> Result<(), FrameError> {
    rights::send(socket, &Answer::Ready(Ready { version: VERSION, barriers }), &[])?;
    while let Some((request, files)) = rights::receive::<Request>(socket, REQUEST_CAP)? {
        budget.renew();
        let answer = answer(&request, files).unwrap_or_else(Answer::Failed);
        rights::send(socket, &answer, &[])?;
    }
    Ok(())
}

fn answer(request: &Request, files: Vec<OwnedFd>) -> Result<Answer, Failure> {
    let mut files = files.into_iter().map(File::from);
    let (Some(original), Some(rebuilt), None) = (files.next(), files.next(), files.next()) else {
        return Err(Failure::Protocol("not two files beside a question".to_owned()));
    };
    match request {
        Request::Packages(around) => {
            package::compare(original, rebuilt, around).map(Answer::Packages)
        }
        Request::Logs => logs::compare(original, rebuilt).map(Answer::Logs),
    }
}
