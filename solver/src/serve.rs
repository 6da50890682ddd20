//! The child's main loop: one pool, one question after another, until the other side hangs up.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use kiln_confine::child::Budget;
use kiln_wire::frame::FrameError;
use kiln_wire::rights;
use kiln_wire::solver::{Answer, Failure, REQUEST_CAP, Ready, Request, VERSION};

use crate::compile::compile;
use crate::search::{search, who};
use crate::solve::solve;
use crate::sys;
use crate::world::World;

/// Answers what comes through `socket` until the other side closes it. `barriers` is what the
/// process was confined by; `budget` ends it where one question takes too long.
pub fn serve(
    socket: &UnixStream,
    barriers: Vec<String>,
    mut budget: impl Budget,
) -> Result<(), FrameError> {
    let ready = Ready { version: VERSION, solver: sys::version(), barriers };
    rights::send(socket, &Answer::Ready(ready), &[])?;
    let mut world = None;
    while let Some((request, files)) = rights::receive::<Request>(socket, REQUEST_CAP)? {
        budget.renew();
        let answer = answer(&mut world, request, files).unwrap_or_else(Answer::Failed);
        rights::send(socket, &answer, &[])?;
    }
    Ok(())
}

fn answer(
    world: &mut Option<World>,
    request: Request,
    files: Vec<OwnedFd>,
) -> Result<Answer, Failure> {
    let files: Vec<File> = files.into_iter().map(File::from).collect();
    let expected = match &request {
        Request::Compile(_) => 2,
        Request::Load(load) => load.repos.len(),
        Request::Search(search) => search.lists.len(),
        Request::Solve(_) | Request::Who(_) => 0,
    };
    if files.len() != expected {
        return Err(Failure::Protocol(format!("{} files where {expected} were due", files.len())));
    }
    let loaded = || Failure::Protocol("nothing is loaded".to_owned());
    match request {
        Request::Compile(ask) => {
            let mut files = files.into_iter();
            match (files.next(), files.next()) {
                (Some(from), Some(to)) => compile(&ask, from, to).map(Answer::Compiled),
                _ => Err(loaded()),
            }
        }
        Request::Load(ask) => {
            *world = None;
            let (made, answer) = World::load(&ask, files)?;
            *world = Some(made);
            Ok(Answer::Loaded(answer))
        }
        Request::Solve(ask) => solve(world.as_mut().ok_or_else(loaded)?, &ask),
        Request::Search(ask) => {
            search(world.as_mut().ok_or_else(loaded)?, &ask, files).map(Answer::Found)
        }
        Request::Who(ask) => who(world.as_mut().ok_or_else(loaded)?, &ask).map(Answer::Who),
    }
}
