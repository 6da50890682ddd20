//! A mirror on loopback, good or bad: one thread a connection, one request a connection.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What is answered to a path.
pub enum Reply {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A status without a body of use.
    Status(u16),
    /// Nothing, for ever.
    Silence,
    /// Half of these bytes, then nothing, for ever.
    Half(Vec<u8>),
}

/// Starts a mirror; gives its address. It ends with the process.
pub fn mirror(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // Whoever hangs up is no failure of the test.
            thread::spawn(move || serve(stream, &*answer));
        }
    });
    format!("http://{address}")
}

/// An address that nobody listens at.
pub fn dead_mirror() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// The file of a folder that a path names.
pub fn file(folder: &Path, path: &str) -> Reply {
    fs::read(folder.join(path.trim_start_matches('/'))).map_or(Reply::Status(404), Reply::Bytes)
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&str) -> Reply) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let head = |status: u16, length: usize| {
        format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
    };
    match answer(&path) {
        Reply::Bytes(bytes) => {
            stream.write_all(head(200, bytes.len()).as_bytes())?;
            stream.write_all(&bytes)
        }
        Reply::Status(status) => stream.write_all(head(status, 0).as_bytes()),
        Reply::Half(bytes) => {
            stream.write_all(head(200, bytes.len()).as_bytes())?;
            stream.write_all(&bytes[..bytes.len() / 2])?;
            wait_for_ever(stream)
        }
        Reply::Silence => wait_for_ever(stream),
    }
}

fn wait_for_ever(stream: TcpStream) -> std::io::Result<()> {
    thread::sleep(Duration::from_secs(3600));
    drop(stream);
    Ok(())
}
