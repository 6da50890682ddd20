//! What a guest writes, on its way to the service: collected for a moment, so that a line isn't a
//! request, and never more than can be held.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use kiln_model::LeaseKey;
use tokio::runtime::Handle;

use crate::link::Link;

/// How long pieces are collected: short enough for who reads along.
const COLLECTED: Duration = Duration::from_millis(100);

/// The most bytes of one piece.
const PIECE: usize = 512 << 10;

/// How much may wait: a build that writes faster than it is taken has to wait too.
const HELD: usize = 4 << 20;

/// One log of an attempt.
pub(crate) struct LogLine {
    name: &'static str,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// What was not sent yet begins here.
    offset: u64,
    pending: Vec<u8>,
    is_sending: bool,
    failure: Option<String>,
    is_over: bool,
}

impl LogLine {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, state: Mutex::default(), moved: Condvar::new() }
    }

    /// Takes what the guest wrote; waits while too much is on its way.
    pub(crate) fn push(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.pending.len() > HELD && state.failure.is_none() {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(failure) = &state.failure {
            return Err(io::Error::other(failure.clone()));
        }
        state.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what is collected, until [`LogLine::end`]: a thread of its own does it.
    pub(crate) fn send(&self, link: &Link, key: LeaseKey, runtime: &Handle) {
        loop {
            let (offset, piece) = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.pending.is_empty() {
                    if state.is_over {
                        return;
                    }
                    let waited = self.moved.wait_timeout(state, COLLECTED);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                    continue;
                }
                let size = state.pending.len().min(PIECE);
                let piece: Vec<u8> = state.pending.drain(..size).collect();
                let offset = state.offset;
                state.offset += size as u64;
                state.is_sending = true;
                (offset, piece)
            };
            let LeaseKey { job, epoch } = key;
            let name = self.name;
            let path = format!("/worker/v1/jobs/{job}/{}/logs/{name}?offset={offset}", epoch.0);
            let sent = runtime.block_on(link.tell_bytes(&path, &piece));
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.is_sending = false;
            if let Err(error) = sent {
                state.failure = Some(error.to_string());
                state.pending.clear();
            }
            self.moved.notify_all();
            drop(state);
            std::thread::sleep(COLLECTED / 4);
        }
    }

    /// Says that nothing more comes; what is pending is still sent.
    pub(crate) fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.moved.notify_all();
    }
}
