//! What a service asks of the host that it runs on, and tells whoever started it.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use kiln_jail::Controllers;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Before anything is started: as many open files as this user may have, since each client and
/// each worker is one or two; and a control group of this process's own, so that a worker below
/// it can hand groups to its jails.
pub(crate) fn prepare() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit { current: maximum, maximum };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "the limit on open files stays what it is");
    }
    // Looking for them moves this process to a leaf of its group, if there is one to hand out.
    let groups = Controllers::find().describe();
    tracing::debug!(groups, "looked for control groups");
}

/// Tells systemd, if that is who started this, how it stands: `READY=1`, `STOPPING=1`
/// (sd_notify(3)).
pub(crate) fn tell(state: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(socket.as_bytes(), state) {
        tracing::warn!(%error, state, "telling systemd");
    }
}

fn send(socket: &[u8], state: &str) -> io::Result<()> {
    let address = match socket {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_started_it_hears_that_it_is_ready() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).expect("bound");
        let name = format!("@kiln-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name[1..]).expect("an address");
        let by_name = UnixDatagram::bind_addr(&address).expect("bound");
        for (socket, listener) in
            [(path.to_str().expect("a path"), by_path), (name.as_str(), by_name)]
        {
            send(socket.as_bytes(), "READY=1").expect("sent");
            let mut heard = [0; 32];
            let count = listener.recv(&mut heard).expect("heard");
            assert_eq!(&heard[..count], b"READY=1");
        }
    }
}
