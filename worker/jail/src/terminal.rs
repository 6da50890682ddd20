//! A terminal inside the jail, and the way of its other end to the launcher.
//!
//! The terminal is one of the jail's own (its devpts), never the launcher's: what a guest pushes
//! into its terminal's input stays with the guest.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use kiln_wire::frame;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::pty::{OpenptFlags, openpt, unlockpt};

use crate::messages::FromKeeper;
use crate::mounts::{Doing, SetupError};

/// Makes this process's standard streams a new terminal and sends the other end over `status`.
pub(crate) fn open(status: BorrowedFd<'_>) -> Result<(), SetupError> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .doing(|| "opening a terminal".to_owned())?;
    unlockpt(&ours).doing(|| "unlocking the terminal".to_owned())?;
    let guests = rustix::pty::ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY)
        .doing(|| "opening the terminal's other end".to_owned())?;
    rustix::process::ioctl_tiocsctty(&guests).doing(|| "taking the terminal".to_owned())?;
    rustix::stdio::dup2_stdin(&guests).doing(|| "setting standard input".to_owned())?;
    rustix::stdio::dup2_stdout(&guests).doing(|| "setting standard output".to_owned())?;
    rustix::stdio::dup2_stderr(&guests).doing(|| "setting standard error".to_owned())?;
    send(status, &FromKeeper::Terminal, ours.as_fd())
}

/// Sends the message that a descriptor comes, with the descriptor.
pub(crate) fn send(
    to: BorrowedFd<'_>,
    what: &FromKeeper,
    descriptor: BorrowedFd<'_>,
) -> Result<(), SetupError> {
    let mut message = Vec::new();
    frame::write_message(&mut message, what)
        .map_err(|error| SetupError::new(error, std::io::ErrorKind::InvalidData))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(to, &[IoSlice::new(&message)], &mut control, SendFlags::empty())
        .map(drop)
        .doing(|| "sending a descriptor".to_owned())
}

/// Reads from a stream between launcher, keeper and pid 1, and keeps a descriptor that came along.
pub(crate) struct Receiver<'a> {
    from: &'a UnixStream,
    /// The descriptor that came with what was read last.
    pub(crate) descriptor: Option<OwnedFd>,
}

impl<'a> Receiver<'a> {
    pub(crate) fn new(from: &'a UnixStream) -> Self {
        Self { from, descriptor: None }
    }
}

impl std::io::Read for Receiver<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            self.from,
            &mut [IoSliceMut::new(into)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptor = descriptors.last().or(self.descriptor.take());
            }
        }
        Ok(received.bytes)
    }
}
