//! The other side of a jail's door: a small HTTP proxy (RFC 9110, sections 7.1 and 9.3.6) that
//! leads to hosts that the operator allows, and to nothing else.
//!
//! The jail has no network but its own loopback; what listens there is this. It resolves names
//! itself and speaks to the very addresses that it has checked, so no name leads inside by being
//! resolved twice. What goes through is not looked at: with TLS it can't be.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use kiln_model::{Outlets, Permit, is_public};
use kiln_parse::remote;

/// The most bytes of a request's head.
const HEAD_CAP: usize = 16 << 10;

/// How long a connection may take to stand.
const CONNECTING: Duration = Duration::from_secs(15);

/// How long either side may say nothing.
const SILENCE: Duration = Duration::from_secs(120);

/// The most connections at one time.
const AT_ONCE: usize = 32;

/// Answers at a jail's door until it is dropped.
pub(crate) struct Door {
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    listener: TcpListener,
    outlets: Outlets,
    /// How many more bytes may come in.
    left: AtomicU64,
    is_over: AtomicBool,
    count: AtomicUsize,
    /// Both ends of every connection, so that they can be ended.
    open: Mutex<Vec<TcpStream>>,
    /// Whom the guest wanted to speak to and may not.
    refused: Mutex<Vec<String>>,
}

impl Door {
    /// Answers at `listener`, which a jail made; at most so many bytes go in.
    pub(crate) fn open(listener: OwnedFd, outlets: Outlets, bytes: u64) -> Self {
        let shared = Arc::new(Shared {
            listener: TcpListener::from(listener),
            outlets,
            left: AtomicU64::new(bytes),
            is_over: AtomicBool::new(false),
            count: AtomicUsize::new(0),
            open: Mutex::default(),
            refused: Mutex::default(),
        });
        let with = Arc::clone(&shared);
        let listening = std::thread::spawn(move || with.listen());
        Self { shared, listening: Some(listening) }
    }

    /// Whom the guest wanted to speak to and may not, each once.
    pub(crate) fn refused(&self) -> Vec<String> {
        let refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.clone()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes who waits for the next connection (shutdown(2) on a socket that listens).
        let _ = rustix::net::shutdown(&self.shared.listener, rustix::net::Shutdown::Both);
        for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

/// What a guest asks of a proxy.
struct Asked {
    is_plain: bool,
    host: String,
    port: u16,
    /// What the server is sent first: nothing where a tunnel is asked for.
    first: Vec<u8>,
}

impl Shared {
    fn listen(self: &Arc<Self>) {
        while !self.is_over.load(Ordering::SeqCst) {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if self.count.fetch_add(1, Ordering::SeqCst) >= AT_ONCE {
                self.count.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let with = Arc::clone(self);
            std::thread::spawn(move || {
                // Who asked hears of it by the end of its connection.
                let _ = with.answer(stream);
                with.count.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    fn answer(&self, mut guest: TcpStream) -> io::Result<()> {
        guest.set_read_timeout(Some(SILENCE))?;
        guest.set_write_timeout(Some(SILENCE))?;
        let (head, rest) = read_head(&mut guest)?;
        let Some(asked) = read_request(&head) else {
            return guest.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        };
        let mut server = match self.dial(&asked) {
            Ok(server) => server,
            Err(error) => {
                let status = match error.kind() {
                    io::ErrorKind::PermissionDenied => "403 Not An Allowed Host",
                    _ => "502 Bad Gateway",
                };
                let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
                return guest.write_all(answer.as_bytes());
            }
        };
        server.set_read_timeout(Some(SILENCE))?;
        server.set_write_timeout(Some(SILENCE))?;
        match asked.first.is_empty() {
            true => guest.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")?,
            false => server.write_all(&asked.first)?,
        }
        server.write_all(&rest)?;
        self.splice(&guest, &server)
    }

    /// A connection to where the guest wants, if that is allowed.
    fn dial(&self, asked: &Asked) -> io::Result<TcpStream> {
        let Asked { is_plain, host, port, .. } = asked;
        let permit = self.outlets.permit(*is_plain, host, *port);
        let denied = || {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            let name = format!("{host}:{port}");
            if refused.len() < AT_ONCE && !refused.contains(&name) {
                refused.push(name);
            }
            io::Error::from(io::ErrorKind::PermissionDenied)
        };
        if permit == Permit::No {
            return Err(denied());
        }
        let bare = host.trim_matches(['[', ']']);
        let found: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, *port)],
            Err(_) => (bare, *port).to_socket_addrs()?.collect(),
        };
        let is_fine = |address: &&SocketAddr| permit == Permit::Any || is_public(address.ip());
        let fine: Vec<&SocketAddr> = found.iter().filter(is_fine).collect();
        if fine.is_empty() {
            return Err(denied());
        }
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in fine {
            match TcpStream::connect_timeout(address, CONNECTING) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Passes bytes on, both ways, until both sides have ended.
    fn splice(&self, guest: &TcpStream, server: &TcpStream) -> io::Result<()> {
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.extend([guest.try_clone()?, server.try_clone()?]);
        }
        if self.is_over.load(Ordering::SeqCst) {
            return Ok(());
        }
        std::thread::scope(|scope| {
            scope.spawn(|| pass(guest, server, None));
            pass(server, guest, Some(&self.left));
        });
        let (ours, theirs) = (guest.peer_addr().ok(), server.peer_addr().ok());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|one| ![ours, theirs].contains(&one.peer_addr().ok()));
        Ok(())
    }
}

/// Passes bytes on until there are no more; then the other side is told so.
fn pass(mut from: &TcpStream, mut to: &TcpStream, left: Option<&AtomicU64>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(count) if count > 0 => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            _ => break,
        };
        let fits = left.is_none_or(|left| {
            let take = |left: u64| left.checked_sub(count as u64);
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
        });
        if !fits || to.write_all(&buffer[..count]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A request's head, and what came with it.
fn read_head(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..count]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((bytes, rest));
        }
        if bytes.len() > HEAD_CAP {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// What a head asks for: a tunnel, or something of a server without TLS.
fn read_request(head: &[u8]) -> Option<Asked> {
    let text = std::str::from_utf8(head).ok()?;
    let (line, fields) = text.split_once("\r\n")?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !version.starts_with("HTTP/1.") {
        return None;
    }
    if method == "CONNECT" {
        let whole = format!("https://{target}/");
        let url = remote::url(&whole).ok()?;
        let (host, port) = (url.host.to_owned(), url.port);
        return Some(Asked { is_plain: false, host, port, first: Vec::new() });
    }
    let url = remote::url(target).ok().filter(|url| url.is_plain)?;
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_method {
        return None;
    }
    let mut first = format!("{method} {} {version}\r\n", url.path);
    for field in fields.split("\r\n").filter(|field| !field.is_empty()) {
        let name = field.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        // One request for each connection: the next may be for another host.
        if !matches!(&*name, "connection" | "proxy-connection" | "proxy-authorization") {
            first.push_str(field);
            first.push_str("\r\n");
        }
    }
    first.push_str("Connection: close\r\n\r\n");
    let (host, port) = (url.host.to_owned(), url.port);
    Some(Asked { is_plain: true, host, port, first: first.into_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> (SocketAddr, JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let served = std::thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else { return 0 };
            let mut bytes = Vec::new();
            let mut buffer = [0; 1024];
            while !bytes.windows(4).any(|four| four == b"\r\n\r\n" || four == b"ping") {
                let count = stream.read(&mut buffer).expect("read");
                bytes.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("written");
            stream.write_all(&bytes).expect("written");
            bytes.len()
        });
        (address, served)
    }

    fn ask(outlets: &Outlets, bytes: u64, request: &str) -> (String, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let door = Door::open(listener.into(), outlets.clone(), bytes);
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.write_all(request.as_bytes()).expect("written");
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        (answer, door.refused())
    }

    fn outlets(text: &str) -> Outlets {
        Outlets(vec![text.parse().expect(text)])
    }

    #[test]
    fn a_host_that_is_named_is_reached_and_nobody_else() {
        let (address, served) = echo();
        let port = address.port();
        let named = outlets(&format!("127.0.0.1:{port}"));
        let (answer, refused) =
            ask(&named, 1 << 20, &format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nping"));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ping"), "{answer}");
        assert_eq!((served.join().expect("served"), refused.len()), (4, 0));
        let (address, _served) = echo();
        let port = address.port();
        for target in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
            let request = format!("CONNECT {target} HTTP/1.1\r\n\r\n");
            let (answer, refused) = ask(&named, 1 << 20, &request);
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
            assert_eq!(refused, [target]);
        }
    }

    #[test]
    fn what_is_allowed_by_being_public_never_leads_inside() {
        let (address, _served) = echo();
        let port = address.port();
        for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"] {
            let all = outlets(&format!("*:{port}"));
            let request = format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n");
            let (answer, refused) = ask(&all, 1 << 20, &request);
            assert!(!answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
            assert!(refused.len() <= 1);
        }
    }

    #[test]
    fn a_plain_request_is_passed_on_as_a_server_expects_it() {
        let (address, served) = echo();
        let port = address.port();
        let plain = outlets(&format!("http://127.0.0.1:{port}"));
        let request = format!(
            "GET http://127.0.0.1:{port}/a?b HTTP/1.1\r\nHost: x\r\nProxy-Connection: keep\r\n\r\n"
        );
        let (answer, _) = ask(&plain, 1 << 20, &request);
        served.join().expect("served");
        let passed = "GET /a?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert!(answer.ends_with(passed), "{answer}");
        let tls = outlets(&format!("127.0.0.1:{port}"));
        assert!(ask(&tls, 1 << 20, &request).0.starts_with("HTTP/1.1 403 "));
    }

    #[test]
    fn more_bytes_than_may_come_in_do_not() {
        let (address, served) = echo();
        let port = address.port();
        let named = outlets(&format!("127.0.0.1:{port}"));
        let request = format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nping");
        let (answer, _) = ask(&named, 3, &request);
        assert!(!answer.contains("ping"), "{answer}");
        drop(served);
    }

    #[test]
    fn what_is_no_request_gets_no_connection() {
        let all = outlets("*");
        for request in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET https://example.org/ HTTP/1.1\r\n\r\n",
            "CONNECT example.org HTTP/1.1 x\r\n\r\n",
            "CONNECT user@example.org:443 HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
            "get http://example.org/ HTTP/1.1\r\n\r\n",
            "CONNECT -x:443 HTTP/1.1\r\n\r\n",
        ] {
            let (answer, _) = ask(&all, 1 << 20, request);
            assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?}: {answer}");
        }
    }
}
