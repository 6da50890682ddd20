//! A message with open files beside it, over a Unix socket (unix(7), `SCM_RIGHTS`).
//!
//! The message goes first, in a [`frame`], and says how many files follow; each batch of files
//! then rides on one byte of its own, so that no plain read can swallow it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::frame::{self, FrameError};

/// The most files beside one message.
pub const FILES_CAP: usize = 64;

/// Files that ride on one byte; Linux takes 253 (`SCM_MAX_FD`).
const BATCH: usize = 16;

const MARK: u8 = b'f';

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parcel<T> {
    files: usize,
    message: T,
}

/// Writes `message` and hands over `files`.
pub fn send<T: Serialize>(
    to: &UnixStream,
    message: &T,
    files: &[BorrowedFd<'_>],
) -> Result<(), FrameError> {
    if files.len() > FILES_CAP {
        return Err(FrameError::Large { size: files.len() as u64, cap: FILES_CAP });
    }
    frame::write_message(&mut &*to, &Parcel { files: files.len(), message })?;
    for batch in files.chunks(BATCH) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(batch)) {
            return Err(io::Error::other("no room for a batch of files").into());
        }
        let sent = sendmsg(to, &[IoSlice::new(&[MARK])], &mut control, SendFlags::NOSIGNAL)
            .map_err(io::Error::from)?;
        if sent != 1 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
    }
    Ok(())
}

/// Reads a message of at most `cap` bytes and takes the files beside it; `None` where the stream
/// ended before it.
pub fn receive<T: DeserializeOwned>(
    from: &UnixStream,
    cap: usize,
) -> Result<Option<(T, Vec<OwnedFd>)>, FrameError> {
    let Some(parcel) = frame::read_message::<Parcel<T>>(&mut &*from, cap)? else { return Ok(None) };
    if parcel.files > FILES_CAP {
        return Err(FrameError::Large { size: parcel.files as u64, cap: FILES_CAP });
    }
    let mut files = Vec::with_capacity(parcel.files);
    while files.len() < parcel.files {
        receive_batch(from, &mut files)?;
    }
    if files.len() != parcel.files {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more files than announced").into());
    }
    Ok(Some((parcel.message, files)))
}

fn receive_batch(from: &UnixStream, files: &mut Vec<OwnedFd>) -> Result<(), FrameError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut mark = [0];
    let mut into = [IoSliceMut::new(&mut mark)];
    let message =
        recvmsg(from, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC).map_err(io::Error::from)?;
    let before = files.len();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(batch) = part {
            files.extend(batch);
        }
    }
    if message.bytes == 0 || mark != [MARK] || files.len() == before {
        let error =
            io::Error::new(io::ErrorKind::InvalidData, "files were announced and none came");
        return Err(error.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn files_arrive_in_order_beside_their_message() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let files: Vec<File> = (0..40)
            .map(|number| {
                let mut file = tempfile::tempfile().expect("a file");
                write!(file, "{number}").expect("written");
                file
            })
            .collect();
        let fds: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        send(&ours, &"first", &fds).expect("sent");
        send(&ours, &"second", &[]).expect("sent");
        drop(ours);
        let (message, received): (String, _) =
            receive(&theirs, 64).expect("received").expect("there");
        assert_eq!((message.as_str(), received.len()), ("first", 40));
        for (number, fd) in received.into_iter().enumerate() {
            let mut file = File::from(fd);
            file.rewind().expect("rewound");
            let mut text = String::new();
            file.read_to_string(&mut text).expect("read");
            assert_eq!(text, number.to_string());
        }
        let (message, none): (String, _) = receive(&theirs, 64).expect("received").expect("there");
        assert_eq!((message.as_str(), none.len()), ("second", 0));
        assert!(receive::<String>(&theirs, 64).expect("received").is_none());
    }

    #[test]
    fn files_that_are_announced_and_do_not_come_are_an_error() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        frame::write_message(&mut &ours, &Parcel { files: 1, message: "x" }).expect("sent");
        (&ours).write_all(&[MARK]).expect("sent");
        assert!(receive::<String>(&theirs, 64).is_err());
        frame::write_message(&mut &ours, &Parcel { files: 1000, message: "x" }).expect("sent");
        assert!(matches!(receive::<String>(&theirs, 64), Err(FrameError::Large { .. })));
    }
}
