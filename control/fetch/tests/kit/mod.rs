//! A small HTTP server on loopback that misbehaves on demand: one thread a connection, one
//! request a connection, nothing but std.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// Where a `Range: bytes=N-` begins.
    pub fn range(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered.
pub enum Reply {
    /// A status, headers and a body, all as it should be.
    Plain(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The whole is announced and only so many bytes come.
    Half(Vec<u8>, usize),
    /// Zeros without announcement and without end.
    Endless,
    /// Nothing, until the other side gives up.
    Silence,
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Plain(200, Vec::new(), body.into())
    }

    pub fn status(status: u16) -> Self {
        Self::Plain(status, Vec::new(), b"<html>no</html>".to_vec())
    }

    pub fn redirect(to: impl Into<String>) -> Self {
        Self::Plain(302, vec![("Location", to.into())], Vec::new())
    }

    /// What a good server answers, ranges included.
    pub fn file(body: &[u8], request: &Request) -> Self {
        match request.range() {
            Some(from) if from < body.len() => {
                let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
                Self::Plain(206, vec![("Content-Range", range)], body[from..].to_vec())
            }
            Some(_) => Self::status(416),
            None => Self::ok(body),
        }
    }
}

type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// The server; its port is closed when it is dropped.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn new(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::begin("http", None, Arc::new(handler))
    }

    /// As [`Server::new`] behind TLS; gives the certificate (PEM) to believe as well.
    pub fn tls(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Self, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
            .expect("a configuration");
        let server = Self::begin("https", Some(Arc::new(config)), Arc::new(handler));
        (server, made.cert.pem().into_bytes())
    }

    fn begin(scheme: &'static str, tls: Option<Arc<ServerConfig>>, handler: Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (log, ended) = (Arc::clone(&seen), Arc::clone(&stop));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (log, handler, tls) = (Arc::clone(&log), Arc::clone(&handler), tls.clone());
                // A client that hangs up is no failure of the test.
                thread::spawn(move || serve(stream, tls, &log, &handler));
            }
        });
        Self { address, scheme, seen, stop }
    }

    /// The address of a path that begins with `/`.
    pub fn url(&self, path: &str) -> String {
        let host = if self.scheme == "https" { "localhost" } else { "127.0.0.1" };
        format!("{}://{host}:{}{path}", self.scheme, self.address.port())
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no panic").clone()
    }

    /// How often that path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|request| request.path == path).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// An address of this machine that nobody listens at.
pub fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    log: &Mutex<Vec<Request>>,
    handler: &Handler,
) -> io::Result<()> {
    match tls {
        None => answer(stream, log, handler),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            answer(StreamOwned::new(connection, stream), log, handler)
        }
    }
}

fn answer(
    stream: impl Read + Write,
    log: &Mutex<Vec<Request>>,
    handler: &Handler,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first)?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let request = Request { path, headers };
    log.lock().expect("no panic").push(request.clone());
    let mut to = stream;
    let to = to.get_mut();
    match handler(&request) {
        Reply::Plain(status, headers, body) => {
            let length = (status != 304).then(|| format!("Content-Length: {}\r\n", body.len()));
            write!(
                to,
                "HTTP/1.1 {status} X\r\nConnection: close\r\n{}",
                length.unwrap_or_default()
            )?;
            for (name, value) in headers {
                write!(to, "{name}: {value}\r\n")?;
            }
            to.write_all(b"\r\n")?;
            to.write_all(&body)?;
        }
        Reply::Half(body, count) => {
            let length = body.len();
            write!(to, "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")?;
            to.write_all(&body[..count])?;
        }
        Reply::Endless => {
            to.write_all(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n")?;
            loop {
                to.write_all(&[0; 1 << 16])?;
            }
        }
        Reply::Silence => {
            let mut rest = Vec::new();
            to.read_to_end(&mut rest)?;
        }
    }
    to.flush()
}
